/** The results chain: one hash that stands for what every message of a process up to a slot came to. */
import { createHash, hash } from 'node:crypto';

/** r(-1): before the first slot. */
export const NO_RESULTS: Buffer = Buffer.alloc(32);

/** r(n) = sha256(r(n-1) || sha256(outcome)); `outcome` is the text of the result of slot n as it is stored (JSON). */
export function nextResults(previous: Uint8Array, outcome: string): Buffer {
  return withHash(previous, hash('sha256', outcome, 'buffer'));
}

/** As `nextResults`, where the hash of the outcome is known. */
export function withHash(previous: Uint8Array, outcomeHash: Uint8Array): Buffer {
  return createHash('sha256').update(previous).update(outcomeHash).digest();
}
