/** How long things take on a chain like Ethereum. */
import type { Pace } from '../home.js';
import type { EthereumChainConfig } from './config.js';

/** Blocks between a block and its finality by the chain's own word: two epochs of 32 slots, or one. */
const BLOCKS_TO = { finalized: 64, safe: 32 } as const;

export function paceOf(
  { finality, finalitySeconds }: Pick<EthereumChainConfig, 'finality' | 'finalitySeconds'>,
  pollMs: number,
): Pace {
  const blocks = 'tag' in finality ? BLOCKS_TO[finality.tag] : finality.confirmations;
  return { finality: finalitySeconds, block: finalitySeconds / blocks, look: pollMs / 1000 };
}
