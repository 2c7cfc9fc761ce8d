/** What passes between a worker pool and its workers. */
import type { EvaluationResult, MemoryImage, ProcessEnv, VmMessage } from '../types.js';
import type { Interpreter, Interpreters } from './interpreters.js';

/** What to ask of a worker, without the number of the request. */
export type Ask =
  | {
      op: 'open';
      process: string;
      module: Uint8Array;
      format: string;
      env: ProcessEnv;
      image: MemoryImage | null;
      inHurry: boolean;
    }
  /** Answered for the first of the messages only when they give or take much. */
  | { op: 'handle'; process: string; messages: VmMessage[]; inHurry: boolean }
  /** Packed entries whose results are known. */
  | { op: 'replay'; process: string; entries: Uint8Array; inHurry: boolean }
  /** Packed entries that are evaluated again, for their results as they are stored. */
  | { op: 'evaluate'; process: string; entries: Uint8Array; inHurry: boolean }
  /** Handles messages that had their effect where the process lives; fails when one has not here. */
  | { op: 'follow'; process: string; messages: VmMessage[] }
  | { op: 'dry-run'; process: string; message: VmMessage }
  | { op: 'snapshot'; process: string }
  | { op: 'checkpoint'; process: string }
  | { op: 'close'; process: string };

/** Answer to what may be asked in a hurry. */
export interface Hurried {
  /** Whether the next thing was given up, since it takes long: it is to be asked for where nobody waits. */
  takesLong: boolean;
}

/** Answer to `handle`: at least one of its messages was handled, or given up. */
export interface Handled extends Hurried {
  results: EvaluationResult[];
  /** What they took. */
  milliseconds: number;
}

/** Answer to `replay`: at least one of its entries was evaluated, or given up. */
export interface Replayed extends Hurried {
  /** How many were, and their bytes. */
  count: number;
  bytes: number;
  milliseconds: number;
}

/** Answer to `evaluate`: as to `replay`, with the outcomes as `PackedOutcomes` reads them. */
export interface Evaluated extends Replayed {
  outcomes: Uint8Array;
}

/** Answer to `dry-run`. */
export interface Read {
  result: EvaluationResult;
  milliseconds: number;
}

/** What a worker begins with. */
export interface ThreadData {
  /** Its first number is 1 while other processes wait: a turn that has lasted a while ends then. */
  others: Int32Array;
  /** How far the thread stands back behind all others, from 0 to 19. */
  nice: number;
  /** Interpreters that other threads have compiled. */
  interpreters: Interpreters;
}

/** What a thread says unasked: an interpreter it has compiled, for threads begun later. */
export interface Compiled {
  interpreter: Interpreter;
  module: WebAssembly.Module;
}

export type Request = Ask & { id: number };

/** `usage`: bytes of memory its process holds after the request. */
export type Response = { id: number; usage: number } & ({ value: unknown } | { error: string });
