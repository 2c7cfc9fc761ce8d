/** Where each part of an ANS-104 item lies in its bytes, and which of them its signature is over. */
import type { Item } from '../types.js';
import { blobHash, emptyList, fold } from './deep-hash.js';
import { ItemError } from './error.js';
import { Lru } from './lru.js';

export type SignatureType = Item['signatureType'];

/** Bytes of signature and key by type, as ANS-104 lays them out. */
export const SIGNATURE_LAYOUT: Readonly<Record<SignatureType, { signature: number; owner: number }>> = {
  1: { signature: 512, owner: 512 },
  2: { signature: 64, owner: 32 },
  3: { signature: 65, owner: 65 },
  4: { signature: 64, owner: 32 },
};

/** An item cut into its parts, nothing of it read. */
export interface ItemParts {
  type: SignatureType;
  signature: Buffer;
  owner: Buffer;
  target: Buffer;
  anchor: Buffer;
  tagCount: bigint;
  tags: Buffer;
  data: Buffer;
}

/** Limit of the Avro form of the tags: what the public bundlers accept. */
export const MAX_TAG_BYTES = 16_384;

/** @throws ItemError when the lengths do not fit. */
export function partsOf(raw: Buffer): ItemParts {
  const cursor = new Cursor(raw);
  const type = signatureType(cursor.take(2).readUInt16LE());
  const layout = SIGNATURE_LAYOUT[type];
  const signature = cursor.take(layout.signature);
  const owner = cursor.take(layout.owner);
  const target = cursor.optional32();
  const anchor = cursor.optional32();
  const counts = cursor.take(16);
  const tagBytes = counts.readBigUInt64LE(8);
  if (tagBytes > BigInt(MAX_TAG_BYTES)) throw new ItemError('bad-tags', `Tags take at most ${MAX_TAG_BYTES} bytes.`);
  const tags = cursor.take(Number(tagBytes));
  return { type, signature, owner, target, anchor, tagCount: counts.readBigUInt64LE(0), tags, data: cursor.rest() };
}

type Signed = Omit<ItemParts, 'signature' | 'tagCount'>;

/**
 * What the signature of an item is over, the deep hash of its parts: the bytes themselves, never re-encoded, so nothing that was not signed
 * can pass. Its beginning is the same for all items of one key.
 */
export function signedMessage({ type, owner, target, anchor, tags, data }: Signed): Buffer {
  const beginning = beginnings.of(`${type} ${owner.toString('latin1')}`, () =>
    [Buffer.from('dataitem'), Buffer.from('1'), Buffer.from(String(type)), owner]
      .map(blobHash)
      .reduce(fold, emptyList(8)),
  );
  return [target, anchor, tags, data].map(blobHash).reduce(fold, beginning);
}

/** By key, 48 bytes for each. */
const beginnings = new Lru<Buffer>(2000);

/** @throws ItemError `unknown-signature-type` */
export function signatureType(type: number): SignatureType {
  if (type === 1 || type === 2 || type === 3 || type === 4) return type;
  throw new ItemError(
    'unknown-signature-type',
    `Signature type ${type} is not accepted; use Arweave (1), ed25519 (2), Ethereum (3) or Solana (2, 4).`,
  );
}

class Cursor {
  private at = 0;
  constructor(private readonly raw: Buffer) {}

  take(length: number): Buffer {
    if (this.at + length > this.raw.length) throw new ItemError('bad-item', 'The item ends before all its parts.');
    return this.raw.subarray(this.at, (this.at += length));
  }

  optional32(): Buffer {
    const flag = this.take(1)[0];
    if (flag === 0) return NONE;
    if (flag === 1) return this.take(32);
    throw new ItemError('bad-item', 'A presence byte is neither 0 nor 1.');
  }

  rest(): Buffer {
    return this.raw.subarray(this.at);
  }
}

const NONE = Buffer.alloc(0);
