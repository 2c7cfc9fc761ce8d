/** Keys of secp256k1, as Bitcoin's signers hold them. */
import { ECPairFactory, type ECPairInterface } from 'ecpair';
import * as curve from 'tiny-secp256k1';
import { BitcoinError } from './errors.js';

const pairs = ECPairFactory(curve);

/** @throws BitcoinError `bad-signature` when the bytes are no secret key */
export function pairOf(secret: Uint8Array): ECPairInterface {
  try {
    return pairs.fromPrivateKey(secret);
  } catch {
    throw new BitcoinError('bad-signature', 'A secret key has 32 bytes, and lies within the order of the curve.');
  }
}
