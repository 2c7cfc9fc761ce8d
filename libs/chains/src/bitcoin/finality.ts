/** When a deposit is final: the more money, the more blocks. A table in configuration, in rising order. */
import { BitcoinError } from './errors.js';

export interface FinalityStep {
  /** Satoshis up to which this many confirmations are enough; null: any amount. */
  upTo: bigint | null;
  confirmations: number;
}

export type FinalityPolicy = readonly FinalityStep[];

/** A reward may be spent no sooner (consensus): before that it can vanish with its block and cannot be swept. */
export const COINBASE_MATURITY = 100;
const MAX_CONFIRMATIONS = 144;

export const DEFAULT_FINALITY: FinalityPolicy = [
  { upTo: 1_000_000n, confirmations: 1 },
  { upTo: 10_000_000n, confirmations: 2 },
  { upTo: 100_000_000n, confirmations: 3 },
  { upTo: null, confirmations: 6 },
];

/** @throws BitcoinError `bad-terms` unless each step is for more money and at least as many confirmations as the one before, and the last for any */
export function checkFinality(policy: FinalityPolicy): void {
  const rising = policy.every((step, i) => {
    const before = policy[i - 1];
    const { upTo, confirmations } = step;
    if (!Number.isInteger(confirmations) || confirmations < 1 || confirmations > MAX_CONFIRMATIONS) return false;
    if ((upTo === null) !== (i === policy.length - 1)) return false;
    if (!before) return upTo === null || upTo > 0n;
    return confirmations >= before.confirmations && (upTo === null || upTo > (before.upTo ?? 0n));
  });
  if (policy.length === 0 || !rising)
    throw new BitcoinError(
      'bad-terms',
      'A finality policy rises in money and confirmations, and its last step is for any amount.',
    );
}

/** Confirmations a deposit needs. `amount` is all that its block pays the vault: many small ones are taken back as easily as a large one. */
export function confirmationsFor(policy: FinalityPolicy, amount: bigint, coinbase: boolean): number {
  const step = policy.find(({ upTo }) => upTo === null || amount <= upTo);
  const confirmations = step?.confirmations ?? MAX_CONFIRMATIONS;
  return coinbase ? Math.max(confirmations, COINBASE_MATURITY) : confirmations;
}
