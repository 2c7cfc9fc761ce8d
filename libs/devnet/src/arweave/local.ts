/** What a running local Arweave is to those who started it. */
import type { Faults } from './faults.js';
import type { ArweaveNode, ForkOptions } from './node.js';
import type { Block } from './weave.js';

export interface ArweaveOptions {
  /** Folder the weave is kept in. */
  dir: string;
  /** 0 or none: a free one. */
  port?: number;
  /** From one block to the next while something waits or is not yet settled; none: blocks come by `mine` only. */
  blockMs?: number;
  /** Winstons of wallets that never had any, by address: given once. */
  fund?: Readonly<Record<string, bigint>>;
}

export interface LocalArweave {
  url: string;
  port: number;
  node: ArweaveNode;
  faults: Faults;
  mint: (address: string, winston: bigint) => Promise<void>;
  /** Mines blocks, and gives the last. */
  mine: (blocks?: number) => Promise<Pick<Block, 'height' | 'hash'>>;
  /** Another branch, one block longer, replaces the last `depth` blocks. */
  fork: (depth: number, options?: ForkOptions) => Promise<Pick<Block, 'height' | 'hash'>>;
  drop: (id: string) => Promise<void>;
  stop: () => Promise<void>;
}
