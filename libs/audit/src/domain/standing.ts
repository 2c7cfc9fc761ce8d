/** How things stood at the block and the slots that are audited: what no fact of a transfer says. */
import type { Account } from './account.js';
import type { ProcessState, VaultState } from './facts.js';

/** What a report is made of beside the facts. */
export interface Standing {
  /** Time of the audited block, milliseconds: how long things wait is measured by it. */
  now: number;
  /** How long a deposit, a withdrawal, an attestation may take, milliseconds. */
  patienceMs: number;
  /** Times of blocks, milliseconds; of a block not among them nothing is said to be late. */
  times: ReadonlyMap<bigint, number>;
  vaultPaused: boolean;
  vault: ReadonlyMap<string, VaultState>;
  /** References of deposits that guardians may refuse by now: their depositors can take them back, or only a set that left holds them. */
  hopeless: ReadonlySet<string>;
  processes: ReadonlyMap<string, ProcessState>;
  /**
   * Up to when schedules are shown, by process, milliseconds; of one not among them, all there is. A release after that has its burn where nobody
   * can see it yet, and is judged when the schedule has come so far, or patience is over.
   */
  shownUntil: ReadonlyMap<string, number>;
  /** SHA-256 of the sources a token may run; empty: any. */
  knownCode: ReadonlySet<string>;
}

/** A block's time is its second: what is in it may have been at the end of that. */
const SECOND_MS = 1000;

/** Whether what a block shows may be of after the last slot that is shown. */
export function isAhead(
  { process }: Pick<Account, 'process'>,
  { shownUntil, times, now, patienceMs }: Pick<Standing, 'shownUntil' | 'times' | 'now' | 'patienceMs'>,
  { block }: { block: bigint },
): boolean {
  const [until, at] = [shownUntil.get(process), times.get(block)];
  return until !== undefined && at !== undefined && at + SECOND_MS > until && now - at <= patienceMs;
}
