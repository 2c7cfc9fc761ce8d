/** What passes between a replay, which is a process of its own, and who started it. Types only. */
import type { Finding } from '../reader/finding.js';

/** What is asked of a replay. */
export interface ReplayRequest {
  /** URL of a gateway of Arweave. */
  from: string;
  scheduler: string;
  /** Token processes to take for assets; all that the scheduler names unless told. */
  processes?: readonly string[] | undefined;
  /** RPC sources of home chains, `<chain>=<url>` or `<url>`; without them none is read. */
  rpc?: readonly string[] | undefined;
  /** Which home chain those are of that name none (CAIP-2); told where there are several. */
  chain?: string | undefined;
  /** The vault is not older than this block. */
  fromBlock?: number | undefined;
  /** Begin each process at its newest checkpoint. */
  checkpoint?: boolean | undefined;
  /** Database to rebuild into; one that is gone afterwards unless told. */
  into?: string | undefined;
  /** Guardians (addresses), or files, to have slots from that were not settled. */
  tail?: readonly string[] | undefined;
  /** File to write state and index to. */
  dump?: string | undefined;
}

export type ReplayPhase = 'reading' | 'evaluating' | 'indexing' | 'projecting' | 'reading the chains';

/** How far a replay is. */
export interface ReplayProgress {
  phase: ReplayPhase;
  bundles: number;
  /** Number of the last bundle, as far as anybody claims one; 0 while that is not known. */
  of: number;
  /** Slots read, and slots evaluated. */
  slots: number;
  evaluated: number;
}

/** What a replay came to. Amounts are strings of base units. */
export interface ReplayReport {
  scheduler: string;
  /** The last seal, and its number. */
  seal: string;
  sequence: number;
  /** SHA-256 of the canonical state; of the index, null from checkpoints. */
  state: string;
  index: string | null;
  transfers: number | null;
  bundles: number;
  bytes: number;
  slots: number;
  /** Results computed. */
  evaluated: number;
  /** Processes that began at a checkpoint; null when it was not asked for. */
  fromCheckpoints: number | null;
  /** From the first look at Arweave to the hash of the state. */
  milliseconds: number;
  /** Most memory the process held. */
  peakBytes: number;
  processes: { process: string; slot: number; assignment: string; hashChain: string; results: string | null }[];
  assets: { asset: string; process: string; minted: string; burned: string; released: string }[];
  /** Held against their home chains; none when none was read. */
  books: {
    asset: string;
    process: string;
    height: string;
    locked: string;
    supply: string;
    inFlight: string;
    releasedUnattested: string;
    /** Payments of withdrawals that no settled slot has; at most 100. */
    early: { number: string; tx: string }[];
  }[];
  /** Slots behind the last seal, from tails; the state does not count them. */
  tail: { process: string; from: number; to: number }[];
  /** Processes that go no further on this machine. */
  stopped: { process: string; slot: number; reason: string }[];
}

export type ReplayMessage =
  | ({ kind: 'progress' } & ReplayProgress)
  | { kind: 'done'; report: ReplayReport }
  | { kind: 'finding'; finding: Finding }
  | { kind: 'failed'; message: string };
