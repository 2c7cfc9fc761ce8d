/** A final transaction as a source gives it: its signed bytes, and what the cluster says it did. Nothing is taken that does not fit together. */
import { fromBase58, isBase58, isSolanaAddress, toBase58 } from '@isthmus/bridge';
import { VersionedTransaction } from '@solana/web3.js';
import { RpcError } from '../sources.js';
import { hasSigned } from './keys.js';

export interface Instruction {
  program: string;
  accounts: readonly string[];
  data: Uint8Array;
}

export interface TokenAmount {
  mint: string;
  owner: string;
  program: string;
  amount: bigint;
}

/** What one address had before and after. */
export interface Holding {
  lamports: bigint;
  token: TokenAmount | null;
}

export interface ChainTransaction {
  signature: string;
  slot: number;
  /** Seconds since 1970; null when the cluster has not said. */
  time: number | null;
  failed: boolean;
  /** In order; with each the instructions it called, at whatever depth. */
  instructions: readonly (Instruction & { inner: readonly Instruction[] })[];
  holdings: ReadonlyMap<string, { before: Holding; after: Holding }>;
}

type Json = Readonly<Record<string, unknown>>;

const SIGNATURE_BYTES = 64;

/** Reads an answer of `getTransaction` with base64. @throws RpcError for anything that is not this transaction, whole */
export function readTransaction(signature: string, value: unknown): ChainTransaction {
  if (value === null) throw new RpcError(`it lists transaction ${signature} and does not give it`);
  const answer = object(value, 'a transaction');
  const meta = object(answer['meta'], 'what a transaction did');
  const [body] = array(answer['transaction'], 'a transaction');
  const { wire, transaction } = parse(body);
  const { message, signatures } = transaction;
  const [first] = signatures;
  if (first === undefined || !Buffer.from(first).equals(fromBase58(signature)))
    throw new RpcError('it gives another transaction');
  const staticKeys = message.staticAccountKeys.map((key) => toBase58(key.toBytes()));
  if (!hasSigned(staticKeys[0] ?? '', signedBytes(wire, signatures.length), first))
    throw new RpcError('it gives a transaction nobody signed');
  const keys = [...staticKeys, ...loadedKeys(meta, message.addressTableLookups)];
  const inner = innerInstructions(meta, keys);
  return {
    signature,
    slot: whole(answer['slot'], 'a slot'),
    time:
      answer['blockTime'] === null || answer['blockTime'] === undefined ? null : whole(answer['blockTime'], 'a time'),
    failed: meta['err'] !== null,
    instructions: message.compiledInstructions.map((one, i) => ({
      ...instruction(one.programIdIndex, one.accountKeyIndexes, one.data, keys),
      inner: inner.get(i) ?? [],
    })),
    holdings: holdingsOf(meta, keys),
  };
}

/** Equal for equal content, whatever a source's spelling. */
export function contentOf(transaction: ChainTransaction): string {
  const { holdings, instructions, ...rest } = transaction;
  return JSON.stringify([rest, [...holdings], instructions], (_, value: unknown) =>
    typeof value === 'bigint'
      ? value.toString()
      : value instanceof Uint8Array
        ? Buffer.from(value).toString('hex')
        : value,
  );
}

function parse(body: unknown): { wire: Uint8Array; transaction: VersionedTransaction } {
  if (typeof body !== 'string') throw new RpcError('it gives something else as a transaction');
  try {
    const wire = Buffer.from(body, 'base64');
    return { wire, transaction: VersionedTransaction.deserialize(wire) };
  } catch {
    throw new RpcError('it gives something else as a transaction');
  }
}

/** What is signed: all after the signatures, whose number comes first, seven bits a byte. */
function signedBytes(wire: Uint8Array, signatures: number): Uint8Array {
  let at = 0;
  while (((wire[at] ?? 0) & 0x80) !== 0) at += 1;
  return wire.subarray(at + 1 + SIGNATURE_BYTES * signatures);
}

function loadedKeys(
  meta: Json,
  lookups: readonly { writableIndexes: number[]; readonlyIndexes: number[] }[],
): string[] {
  if (lookups.length === 0) return [];
  const loaded = object(meta['loadedAddresses'], 'addresses of lookup tables');
  const part = (name: 'writable' | 'readonly', count: number): string[] => {
    const found = array(loaded[name], 'addresses of lookup tables').map((a) => addressOf(a));
    if (found.length !== count) throw new RpcError('it gives other addresses than a transaction looks up');
    return found;
  };
  const count = (of: 'writableIndexes' | 'readonlyIndexes') => lookups.reduce((sum, l) => sum + l[of].length, 0);
  return [...part('writable', count('writableIndexes')), ...part('readonly', count('readonlyIndexes'))];
}

