/** What an audit asks of a home chain, whatever its family: the facts of a vault up to a final block, in order, each once, and how it stands there. */
import type { Deposit, Proposed, Refund, Release, VaultSpend, VaultState } from './facts.js';

/** A block, by number and hash; on Solana a slot and its block's hash. */
export interface Position {
  height: bigint;
  hash: string;
  /** Milliseconds. */
  at: number;
}

/** Where facts go. */
export interface ChainSink {
  deposit(deposit: Deposit): void;
  release(release: Release): void;
  refund(refund: Refund): void;
  spend(spend: VaultSpend): void;
  proposed(proposed: Proposed): void;
}

/** What a slot says that one must know to read the chain: where no contract tells, keys and addresses are on the schedule only. */
export type SaidOfChain =
  /** The set that holds the vault from now on. */
  | { kind: 'rotation'; keys: readonly string[]; threshold: number }
  /** A deposit address, in whatever form somebody gave it. */
  | { kind: 'address'; data: Uint8Array }
  | { kind: 'proposal'; anchor: string; numbers: readonly bigint[]; content: string };

export interface ChainState {
  paused: boolean;
  /** By what the chain calls the asset. */
  assets: ReadonlyMap<string, VaultState>;
  /** References of deposits that guardians may refuse by now. */
  hopeless: ReadonlySet<string>;
}

export interface HomeChain {
  /** @param at when the slot got its place, milliseconds */
  learn(process: string, at: number, said: SaidOfChain, sink: ChainSink): void;
  /** The newest final block. @throws AuditError */
  final(): Promise<bigint>;
  /** Reads up to a final block what was not read yet. @throws AuditError; after that the reader is of no use */
  read(height: bigint, sink: ChainSink): Promise<Position>;
  /** The vault at the block read last. @throws AuditError */
  state(): Promise<ChainState>;
  /** Times of blocks, milliseconds. @throws AuditError */
  times(blocks: readonly bigint[]): Promise<ReadonlyMap<bigint, number>>;
}
