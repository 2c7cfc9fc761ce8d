/**
 * The key that made an ECDSA signature over secp256k1: by libsecp256k1 compiled for this machine where the package brings it (Linux, macOS
 * and Windows on x64), else by the same library in WebAssembly, which takes five times as long. Both say the same of every signature.
 */
import { createRequire } from 'node:module';
import { recover as inWebAssembly } from 'tiny-secp256k1';

/** @returns the key, 65 bytes, or null when there is none. @throws when the digest is not 32 bytes or the signature not 64 */
export type Recover = (digest: Uint8Array, signature: Uint8Array, parity: 0 | 1) => Uint8Array | null;

/** What of `secp256k1` is used. Its own way in would fall back to an implementation in JavaScript. */
interface Bindings {
  ecdsaRecover(signature: Uint8Array, recovery: number, digest: Uint8Array, compressed: boolean): Uint8Array;
}

/** Both throw for r or s out of range, and where there is no point with this r. */
const checked =
  (way: Recover): Recover =>
  (digest, signature, parity) => {
    if (digest.length !== 32 || signature.length !== 64) throw new TypeError('A digest has 32 bytes, a signature 64.');
    try {
      return way(digest, signature, parity);
    } catch {
      return null;
    }
  };

export const wasmRecover: Recover = checked((digest, signature, parity) =>
  inWebAssembly(digest, signature, parity, false),
);

/** Null where the package has nothing for this machine. */
export const nativeRecover: Recover | null = loaded();

function loaded(): Recover | null {
  try {
    const bindings = createRequire(import.meta.url)('secp256k1/bindings.js') as Bindings;
    return checked((digest, signature, parity) => bindings.ecdsaRecover(signature, parity, digest, false));
  } catch {
    return null;
  }
}

export const recover: Recover = nativeRecover ?? wasmRecover;
