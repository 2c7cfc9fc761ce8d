/** How long things take, from the chain's finality and how often people of good faith look: estimates, never promises. */
import type { Pace } from '../homes/home.js';

/** Whole seconds from sending a deposit to its tokens: it is included, final, and seen by the guardians. */
export function depositSeconds({ block, finality, look }: Pace): number {
  return Math.ceil(block + finality + look);
}

/** Whole seconds from burning to the final release: the guardians sign, the relayer sends, then as for a deposit. */
export function withdrawalSeconds(pace: Pace): number {
  return Math.ceil(2 * pace.look + pace.block + pace.finality + pace.look);
}
