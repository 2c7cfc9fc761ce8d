/** When a deposit is final: the more money, the more blocks. The table is in the terms of the home, in rising order. */
import { deepestOf, type FinalityPolicy } from '@isthmus/bridge';

/** A reward may be spent no sooner (consensus): before that it can vanish with its block and cannot be swept. */
export const COINBASE_MATURITY = 100;

/** Confirmations a deposit needs. `amount` is all that its block pays the vault: many small ones are taken back as easily as a large one. */
export function confirmationsFor(finality: FinalityPolicy, amount: bigint, coinbase: boolean): number {
  const step = finality.find(({ upTo }) => upTo === null || amount <= upTo);
  const confirmations = step?.confirmations ?? deepestOf({ finality });
  return coinbase ? Math.max(confirmations, COINBASE_MATURITY) : confirmations;
}
