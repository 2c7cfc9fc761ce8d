/** How long things take, from the chain's finality and how often people of good faith look: estimates, never promises. */
import type { GatewayConfig } from '../config.js';

/** Blocks between a block and its finality by the chain's own word: two epochs of 32 slots, or one. */
const BLOCKS_TO = { finalized: 64, safe: 32 } as const;

/** Seconds. */
export interface Pace {
  /** From the block a transaction is in to its finality. */
  finality: number;
  /** Between two blocks. */
  block: number;
  /** Between two looks of a guardian or the relayer: taken to look as often as this gateway does. */
  look: number;
}

export function paceOf({
  chain,
  pollMs,
}: Pick<GatewayConfig, 'pollMs'> & {
  chain: Pick<GatewayConfig['chain'], 'finality' | 'finalitySeconds'>;
}): Pace {
  const { finality, finalitySeconds } = chain;
  const blocks = 'tag' in finality ? BLOCKS_TO[finality.tag] : finality.confirmations;
  return { finality: finalitySeconds, block: finalitySeconds / blocks, look: pollMs / 1000 };
}

/** Whole seconds from sending a deposit to its tokens: it is included, final, and seen by the guardians. */
export function depositSeconds({ block, finality, look }: Pace): number {
  return Math.ceil(block + finality + look);
}

/** Whole seconds from burning to the final release: the guardians sign, the relayer sends, then as for a deposit. */
export function withdrawalSeconds(pace: Pace): number {
  return Math.ceil(2 * pace.look + pace.block + pace.finality + pace.look);
}
