/** Base58 (Bitcoin's alphabet): how Solana writes addresses, signatures and hashes. Every byte string has exactly one form. */
import { BridgeError } from './errors.js';

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** Value of a letter by its code; `NONE` for all others. */
const NONE = 255;
const DIGITS = new Uint8Array(128).fill(NONE);
for (const [value, letter] of Array.from(ALPHABET).entries()) DIGITS[letter.charCodeAt(0)] = value;
/** The work grows with the square of the length; nothing of Solana's written so is longer than a transaction. */
const MAX_BYTES = 1_232;
const MAX_TEXT = 1_700;

/** @throws BridgeError `bad-address` for more bytes than a transaction has */
export function toBase58(bytes: Uint8Array): string {
  if (bytes.length > MAX_BYTES)
    throw new BridgeError('bad-address', `Base58 of more than ${MAX_BYTES} bytes is refused.`);
  // Two bytes and five digits at a time: 65,536 times 58^5 still fits a number exactly.
  const limbs: number[] = [];
  for (let at = bytes.length % 2 === 0 ? 0 : -1; at < bytes.length; at += 2) {
    let carry = (bytes[at] ?? 0) * 256 + (bytes[at + 1] as number);
    for (let i = 0; i < limbs.length; i += 1) {
      const value = (limbs[i] as number) * 65_536 + carry;
      carry = Math.floor(value / LIMB);
      limbs[i] = value - carry * LIMB;
    }
    if (carry > 0) limbs.push(carry);
  }
  const digits = limbs
    .map((limb, i) => five(limb, i < limbs.length - 1))
    .toReversed()
    .join('');
  return '1'.repeat(leading(bytes, 0)) + digits;
}

const LIMB = 58 ** 5;

function five(limb: number, padded: boolean): string {
  let text = '';
  for (let rest = limb; rest > 0; rest = Math.floor(rest / 58)) text = ALPHABET.charAt(rest % 58) + text;
  return padded ? text.padStart(5, '1') : text;
}

/** @throws BridgeError `bad-address` for other letters, or too many */
export function fromBase58(text: string): Uint8Array {
  if (text.length > MAX_TEXT)
    throw new BridgeError('bad-address', `Base58 of more than ${MAX_TEXT} letters is refused.`);
  // Four digits and three bytes at a time: 2^24 times 58^4 still fits a number exactly.
  const limbs: number[] = []; // least significant first
  for (let at = 0; at < text.length;) {
    const end = at === 0 ? text.length % 4 || 4 : at + 4;
    let carry = 0;
    for (; at < end; at += 1) carry = carry * 58 + digitOf(text.charCodeAt(at));
    for (let i = 0; i < limbs.length; i += 1) {
      const value = (limbs[i] as number) * FOUR_DIGITS + carry;
      carry = Math.floor(value / THREE_BYTES);
      limbs[i] = value - carry * THREE_BYTES;
    }
    if (carry > 0) limbs.push(carry);
  }
  return bytesOf(limbs, leading(text, '1'));
}

const FOUR_DIGITS = 58 ** 4;
const THREE_BYTES = 2 ** 24;

function digitOf(code: number): number {
  const digit = DIGITS[code] ?? NONE;
  if (digit === NONE) throw new BridgeError('bad-address', 'Base58 has digits and letters without 0, O, I and l.');
  return digit;
}

/** The number these limbs are, in as few bytes as it takes, behind so many zeros. */
function bytesOf(limbs: readonly number[], zeros: number): Uint8Array {
  const top = limbs.at(-1) ?? 0;
  const size = Math.max(limbs.length - 1, 0) * 3 + (top === 0 ? 0 : top < 256 ? 1 : top < 65_536 ? 2 : 3);
  const bytes = new Uint8Array(zeros + size);
  for (let i = 0; i < size; i += 1)
    bytes[zeros + size - 1 - i] = Math.floor((limbs[Math.floor(i / 3)] as number) / 256 ** (i % 3)) & 0xff;
  return bytes;
}

/** Whether `text` is base58 of exactly `size` bytes: 32 for an address or hash, 64 for a signature. */
export function isBase58(text: unknown, size: number): text is string {
  if (typeof text !== 'string' || text.length > size * 2) return false;
  try {
    return fromBase58(text).length === size;
  } catch {
    return false; // other letters
  }
}

function leading<T>(values: ArrayLike<T>, zero: T): number {
  let count = 0;
  while (count < values.length && values[count] === zero) count += 1;
  return count;
}
