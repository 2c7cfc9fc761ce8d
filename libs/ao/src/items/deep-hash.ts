/** Arweave's deep hash: one SHA-384 digest over nested lists of byte strings, the message every ANS-104 signature is over. */
import { hash } from 'node:crypto';

export type DeepHashInput = Uint8Array | readonly DeepHashInput[];

const sha384 = (bytes: Uint8Array | string): Buffer => hash('sha384', bytes, 'buffer');

/** 48 bytes; a list's hash folds its items' hashes from the left, and lengths are part of the tags. */
export function deepHash(input: DeepHashInput): Buffer {
  if (input instanceof Uint8Array) return blobHash(input);
  return input.reduce<Buffer>((sum, item) => fold(sum, deepHash(item)), emptyList(input.length));
}

/** Hash of a list of so many items before the first. */
export const emptyList = (length: number): Buffer => sha384(`list${length}`);

/** Hash of a list with one more item. */
export const fold = (sum: Buffer, item: Buffer): Buffer => sha384(Buffer.concat([sum, item], 96));

/** Hash of one byte string. */
export function blobHash(bytes: Uint8Array): Buffer {
  return fold(lengthHash(bytes.byteLength), sha384(bytes));
}

/** Lengths of keys, targets and most tags come again and again. */
const lengths = new Map<number, Buffer>();
const MAX_LENGTH_KEPT = 2048;

function lengthHash(length: number): Buffer {
  const known = lengths.get(length);
  if (known) return known;
  const made = sha384(`blob${length}`);
  if (length <= MAX_LENGTH_KEPT) lengths.set(length, made);
  return made;
}
