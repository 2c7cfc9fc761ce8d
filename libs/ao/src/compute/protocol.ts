/** What passes between a worker pool and its workers. */
import type { EvaluationResult, MemoryImage, ProcessEnv, VmMessage } from '../types.js';

/** What to ask of a worker, without the number of the request. */
export type Ask =
  | { op: 'open'; process: string; module: Uint8Array; format: string; env: ProcessEnv; image: MemoryImage | null }
  /** Answered for the first of the messages only when they give or take much. */
  | { op: 'handle'; process: string; messages: VmMessage[] }
  /** Packed entries whose results are known. */
  | { op: 'replay'; process: string; entries: Uint8Array }
  | { op: 'dry-run'; process: string; message: VmMessage }
  | { op: 'snapshot'; process: string }
  | { op: 'checkpoint'; process: string }
  | { op: 'close'; process: string };

/** Answer to `handle`: at least one of its messages was handled. */
export interface Handled {
  results: EvaluationResult[];
  /** What they took. */
  milliseconds: number;
}

/** Answer to `replay`: at least one of its entries was evaluated. */
export interface Replayed {
  /** Bytes of those that were. */
  bytes: number;
  milliseconds: number;
}

export type Request = Ask & { id: number };

/** `usage`: bytes of memory its process holds after the request. */
export type Response = { id: number; usage: number } & ({ value: unknown } | { error: string });
