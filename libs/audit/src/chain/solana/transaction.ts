/** A final transaction of Solana as a source gives it: what it was told to do, and what it did to accounts. Read strictly; logs are not looked at. */
import { VersionedTransaction } from '@solana/web3.js';
import { base58 } from './base58.js';
import { AuditError } from '../../domain/error.js';

export interface Instruction {
  program: string;
  accounts: readonly string[];
  data: Buffer;
}

/** What an account had before and after. */
export interface Holding {
  lamports: readonly [before: bigint, after: bigint];
  tokens: readonly [before: Tokens | null, after: Tokens | null];
}

export interface Tokens {
  mint: string;
  owner: string;
  program: string;
  amount: bigint;
}

export interface SolanaTransaction {
  signature: string;
  slot: number;
  failed: boolean;
  instructions: readonly (Instruction & { inner: readonly Instruction[] })[];
  holdings: ReadonlyMap<string, Holding>;
}

/** @param answer of `getTransaction` in base64 @throws AuditError `malformed` */
export function transactionIn(signature: string, answer: unknown): SolanaTransaction {
  const { slot, meta, transaction } = object(answer);
  const did = object(meta);
  const [body] = list(transaction);
  const { message, signatures } = parsed(body);
  if (!signatures[0] || base58(signatures[0]) !== signature) throw malformed();
  const loaded = did['loadedAddresses'] ? object(did['loadedAddresses']) : { writable: [], readonly: [] };
  const keys = [
    ...message.staticAccountKeys.map((key) => key.toBase58()),
    ...[...list(loaded['writable']), ...list(loaded['readonly'])].map(text),
  ];
  const at = (index: unknown): string => text(keys[whole(index)]);
  const inner = new Map(
    list(did['innerInstructions']).map((group) => {
      const { index, instructions } = object(group);
      const called = list(instructions).map((one) => {
        const { programIdIndex, accounts, data } = object(one);
        return { program: at(programIdIndex), accounts: list(accounts).map(at), data: base58.decode(text(data)) };
      });
      return [whole(index), called] as const;
    }),
  );
  return {
    signature,
    slot: whole(slot),
    failed: did['err'] !== null,
    instructions: message.compiledInstructions.map(({ programIdIndex, accountKeyIndexes, data }, i) => ({
      program: at(programIdIndex),
      accounts: accountKeyIndexes.map(at),
      data: Buffer.from(data),
      inner: inner.get(i) ?? [],
    })),
    holdings: holdingsIn(did, keys),
  };
}

function holdingsIn(did: Record<string, unknown>, keys: readonly string[]): Map<string, Holding> {
  const [before, after] = [list(did['preBalances']), list(did['postBalances'])];
  const [had, has] = [tokensIn(did['preTokenBalances']), tokensIn(did['postTokenBalances'])];
  return new Map(
    keys.map((key, i) => [
      key,
      {
        lamports: [BigInt(whole(before[i])), BigInt(whole(after[i]))],
        tokens: [had.get(i) ?? null, has.get(i) ?? null],
      },
    ]),
  );
}

function tokensIn(value: unknown): Map<number, Tokens> {
  return new Map(
    list(value).map((one) => {
      const { accountIndex, mint, owner, programId, uiTokenAmount } = object(one);
      const amount = text(object(uiTokenAmount)['amount']);
      if (!/^(0|[1-9][0-9]{0,19})$/.test(amount)) throw malformed();
      const tokens = { mint: text(mint), owner: text(owner), program: text(programId), amount: BigInt(amount) };
      return [whole(accountIndex), tokens] as const;
    }),
  );
}

function parsed(body: unknown): VersionedTransaction {
  try {
    return VersionedTransaction.deserialize(Buffer.from(text(body), 'base64'));
  } catch {
    throw malformed();
  }
}

export function object(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed();
  return value as Record<string, unknown>; // an object: any key may be looked up
}

export function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw malformed();
  return value;
}

export function text(value: unknown): string {
  if (typeof value !== 'string') throw malformed();
  return value;
}

/** Lamports of accounts as well: those of the bridge are exact in JSON. */
export function whole(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw malformed();
  return value;
}

const malformed = (): AuditError =>
  new AuditError('malformed', 'A source gives a transaction in no form that a node of Solana has.');
