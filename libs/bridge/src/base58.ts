/** Base58 (Bitcoin's alphabet): how Solana writes addresses, signatures and hashes. Every byte string has exactly one form. */
import { BridgeError } from './errors.js';

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const DIGIT = new Map(Array.from(ALPHABET, (letter, value) => [letter, value]));
/** The work grows with the square of the length; nothing of Solana's written so is longer than a transaction. */
const MAX_BYTES = 1_232;
const MAX_TEXT = 1_700;

/** @throws BridgeError `bad-address` for more bytes than a transaction has */
export function toBase58(bytes: Uint8Array): string {
  if (bytes.length > MAX_BYTES)
    throw new BridgeError('bad-address', `Base58 of more than ${MAX_BYTES} bytes is refused.`);
  // Five digits at a time: their 58^5 times a byte's carry still fits a number exactly.
  const limbs: number[] = [];
  for (const byte of bytes) {
    let carry = byte;
    for (let i = 0; i < limbs.length; i += 1) {
      const value = (limbs[i] as number) * 256 + carry;
      limbs[i] = value % LIMB;
      carry = Math.floor(value / LIMB);
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
  const bytes: number[] = []; // least significant first
  for (const letter of text) {
    let carry = DIGIT.get(letter);
    if (carry === undefined)
      throw new BridgeError('bad-address', 'Base58 has digits and letters without 0, O, I and l.');
    for (let i = 0; i < bytes.length; i += 1) {
      carry += (bytes[i] as number) * 58;
      bytes[i] = carry & 0xff;
      carry >>= 8;
    }
    for (; carry > 0; carry >>= 8) bytes.push(carry & 0xff);
  }
  return Uint8Array.from([...Array<number>(leading(Array.from(text), '1')).fill(0), ...bytes.toReversed()]);
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
