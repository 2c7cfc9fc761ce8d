/** What an Ethereum account signs with `personal_sign`. */
import { keccak_256 } from '@noble/hashes/sha3.js';

/** EIP-191 over the raw bytes. */
export function personalDigest(message: Uint8Array): Uint8Array {
  return keccak_256(Buffer.concat([Buffer.from(`\x19Ethereum Signed Message:\n${message.length}`), message]));
}
