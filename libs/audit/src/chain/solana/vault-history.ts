/** What a final transaction did to a vault on Solana (docs/solana.md): money that came with its memo, payments with theirs, and what is neither. */
import { getAssociatedTokenAddressSync, NATIVE_MINT, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID } from '@solana/spl-token';
import { PublicKey, SystemProgram } from '@solana/web3.js';
import type { ChainSink } from '../../domain/chain.js';
import { AuditError } from '../../domain/error.js';
import type { AssetPlace, Deposit } from '../../domain/facts.js';
import { forwardedTags, recipientBytes } from '../../domain/forms.js';
import type { Holding, Instruction, SolanaTransaction } from './transaction.js';

const TOKEN_PROGRAMS = [TOKEN_PROGRAM_ID.toBase58(), TOKEN_2022_PROGRAM_ID.toBase58()];
const SYSTEM = SystemProgram.programId.toBase58();
const MEMOS = ['MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr', 'Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo'];

interface Movement {
  from: string;
  to: string;
  authority: string;
  amount: bigint;
}

export const isSol = ({ asset }: AssetPlace): boolean => asset.endsWith('/slip44:501');
const mintOf = (place: AssetPlace): string =>
  isSol(place) ? NATIVE_MINT.toBase58() : (place.asset.split(':').pop() ?? '');

/** What the vault had before a transaction and after. @throws AuditError `malformed` when it holds another token */
export function heldIn({ lamports, tokens }: Holding, place: AssetPlace): [bigint, bigint] {
  if (isSol(place)) return [...lamports];
  const [before, after] = tokens.map((held) => {
    if (held && held.mint !== mintOf(place))
      throw new AuditError('malformed', `${place.vault} holds ${held.mint}, not ${mintOf(place)}.`);
    return held?.amount ?? 0n;
  });
  return [before ?? 0n, after ?? 0n];
}

/** @param change of what the vault has, by the transaction, which did not fail */
export function handOn(tx: SolanaTransaction, place: AssetPlace, change: bigint, sink: ChainSink): void {
  const { instructions, signature, slot } = tx;
  const where = { block: BigInt(slot), tx: signature };
  const moved = instructions.flatMap((outer, top) =>
    [outer, ...outer.inner].flatMap((one, i) => {
      const movement = movementOf(one, place);
      const isOurs = movement && movement.from !== movement.to && [movement.from, movement.to].includes(place.vault);
      return isOurs ? [{ ...movement, top, path: i === 0 ? `${top}` : `${top}.${i - 1}` }] : [];
    }),
  );
  const coming = moved.filter((m) => m.to === place.vault);
  const gone = sum(moved.filter((m) => m.from === place.vault));
  const came = change + gone;
  const isWhole = came >= sum(coming);
  for (const { top, path, authority, amount: told } of coming) {
    const amount = isWhole ? told : coming.length === 1 && came > 0n ? came : 0n;
    if (isWhole && amount === 0n) continue;
    const { to, tags } = amount > 0n ? memoBehind(instructions, top) : refused('amount-unclear');
    const reference = `${place.chain}:${signature}:${path}`;
    sink.deposit({ reference, asset: place.address, sender: authority, amount, fee: 0n, to, tags, ...where });
  }
  const payments = gone > 0n ? paymentsIn(tx, place) : [];
  for (const payment of payments) sink.release({ asset: place.address, fee: null, held: false, ...payment, ...where });
  const lost = gone + (came < 0n ? -came : 0n);
  if (lost > 0n && payments.length === 0) sink.spend({ process: place.process, taken: lost, outputs: [], ...where });
}

/** Each payment with its memo right behind it. */
function paymentsIn({ instructions, holdings }: SolanaTransaction, place: AssetPlace) {
  return instructions.flatMap(({ program, data }, i) => {
    const [, process, number] = MEMOS.includes(program)
      ? (/^isthmus:([A-Za-z0-9_-]{43}):([1-9][0-9]{0,18})$/.exec(data.subarray(0, 100).toString('latin1')) ?? [])
      : [];
    const before = instructions[i - 1];
    const paying = before && movementOf(before, place);
    if (process === undefined || number === undefined || !paying) return [];
    const owner = ownerOf(paying.to, holdings.get(paying.to), place);
    return [{ process, number: BigInt(number), recipient: owner, paid: paying.amount }];
  });
}

/** The wallet that was paid: of a token account, whose associated one it is. */
function ownerOf(account: string, holding: Holding | undefined, place: AssetPlace): string {
  const tokens = holding?.tokens[1];
  if (isSol(place) || !tokens) return account;
  const [mint, owner, program] = [tokens.mint, tokens.owner, tokens.program].map((key) => new PublicKey(key));
  if (!mint || !owner) return account;
  return getAssociatedTokenAddressSync(mint, owner, true, program).toBase58() === account
    ? tokens.owner
    : `account ${account}`;
}

/** A plain transfer of tokens, or of lamports where SOL is held. */
function movementOf({ program, accounts, data }: Instruction, place: AssetPlace): Movement | null {
  if (TOKEN_PROGRAMS.includes(program)) {
    if ((data[0] !== 3 && data[0] !== 12) || data.length < 9) return null;
    const [from, to, authority] = data[0] === 3 ? accounts : [accounts[0], accounts[2], accounts[3]];
    return moving(from, to, authority, data.readBigUInt64LE(1));
  }
  if (program !== SYSTEM || !isSol(place) || data.length < 12) return null;
  const kind = data.readUInt32LE(0);
  if (kind === 2) return moving(accounts[0], accounts[1], accounts[0], data.readBigUInt64LE(4));
  return kind === 11 ? moving(accounts[0], accounts[2], accounts[1], data.readBigUInt64LE(4)) : null;
}

function moving(from: string | undefined, to: string | undefined, authority: string | undefined, amount: bigint) {
  return from === undefined || to === undefined || authority === undefined ? null : { from, to, authority, amount };
}

type Memo = Pick<Deposit, 'to' | 'tags'>;

function memoBehind(instructions: readonly Instruction[], top: number): Memo {
  const [memo, second] = [instructions[top + 1], instructions[top + 2]];
  if (!memo || !MEMOS.includes(memo.program)) return refused('no-memo');
  if (second && MEMOS.includes(second.program)) return refused('two-memos');
  let said: string;
  try {
    said = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(memo.data);
  } catch {
    return refused('bad-memo');
  }
  const cut = said.indexOf('\n');
  const [first, rest] = cut < 0 ? [said, ''] : [said.slice(0, cut), said.slice(cut + 1)];
  const recipient = first.slice('ao:'.length);
  if (!first.startsWith('ao:') || !recipientBytes(recipient)) return refused('bad-memo');
  const tags = Buffer.from(rest).toString('hex') || '-';
  return { to: { recipient }, tags: forwardedTags(tags) ? tags : '-' };
}

const refused = (reason: string): Memo => ({ to: { refused: reason }, tags: '-' });
const sum = (list: readonly { amount: bigint }[]): bigint => list.reduce((total, { amount }) => total + amount, 0n);
