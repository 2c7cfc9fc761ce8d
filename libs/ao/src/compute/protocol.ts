/** What passes between a worker pool and its workers. */
import type { ProcessEnv, VmMessage } from '../types.js';

/** What to ask of a worker, without the number of the request. */
export type Ask =
  | { op: 'open'; process: string; module: Uint8Array; format: string; env: ProcessEnv; image: Uint8Array | null }
  | { op: 'handle'; process: string; messages: VmMessage[] }
  | { op: 'dry-run'; process: string; message: VmMessage }
  | { op: 'snapshot'; process: string }
  | { op: 'close'; process: string };

export type Request = Ask & { id: number };

export type Response = { id: number; value: unknown } | { id: number; error: string };
