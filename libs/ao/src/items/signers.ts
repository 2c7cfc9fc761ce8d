/** Keys that sign items, and their addresses: Arweave RSA-PSS (type 1), ed25519 (2), Ethereum personal messages (3). */
import { constants, createPrivateKey, createPublicKey, sign as nodeSign } from 'node:crypto';
import { promisify } from 'node:util';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import type { Signer } from '../types.js';
import { addressOfOwner } from './address.js';
import { personalDigest } from './personal.js';

const signAsync = promisify<string | null, Uint8Array, Parameters<typeof nodeSign>[2], Buffer>(nodeSign);

/** Signs as an Ethereum account does with `personal_sign`; deterministic (RFC 6979). `privateKey` is 0x and 64 hex digits. */
export function ethereumSigner(privateKey: `0x${string}`): Signer {
  const secret = Buffer.from(privateKey.slice(2), 'hex');
  const publicKey = Buffer.from(secp256k1.getPublicKey(secret, false));
  return {
    signatureType: 3,
    publicKey,
    address: addressOfOwner(3, publicKey),
    sign(message) {
      const recovered = secp256k1.sign(personalDigest(message), secret, { prehash: false, format: 'recovered' });
      return Promise.resolve(Buffer.concat([recovered.subarray(1), Buffer.from([27 + (recovered[0] as number)])]));
    },
  };
}

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** `seed` is 32 secret bytes. */
export function ed25519Signer(seed: Uint8Array): Signer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  return {
    signatureType: 2,
    publicKey,
    address: addressOfOwner(2, publicKey),
    sign: (message) => Promise.resolve(nodeSign(null, message, key)),
  };
}

/** An Arweave wallet's JWK (RSA-4096). */
export function arweaveSigner(jwk: { kty: string; n: string; e: string; [part: string]: unknown }): Signer {
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  const publicKey = Buffer.from(jwk.n, 'base64url');
  return {
    signatureType: 1,
    publicKey,
    address: addressOfOwner(1, publicKey),
    sign: (message) => signAsync('sha256', message, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
  };
}
