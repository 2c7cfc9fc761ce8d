/** Keys of secp256k1, as Bitcoin's signers hold them. */
import { networks } from 'bitcoinjs-lib';
import { ECPairFactory, type ECPairInterface } from 'ecpair';
import * as curve from 'tiny-secp256k1';
import { BitcoinError } from './errors.js';

const pairs = ECPairFactory(curve);
/** All networks but the main one write secrets alike. */
const WALLET_NETWORKS = [networks.bitcoin, networks.testnet];

/** @throws BitcoinError `bad-signature` when the bytes are no secret key */
export function pairOf(secret: Uint8Array): ECPairInterface {
  try {
    return pairs.fromPrivateKey(secret);
  } catch {
    throw new BitcoinError('bad-signature', 'A secret key has 32 bytes, and lies within the order of the curve.');
  }
}

/** The compressed public key of a secret, in hex: what a refund may be for. @throws BitcoinError `bad-signature` when it is no secret key */
export const publicKeyOf = (secret: Uint8Array): string => Buffer.from(pairOf(secret).publicKey).toString('hex');

/** The secret in a text a wallet or `isthmus` wrote: WIF of any network, or 64 hex digits, with or without 0x; null for any other text. */
export function secretIn(text: string): Uint8Array | null {
  const [, digits] = /^(?:0x)?([0-9a-fA-F]{64})$/.exec(text.trim()) ?? [];
  if (digits !== undefined) return Buffer.from(digits, 'hex');
  try {
    return pairs.fromWIF(text.trim(), WALLET_NETWORKS).privateKey ?? null;
  } catch {
    return null; // not of this form
  }
}
