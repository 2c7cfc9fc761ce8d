/**
 * What a final transaction did to a vault: deposits, payments, and what is neither. Logs are never looked at. A transfer counts when the
 * vault's balance really changed by it; its memo is the one memo instruction right behind the top-level instruction that made it.
 */
import { decodeMemo, type DepositMemo } from '@isthmus/bridge';
import { readReleaseMemo } from './memo.js';
import { isNative, MEMO_PROGRAMS, movementOf, type Movement, type VaultAccount } from './programs.js';
import type { ChainTransaction, Holding, Instruction } from './transaction.js';

/** Why a deposit has nobody to be credited to. */
export type Unclaimed = 'no-memo' | 'two-memos' | 'bad-memo' | 'amount-unclear';

export type VaultEvent =
  | {
      type: 'deposited';
      signature: string;
      path: string;
      slot: number;
      time: number | null;
      /** Who moved it: the source account's owner or delegate. */
      sender: string;
      /** What the vault received by it, base units; 0 when that is unclear. */
      amount: bigint;
      memo: DepositMemo | Unclaimed;
    }
  | {
      type: 'released';
      signature: string;
      slot: number;
      process: string;
      number: bigint;
      /** The account that was paid: a token account, or a wallet when SOL was. */
      to: string;
      amount: bigint;
    }
  /** Value left the vault and no payment says so. */
  | { type: 'unexplained'; signature: string; slot: number; amount: bigint };

/** Thrown when a source's own numbers contradict each other; nothing is concluded. */
export class TransactionUnclear extends Error {
  readonly code = 'transaction-unclear';
}

interface Placed {
  movement: Movement;
  /** Index of the top-level instruction it is in. */
  top: number;
  path: string;
}

/** What a vault held, in base units: lamports for SOL. @throws TransactionUnclear when another mint is in its place */
export function heldBy(vault: VaultAccount, { lamports, token }: Holding): bigint {
  if (isNative(vault)) return lamports;
  if (token === null) return 0n;
  if (token.mint !== vault.mint || token.program !== vault.program)
    throw new TransactionUnclear(`${vault.address} holds ${token.mint}, not ${vault.mint}.`);
  return token.amount;
}

/** What a transaction did to a vault, in the order of its instructions; a failed one did nothing. */
export function eventsOf(transaction: ChainTransaction, vault: VaultAccount): VaultEvent[] {
  const holding = transaction.holdings.get(vault.address);
  if (transaction.failed || holding === undefined) return [];
  const change = heldBy(vault, holding.after) - heldBy(vault, holding.before);
  const movements = movementsOf(transaction, vault);
  const coming = movements.filter((m) => m.movement.to === vault.address);
  const going = movements.filter((m) => m.movement.from === vault.address);
  const released = going.length > 0 ? releasesOf(transaction, vault) : [];
  const left = sum(going);
  const deposits = depositsOf(transaction, coming, change + left);
  const lost = left + (change + left < 0n ? -(change + left) : 0n);
  const { signature, slot } = transaction;
  if (lost > 0n && released.length === 0) return [...deposits, { type: 'unexplained', signature, slot, amount: lost }];
  return [...deposits, ...released];
}

/** Transfers to and from the vault, top-level and called, except to itself. */
function movementsOf({ instructions }: ChainTransaction, vault: VaultAccount): Placed[] {
  const found: Placed[] = [];
  const look = (instruction: Instruction, top: number, path: string): void => {
    const movement = movementOf(instruction, vault);
    if (movement === null || movement.from === movement.to) return;
    if (movement.from === vault.address || movement.to === vault.address) found.push({ movement, top, path });
  };
  instructions.forEach((instruction, top) => {
    look(instruction, top, `${top}`);
    instruction.inner.forEach((called, i) => look(called, top, `${top}.${i}`));
  });
  return found;
}

/**
 * Each transfer counts for what it says as long as the vault has received all of it. When it received less, one transfer counts for what came;
 * of several it cannot be said which. What came besides (interest, an account closed into it) is nobody's deposit.
 */
function depositsOf(transaction: ChainTransaction, coming: readonly Placed[], received: bigint): VaultEvent[] {
  const whole = received >= sum(coming);
  const { signature, slot, time } = transaction;
  return coming.flatMap(({ movement, top, path }): VaultEvent[] => {
    const amount = whole ? movement.amount : coming.length === 1 && received > 0n ? received : 0n;
    const clear = whole || amount > 0n;
    if (clear && amount === 0n) return []; // a transfer of nothing
    const memo = clear ? memoBehind(transaction, top) : 'amount-unclear';
    return [{ type: 'deposited', signature, path, slot, time, sender: movement.authority, amount, memo }];
  });
}

function memoBehind({ instructions }: ChainTransaction, top: number): DepositMemo | Unclaimed {
  const [memo, second] = [instructions[top + 1], instructions[top + 2]];
  if (memo === undefined || !MEMO_PROGRAMS.includes(memo.program)) return 'no-memo';
  if (second !== undefined && MEMO_PROGRAMS.includes(second.program)) return 'two-memos';
  return decodeMemo(memo.data) ?? 'bad-memo';
}

/** Payments of a transaction that the guardians signed: its memos are theirs. */
function releasesOf({ instructions, signature, slot }: ChainTransaction, vault: VaultAccount): VaultEvent[] {
  return instructions.flatMap((instruction, i): VaultEvent[] => {
    const named = MEMO_PROGRAMS.includes(instruction.program) ? readReleaseMemo(instruction.data) : null;
    const paying = instructions[i - 1];
    const paid = paying === undefined ? null : movementOf(paying, vault);
    if (named === null || paid === null) return [];
    return [{ type: 'released', signature, slot, ...named, to: paid.to, amount: paid.amount }];
  });
}

const sum = (placed: readonly Placed[]): bigint => placed.reduce((total, { movement }) => total + movement.amount, 0n);
