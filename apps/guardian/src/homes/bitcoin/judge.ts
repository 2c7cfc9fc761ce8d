/**
 * What becomes of a payment to the vault once it is final: who is credited, or why nobody is. By the chain alone but for two reasons, which follow from the
 * tip and the schedule as they are then: two guardians may decide otherwise, so neither holds against what is minted or moved.
 */
import { creditedOf, deepestOf, type BitcoinTerms } from '@isthmus/bridge';
import { confirmationsFor } from '@isthmus/chains';
import type { CoinRow } from './rows.js';

export interface Judging {
  /** The last block that was scanned, and the last that is known: between them there may be more about a coin. */
  height: number;
  tip: number;
  terms: BitcoinTerms;
  /** Output script of the vault the deciding set holds. */
  holding: string | null;
}

export type Refusal =
  | 'below-minimum'
  /** The depositor could take it back before it is swept. */
  | 'refund-near'
  /** The depositor has taken it back. */
  | 'refunded'
  /** Only guardians that have left could move it. */
  | 'old-vault'
  /** What is wrong with its memo. */
  | (string & {});

/** `amount`: what is minted for it. */
export type Verdict = { state: 'seen' } | { state: 'credited'; amount: bigint } | { state: 'refused'; reason: Refusal };

export function judge(coin: CoinRow, where: Judging): Verdict {
  const { height, tip, terms, holding } = where;
  const required = confirmationsFor(terms.finality, coin.together, coin.coinbase);
  if (height - coin.height + 1 < required) return { state: 'seen' };
  const { fault, spent, refundAfter } = coin;
  if (fault !== null) return { state: 'refused', reason: fault };
  const amount = creditedOf(coin.value, terms);
  if (amount === null) return { state: 'refused', reason: 'below-minimum' };
  if (spent?.refund) return { state: 'refused', reason: 'refunded' };
  // What M guardians have minted, or moved for good, is the vault's, whatever this one's tip was when it came to know of it.
  if (coin.minted) return { state: 'credited', amount };
  if (spent) return height - spent.height + 1 < deepestOf(terms) ? { state: 'seen' } : { state: 'credited', amount };
  const isNear = (at: number) => refundAfter !== null && at - coin.height + 1 + terms.sweepMargin >= refundAfter;
  if (isNear(coin.height + required - 1)) return { state: 'refused', reason: 'refund-near' };
  const reason = isNear(tip) ? 'refund-near' : coin.vault === holding ? null : 'old-vault';
  if (reason === null) return { state: 'credited', amount };
  return height < tip ? { state: 'seen' } : { state: 'refused', reason };
}
