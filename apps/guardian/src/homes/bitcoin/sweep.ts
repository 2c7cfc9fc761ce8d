/**
 * Deposits are gathered before their refund opens, or their depositors could take back what was minted for it. The richest go first, and dust keeps none of
 * them waiting: what is worth less than its input stays, and of the others as many go as can be paid for. Who checks a sweep demands no certain
 * choice of coins, only that each of them is due, worth it, and all of them together not too dear: two guardians never see quite the same.
 */
import { BitcoinError, isWorthSpending, MAX_INPUTS, outpointOf, planSweep, type Batch } from '@isthmus/chains';
import type { SweepPlan, VaultCoin, VaultKeys, VaultScript } from '@isthmus/chains';
import type { CoinRow } from './rows.js';

/**
 * What a sweep saves may cost a twentieth of itself even where the vault has nothing to spare: a coin that its depositor takes back makes the books
 * short by all of it. Twenty, so that coins near what they cost do not eat up the vault.
 */
const SHARE = 20n;

/** The most that gathering these coins may cost, of a vault that can spare so much: never more than they are worth. */
export function sweepLimit(coins: readonly VaultCoin[], spare: bigint): bigint {
  const saved = coins.reduce((sum, { value }) => sum + value, 0n);
  const share = saved / SHARE;
  const free = spare < saved ? spare : saved;
  return free > share ? free : share;
}

/** Coins worth more than their input, the richest first. */
export function worthwhile(coins: readonly VaultCoin[], vault: VaultKeys, feeRate: bigint): VaultCoin[] {
  return coins.filter((c) => isWorthSpending(c, vault, feeRate)).toSorted(byValue);
}

/** The largest number of the richest coins that can be paid for; the last reason why not, or null where there is nothing to gather. */
export function planGathering(
  plan: Omit<SweepPlan, 'coins' | 'reserve'>,
  due: readonly VaultCoin[],
  spare: bigint,
): Batch | BitcoinError | null {
  const coins = worthwhile(due, plan.vault, plan.feeRate);
  return most(plan, [], coins, 1, (some) => sweepLimit(some, spare));
}

/**
 * Hands over all that was credited, with as much of what is nobody's as can be paid for; or, where that is too much for one transaction or too dear for
 * it, what gathers some of it first. Nobody's coins that are left are nobody's loss: whoever scatters them holds nothing up. What it replaces took
 * `kept`: as many of them as can be paid for go too, whatever they are worth by now, or it would pay less in all.
 */
export function planHandOver(
  plan: Omit<SweepPlan, 'coins' | 'reserve' | 'changeTo'>,
  locks: { from: VaultScript; to: VaultScript },
  left: { credited: readonly VaultCoin[]; others: readonly VaultCoin[]; kept?: readonly VaultCoin[] },
  spare: bigint,
): Batch | BitcoinError {
  const [must, others] = [left.credited, left.others].map((coins) => worthwhile(coins, plan.vault, plan.feeRate));
  if (!must || !others) throw new Error('Two lists came to fewer.');
  const named = new Set([...must, ...others].map(outpointOf));
  const kept = (left.kept ?? []).filter((c) => !named.has(outpointOf(c))).toSorted(byValue);
  const more = [...others, ...kept];
  const over = must.length < MAX_INPUTS ? most({ ...plan, changeTo: locks.to }, must, more, 0, () => spare) : null;
  if (over && !(over instanceof BitcoinError)) return over;
  const gathered = most({ ...plan, changeTo: locks.from }, [], [...must, ...kept], 1, () => spare);
  return gathered ?? over ?? new BitcoinError('bad-batch', 'There is nothing to hand over.');
}

/** Of these coins, after those that must be, the largest number of the first ones, `least` or more, that a transaction can pay for. */
function most(
  plan: Omit<SweepPlan, 'coins' | 'reserve'>,
  must: readonly VaultCoin[],
  coins: readonly VaultCoin[],
  least: number,
  limit: (some: readonly VaultCoin[]) => bigint,
): Batch | BitcoinError | null {
  let failed: BitcoinError | null = null;
  for (let count = Math.min(coins.length, MAX_INPUTS - 1 - must.length); count >= least; count -= 1) {
    const some = [...must, ...coins.slice(0, count)];
    try {
      return planSweep({ ...plan, coins: some, reserve: limit(some) });
    } catch (error) {
      if (!(error instanceof BitcoinError)) throw error;
      failed = error;
    }
  }
  return failed;
}

/** Whether, at this height, of the confirmations a deposit waits for before its depositor may take it back so many or fewer are left. */
export const isDue = ({ refundAfter, height: mined }: CoinRow, height: number, blocks: number): boolean =>
  refundAfter !== null && height - mined + 1 + blocks >= refundAfter;

const byValue = (a: VaultCoin, b: VaultCoin): number =>
  a.value > b.value ? -1 : a.value < b.value ? 1 : outpointOf(a) < outpointOf(b) ? -1 : 1;
