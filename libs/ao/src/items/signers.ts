/** Keys that sign items, and the check of what they signed: Arweave RSA-PSS (type 1), ed25519 (2), Ethereum personal messages (3). */
import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  sign as nodeSign,
  verify as nodeVerify,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { getAddress } from 'viem';
import type { Item, Signer } from '../types.js';
import { ItemError } from './error.js';

type SignatureType = Item['signatureType'];

/** Bytes of signature and key by type, as ANS-104 lays them out. */
export const SIGNATURE_LAYOUT: Readonly<Record<SignatureType, { signature: number; owner: number }>> = {
  1: { signature: 512, owner: 512 },
  2: { signature: 64, owner: 32 },
  3: { signature: 65, owner: 65 },
};

const signAsync = promisify<string | null, Uint8Array, Parameters<typeof nodeSign>[2], Buffer>(nodeSign);
const verifyAsync = promisify<string | null, Uint8Array, Parameters<typeof nodeVerify>[2], Uint8Array, boolean>(
  nodeVerify,
);

const sha256url = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64url');

/** Canonical AO address of a key: EIP-55 for Ethereum keys, base64url(sha256(key)) for the others. */
export function addressOfOwner(type: SignatureType, owner: Uint8Array): string {
  if (type !== 3) return sha256url(owner);
  return getAddress(`0x${Buffer.from(keccak_256(owner.subarray(1)).subarray(12)).toString('hex')}`);
}

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
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

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

/** Whether `signature` over `message` is by `owner`. RSA and ed25519 are checked off the main thread. */
export async function verifySignature(
  type: SignatureType,
  owner: Buffer,
  signature: Buffer,
  message: Uint8Array,
): Promise<boolean> {
  switch (type) {
    case 1: {
      const key = rsaKey(owner);
      const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
      return verifyAsync('sha256', message, options, signature);
    }
    case 2: {
      const key = createPublicKey({ key: Buffer.concat([SPKI_ED25519, owner]), format: 'der', type: 'spki' });
      return verifyAsync(null, message, key, signature);
    }
    case 3:
      return verifyEthereum(owner, signature, message);
  }
}

/**
 * Recovers the key and compares it, so that the recovery byte counts, and refuses a high s: a message has one good signature,
 * hence one id, and nobody can have it scheduled a second time under another.
 */
function verifyEthereum(owner: Buffer, signature: Buffer, message: Uint8Array): boolean {
  const v = signature[64];
  if (v !== 27 && v !== 28) return false;
  try {
    const recovered = Buffer.concat([Buffer.from([v - 27]), signature.subarray(0, 64)]);
    const parsed = secp256k1.Signature.fromBytes(recovered, 'recovered');
    return !parsed.hasHighS() && owner.equals(parsed.recoverPublicKey(personalDigest(message)).toBytes(false));
  } catch {
    return false; // not a point on the curve, or numbers out of range
  }
}

function rsaKey(modulus: Buffer): KeyObject {
  return createPublicKey({ key: { kty: 'RSA', n: modulus.toString('base64url'), e: 'AQAB' }, format: 'jwk' });
}

/** EIP-191 over the raw bytes. */
function personalDigest(message: Uint8Array): Uint8Array {
  return keccak_256(Buffer.concat([Buffer.from(`\x19Ethereum Signed Message:\n${message.length}`), message]));
}

/** @throws ItemError `unknown-signature-type` */
export function signatureType(type: number): SignatureType {
  if (type === 1 || type === 2 || type === 3) return type;
  throw new ItemError(
    'unknown-signature-type',
    `Signature type ${type} is not accepted; use Arweave (1), ed25519 (2) or Ethereum (3).`,
  );
}
