/** Proof of work: targets, and how the difficulty goes on. As Bitcoin Core's src/pow.cpp, written anew. */
import { BitcoinError } from './errors.js';
import type { BitcoinNetwork } from './network.js';

/** Blocks between two adjustments. */
export const PERIOD = 2_016;
const SPACING = 600;
/** Two weeks. */
const TIMESPAN = PERIOD * SPACING;

/** What the difficulty of a block follows from. */
export interface WorkBlock {
  height: number;
  time: number;
  bits: number;
}

/** The number a block's hash may not be above. @throws BitcoinError `bad-header` when negative, zero, or beyond 256 bits */
export function targetOf(bits: number): bigint {
  const size = bits >>> 24;
  const word = bits & 0x7f_ff_ff;
  const target = size <= 3 ? BigInt(word >>> (8 * (3 - size))) : BigInt(word) << BigInt(8 * (size - 3));
  if (target === 0n || (bits & 0x80_00_00) !== 0 || target >= 1n << 256n)
    throw new BitcoinError('bad-header', 'A header’s target is no target.');
  return target;
}

/** The compact form of a target, rounded down as all nodes do. */
export function bitsOf(target: bigint): number {
  let size = Math.ceil(target.toString(16).length / 2);
  let word = Number(size <= 3 ? target << BigInt(8 * (3 - size)) : target >> BigInt(8 * (size - 3)));
  if ((word & 0x80_00_00) !== 0) {
    word >>>= 8; // the highest bit would be the sign
    size += 1;
  }
  return ((size << 24) | word) >>> 0;
}

/** How many hashes a block of this target took, on average. */
export const workOf = (bits: number): bigint => (1n << 256n) / (targetOf(bits) + 1n);

/** The target a block must have that follows `previous`. `at` gives its ancestors. */
export function requiredBits(
  network: BitcoinNetwork,
  previous: WorkBlock,
  time: number,
  at: (height: number) => WorkBlock,
): number {
  const { difficulty, easiest, bip94 } = network;
  if (difficulty === 'constant') return previous.bits;
  if ((previous.height + 1) % PERIOD === 0) {
    const first = at(previous.height + 1 - PERIOD);
    return adjusted((bip94 ? first : previous).bits, previous.time - first.time, easiest);
  }
  if (difficulty === 'adjusted') return previous.bits;
  if (time > previous.time + 2 * SPACING) return easiest;
  let last = previous;
  while (last.height % PERIOD !== 0 && last.bits === easiest) last = at(last.height - 1);
  return last.bits;
}

/** Four times as hard or as easy at most. */
function adjusted(bits: number, seconds: number, easiest: number): number {
  const took = Math.min(Math.max(seconds, TIMESPAN / 4), TIMESPAN * 4);
  const target = (targetOf(bits) * BigInt(took)) / BigInt(TIMESPAN);
  const limit = targetOf(easiest);
  return bitsOf(target > limit ? limit : target);
}
