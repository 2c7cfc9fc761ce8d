/** Arweave's deep hash: one SHA-384 digest over nested lists of byte strings, the message every ANS-104 signature is over. */
import { createHash } from 'node:crypto';

export type DeepHashInput = Uint8Array | readonly DeepHashInput[];

const sha384 = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash('sha384');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** 48 bytes; a list's hash folds its items' hashes from the left, and lengths are part of the tags. */
export function deepHash(input: DeepHashInput): Buffer {
  if (input instanceof Uint8Array) {
    const tag = Buffer.from(`blob${input.byteLength}`);
    return sha384(sha384(tag), sha384(input));
  }
  let accumulated: Buffer = sha384(Buffer.from(`list${input.length}`));
  for (const item of input) accumulated = sha384(accumulated, deepHash(item));
  return accumulated;
}
