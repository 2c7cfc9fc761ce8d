/** ANS-104 data items: made, read and checked. An item's id is the hash of its signature, and its signature covers everything else in it. */
import { createHash } from 'node:crypto';
import type { Item, Signer, Tag } from '../types.js';
import { deepHash } from './deep-hash.js';
import { ItemError } from './error.js';
import { addressOfOwner, SIGNATURE_LAYOUT, signatureType, verifySignature } from './signers.js';
import { decodeItemTags, encodeItemTags, MAX_TAG_BYTES } from './tags.js';

/** Largest item taken, as AO's scheduler units do. */
export const MAX_ITEM_BYTES = 10 * 1024 * 1024;

export interface ItemContent {
  /** base64url of 32 bytes */
  target?: string | undefined;
  /** 32 bytes of text */
  anchor?: string | undefined;
  tags: readonly Tag[];
  data: Uint8Array | string;
}

/** Makes and signs an item. @throws ItemError when a part has no place in one. */
export async function createItem(content: ItemContent, signer: Signer): Promise<Item> {
  const target = fixed(content.target ? Buffer.from(content.target, 'base64url') : Buffer.alloc(0), 'target');
  const anchor = fixed(Buffer.from(content.anchor ?? ''), 'anchor');
  const tags = encodeItemTags(content.tags);
  const data = typeof content.data === 'string' ? Buffer.from(content.data) : Buffer.from(content.data);
  const message = signedMessage({ type: signer.signatureType, owner: signer.publicKey, target, anchor, tags, data });
  const signature = await signer.sign(message);
  const head = Buffer.alloc(2);
  head.writeUInt16LE(signer.signatureType);
  const counts = Buffer.alloc(16);
  counts.writeBigUInt64LE(BigInt(content.tags.length), 0);
  counts.writeBigUInt64LE(BigInt(tags.length), 8);
  return parseItem(
    Buffer.concat([head, signature, signer.publicKey, optional(target), optional(anchor), counts, tags, data]),
  );
}

/**
 * Reads an item, every length checked; the signature is not (see `verifyItem`).
 * @throws ItemError saying which part is wrong.
 */
export function parseItem(raw: Buffer): Item {
  if (raw.length > MAX_ITEM_BYTES) throw new ItemError('too-large', `An item has at most ${MAX_ITEM_BYTES} bytes.`);
  const cursor = new Cursor(raw);
  const type = signatureType(cursor.take(2).readUInt16LE());
  const layout = SIGNATURE_LAYOUT[type];
  const signature = cursor.take(layout.signature);
  const owner = cursor.take(layout.owner);
  const target = cursor.optional32();
  const anchor = cursor.optional32();
  const counts = cursor.take(16);
  const tagCount = counts.readBigUInt64LE(0);
  const tagBytes = counts.readBigUInt64LE(8);
  if (tagBytes > BigInt(MAX_TAG_BYTES)) throw new ItemError('bad-tags', `Tags take at most ${MAX_TAG_BYTES} bytes.`);
  const tags = decodeItemTags(cursor.take(Number(tagBytes)), Number(tagCount));
  return {
    id: createHash('sha256').update(signature).digest('base64url'),
    raw,
    signatureType: type,
    signature,
    owner,
    ownerAddress: addressOfOwner(type, owner),
    target: target.toString('base64url'),
    anchor: anchor.toString('utf8'),
    tags,
    data: cursor.rest(),
  };
}

/** Whether the item was signed by its owner over exactly these contents. */
export function verifyItem(item: Item): Promise<boolean> {
  const parts = partsOf(item.raw);
  return verifySignature(item.signatureType, item.owner, item.signature, signedMessage(parts));
}

interface SignedParts {
  type: number;
  owner: Buffer;
  target: Buffer;
  anchor: Buffer;
  tags: Buffer;
  data: Buffer;
}

function signedMessage({ type, owner, target, anchor, tags, data }: SignedParts): Buffer {
  return deepHash([
    Buffer.from('dataitem'),
    Buffer.from('1'),
    Buffer.from(String(type)),
    owner,
    target,
    anchor,
    tags,
    data,
  ]);
}

/** The raw bytes of each signed part: never re-encoded, so nothing that was not signed can pass. */
function partsOf(raw: Buffer): SignedParts {
  const cursor = new Cursor(raw);
  const type = signatureType(cursor.take(2).readUInt16LE());
  const layout = SIGNATURE_LAYOUT[type];
  cursor.take(layout.signature);
  const owner = cursor.take(layout.owner);
  const target = cursor.optional32();
  const anchor = cursor.optional32();
  const tagBytes = Number(cursor.take(16).readBigUInt64LE(8));
  return { type, owner, target, anchor, tags: cursor.take(tagBytes), data: cursor.rest() };
}

function fixed(bytes: Buffer, what: string): Buffer {
  if (bytes.length !== 0 && bytes.length !== 32)
    throw new ItemError('bad-item', `An item's ${what} has 32 bytes or none.`);
  return bytes;
}

const optional = (bytes: Buffer): Buffer =>
  bytes.length === 0 ? Buffer.from([0]) : Buffer.concat([Buffer.from([1]), bytes]);

class Cursor {
  private at = 0;
  constructor(private readonly raw: Buffer) {}

  take(length: number): Buffer {
    if (this.at + length > this.raw.length) throw new ItemError('bad-item', 'The item ends before all its parts.');
    return this.raw.subarray(this.at, (this.at += length));
  }

  optional32(): Buffer {
    const flag = this.take(1)[0];
    if (flag === 0) return Buffer.alloc(0);
    if (flag === 1) return this.take(32);
    throw new ItemError('bad-item', 'A presence byte is neither 0 nor 1.');
  }

  rest(): Buffer {
    return this.raw.subarray(this.at);
  }
}
