/**
 * Where a bundle is on its way: `sealed` (signed and stored here), `posted` (all of it taken by the network), `confirmed` (deep enough to be
 * relied on, and its bytes came back), `final` (no longer watched). Back to `posted` when its block is gone, to `sealed` when it is dropped.
 */
import type { TransactionStatus } from '../client/arweave-client.js';

export const BUNDLE_STATES = ['sealed', 'posted', 'confirmed', 'final'] as const;
export type BundleState = (typeof BUNDLE_STATES)[number];

export interface Depths {
  /** Blocks on top of a bundle's that make it confirmed, and final. */
  confirmations: number;
  finalConfirmations: number;
  /** Milliseconds for which the gateway may not know a transaction that was posted, before it counts as dropped. */
  dropMs: number;
}

/**
 * Each time another transaction was signed for a bundle, and so may have been paid for, the patience before the next doubles, so often at most:
 * a gateway that knows nothing of what it took, half an hour at first, makes the wallet pay once in 32 hours in the end.
 */
const MOST_DOUBLED = 6;

/** What to do about a bundle that was posted. */
export type Verdict =
  /** Nothing yet. */
  | { do: 'wait' }
  /** It is confirmed once its bytes are seen. */
  | { do: 'confirm'; height: number }
  | { do: 'finish'; height: number }
  /** Its block is gone: it waits for another. */
  | { do: 'reopen'; reason: string }
  /** The network has forgotten it: post it again. */
  | { do: 'repost'; reason: string };

export function verdict(
  bundle: { state: BundleState; postedAt: Date | null; signed: number },
  status: TransactionStatus,
  { confirmations, finalConfirmations, dropMs }: Depths,
  now: number,
): Verdict {
  const { state, postedAt, signed } = bundle;
  const deep = status.state === 'mined' ? status.confirmations : -1;
  if (state === 'confirmed' && deep < confirmations)
    return { do: 'reopen', reason: 'its block is gone: Arweave has gone on without it' };
  if (status.state === 'mined') {
    if (state === 'confirmed' && deep >= finalConfirmations) return { do: 'finish', height: status.height };
    if (state === 'posted' && deep >= confirmations) return { do: 'confirm', height: status.height };
    return { do: 'wait' };
  }
  const patience = dropMs * 2 ** Math.min(Math.max(signed - 1, 0), MOST_DOUBLED);
  const forgotten = status.state === 'unknown' && now - (postedAt?.getTime() ?? 0) >= patience;
  return forgotten ? { do: 'repost', reason: 'dropped: the gateway does not know its transaction' } : { do: 'wait' };
}
