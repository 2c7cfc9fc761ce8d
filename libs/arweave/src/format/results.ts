/** The results chain: one hash that stands for what every message of a process up to a slot came to. */
import { createHash, hash } from 'node:crypto';

/** r(-1): before the first slot. */
export const NO_RESULTS: Buffer = Buffer.alloc(32);

/** r(n) = sha256(r(n-1) || sha256(outcome)); `outcome` is the text of the result of slot n as it is stored (JSON). */
export function nextResults(previous: Uint8Array, outcome: string): Buffer {
  return createHash('sha256')
    .update(previous)
    .update(hash('sha256', outcome, 'buffer'))
    .digest();
}