function innerInstructions(meta: Json, keys: readonly string[]): Map<number, Instruction[]> {
  if (!Array.isArray(meta['innerInstructions']))
    throw new RpcError('it keeps no inner instructions: another node is needed');
  return new Map(
    meta['innerInstructions'].map((group: unknown) => {
      const { index, instructions } = object(group, 'inner instructions');
      const made = array(instructions, 'inner instructions').map((one) => {
        const { programIdIndex, accounts, data } = object(one, 'an inner instruction');
        if (typeof data !== 'string' || data.length > MAX_INNER_TEXT)
          throw new RpcError('it gives something else as an instruction’s data');
        const indexes = array(accounts, 'accounts').map((i) => whole(i, 'an account'));
        return instruction(whole(programIdIndex, 'a program'), indexes, data, keys);
      });
      return [whole(index, 'an instruction'), made] as const;
    }),
  );
}

/** Base58 of what one instruction may hand to another (10 KiB). */
const MAX_INNER_TEXT = 14_500;
/** Data longer than this is no transfer and no memo that counts: it is not even decoded. */
const MAX_DATA_TEXT = 1_700;

function instruction(
  program: number,
  accounts: readonly number[],
  data: Uint8Array | string,
  keys: readonly string[],
): Instruction {
  const at = (index: number): string => {
    const key = keys[index];
    if (key === undefined) throw new RpcError('it gives an instruction of accounts there are not');
    return key;
  };
  return { program: at(program), accounts: accounts.map(at), data: bytesOf(data) };
}

function bytesOf(data: Uint8Array | string): Uint8Array {
  if (typeof data !== 'string') return data;
  if (data.length > MAX_DATA_TEXT) return new Uint8Array();
  try {
    return fromBase58(data);
  } catch {
    throw new RpcError('it gives something else as an instruction’s data');
  }
}

function holdingsOf(meta: Json, keys: readonly string[]): ChainTransaction['holdings'] {
  const lamports = (name: 'preBalances' | 'postBalances'): bigint[] => {
    const found = array(meta[name], 'balances').map((b) => BigInt(natural(b, 'a balance')));
    if (found.length !== keys.length) throw new RpcError('it gives balances of other accounts');
    return found;
  };
  const [before, after] = [lamports('preBalances'), lamports('postBalances')];
  const [had, has] = [tokensOf(meta['preTokenBalances']), tokensOf(meta['postTokenBalances'])];
  return new Map(
    keys.map((key, i) => [
      key,
      {
        before: { lamports: before[i] as bigint, token: had.get(i) ?? null },
        after: { lamports: after[i] as bigint, token: has.get(i) ?? null },
      },
    ]),
  );
}

function tokensOf(value: unknown): Map<number, TokenAmount> {
  return new Map(
    array(value, 'token balances').map((one) => {
      const { accountIndex, mint, owner, programId, uiTokenAmount } = object(one, 'a token balance');
      const { amount } = object(uiTokenAmount, 'a token amount');
      if (typeof amount !== 'string' || !/^(0|[1-9][0-9]{0,19})$/.test(amount))
        throw new RpcError('it gives something else as an amount');
      const token = {
        mint: addressOf(mint),
        owner: addressOf(owner),
        program: addressOf(programId),
        amount: BigInt(amount),
      };
      return [whole(accountIndex, 'an account'), token] as const;
    }),
  );
}

export function object(value: unknown, what: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RpcError(`it gives something else as ${what}`);
  return value as Json; // an object: any key may be looked up
}

export function array(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw new RpcError(`it gives something else as ${what}`);
  return value;
}

export function whole(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new RpcError(`it gives something else as ${what}`);
  return value;
}

/** Lamports of an account come as a JSON number; one above 2^53 is of no account the bridge looks at, and not exact. */
function natural(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
    throw new RpcError(`it gives something else as ${what}`);
  return value;
}

export function addressOf(value: unknown): string {
  if (!isSolanaAddress(value)) throw new RpcError('it gives something else as an address');
  return value;
}

export function signatureOf(value: unknown): string {
  if (!isBase58(value, 64)) throw new RpcError('it gives something else as a signature');
  return value;
}
