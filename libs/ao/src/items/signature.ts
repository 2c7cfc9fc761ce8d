/**
 * The check of what an item's owner signed, in native code: Arweave RSA-PSS (type 1), ed25519 (2; 4 is the same over the message in
 * hexadecimal, as Solana wallets sign), Ethereum personal messages (3). It computes: it runs in the threads of `Verifier`.
 *
 * One signature holds for one content and one key, so that an id, its hash, names one item: each scheme's key is in what is signed, and
 * - RSA: the exponent is fixed, a signature has the modulus' length and is below it; for whatever modulus, PSS gives the hash of the message back.
 * - Ethereum: a signature has one form, below.
 * - ed25519: no points of small order, below.
 */
import { constants, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { partsOf, signedMessage, type ItemParts } from './layout.js';
import { Lru } from './lru.js';
import { personalDigest } from './personal.js';
import { recover } from './recover.js';

/** Whether these bytes are an item signed by its owner. */
export function isSigned(raw: Buffer): boolean {
  try {
    const parts = partsOf(raw);
    return isBy(parts, signedMessage(parts));
  } catch {
    return false; // no item, no key, or no point on the curve
  }
}

function isBy({ type, owner, signature }: ItemParts, message: Buffer): boolean {
  switch (type) {
    case 1: {
      const key = keyOf(owner, rsaKey);
      const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
      return verify('sha256', message, options, signature);
    }
    case 2:
      return isByEd25519(owner, signature, message);
    case 3:
      return isByEthereum(owner, signature, message);
    case 4:
      return isByEd25519(owner, signature, Buffer.from(message.toString('hex')));
  }
}

/**
 * Native code refuses an s above the order and, since it compares bytes, an R that is not in canonical form. Neither it nor RFC 8032 refuses
 * points of small order: under such a key one signature holds for any contents, and items with the same id would say different things.
 */
function isByEd25519(owner: Buffer, signature: Buffer, message: Buffer): boolean {
  return isFullPoint(signature.subarray(0, 32)) && verify(null, message, keyOf(owner, ed25519Key), signature);
}

/** 2^255 - 19, and the y of the points whose order divides 8: of order 4, 1, 2, and both of order 8. With either sign of x. */
const FIELD = 2n ** 255n - 19n;
const Y_OF_ORDER_8 = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
const SMALL_ORDER: ReadonlySet<bigint> = new Set([0n, 1n, FIELD - 1n, Y_OF_ORDER_8, FIELD - Y_OF_ORDER_8]);

/** Whether these 32 bytes are y in canonical form, of no point of small order. */
function isFullPoint(bytes: Buffer): boolean {
  const y = BigInt(`0x${Buffer.from(bytes.toReversed()).toString('hex')}`) & (2n ** 255n - 1n);
  return y < FIELD && !SMALL_ORDER.has(y);
}

/** Half the order of the curve: of the two signatures (s and its negative), only the one below counts. */
const HALF_ORDER = Buffer.from('7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0', 'hex');

/**
 * Recovers the key and compares it, so that the recovery byte counts, and refuses a high s: a message has one good signature,
 * hence one id, and nobody can have it scheduled a second time under another.
 */
function isByEthereum(owner: Buffer, signature: Buffer, message: Buffer): boolean {
  const v = signature[64];
  if (v !== 27 && v !== 28) return false;
  if (signature.compare(HALF_ORDER, 0, 32, 32, 64) > 0) return false;
  const key = recover(personalDigest(message), signature.subarray(0, 64), v === 27 ? 0 : 1);
  return key !== null && owner.equals(key);
}

/** Keys kept ready: making one costs as much as using it. One takes some 3 KB. */
const keys = new Lru<KeyObject>(2000);

const keyOf = (owner: Buffer, make: (owner: Buffer) => KeyObject): KeyObject =>
  keys.of(owner.toString('latin1'), () => make(owner));

const rsaKey = (modulus: Buffer): KeyObject =>
  createPublicKey({ key: { kty: 'RSA', n: modulus.toString('base64url'), e: 'AQAB' }, format: 'jwk' });

/** As JWK (RFC 8037): the same key in DER takes eight times as long. */
function ed25519Key(owner: Buffer): KeyObject {
  if (!isFullPoint(owner)) throw new TypeError('The key is a point of small order, or not in canonical form.');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: owner.toString('base64url') }, format: 'jwk' });
}
