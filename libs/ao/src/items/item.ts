/** ANS-104 data items: made, read and checked. An item's id is the hash of its signature, and its signature covers everything else in it. */
import { hash } from 'node:crypto';
import type { Item, Signer, Tag } from '../types.js';
import { ItemError } from './error.js';
import { partsOf, SIGNATURE_LAYOUT, signatureType, signedMessage, type ItemParts } from './layout.js';
import { addressOfOwner } from './address.js';
import { joined } from './own-memory.js';
import { decodeItemTags, encodeItemTags } from './tags.js';

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
  const data = typeof content.data === 'string' ? Buffer.from(content.data) : Buffer.from(content.data);
  const { head } = await signItem({ ...content, data }, signer);
  return parseItem(joined([head, data]));
}

/**
 * Signs an item however large: what comes before its data, and its id.
 * @throws ItemError when a part has no place in one.
 */
export async function signItem(
  content: Omit<ItemContent, 'data'> & { data: Buffer },
  signer: Signer,
): Promise<{ id: string; head: Buffer }> {
  const { data } = content;
  const target = fixed(content.target ? Buffer.from(content.target, 'base64url') : Buffer.alloc(0), 'target');
  const anchor = fixed(Buffer.from(content.anchor ?? ''), 'anchor');
  const tags = encodeItemTags(content.tags);
  const [type, owner] = [signer.signatureType, signer.publicKey];
  const signature = await signer.sign(signedMessage({ type, owner, target, anchor, tags, data }));
  const head = headOf({ type, signature, owner, target, anchor, tags }, content.tags.length);
  return { id: hash('sha256', signature, 'base64url'), head };
}

/** The parts of an item that was signed already. */
export interface SignedContent {
  type: number;
  signature: Buffer;
  owner: Buffer;
  /** 32 bytes, or none; so too `anchor`. */
  target: Buffer;
  anchor: Buffer;
  tags: readonly Tag[];
  data: Buffer;
}

/** Puts an item together; its signature is not checked (see `verifyItem`). @throws ItemError when a part has no place in one. */
export function joinItem(parts: SignedContent): Item {
  const head = headOf({ ...parts, tags: encodeItemTags(parts.tags) }, parts.tags.length);
  return parseItem(joined([head, parts.data]));
}

/** What comes before the data. */
type Head = Omit<ItemParts, 'type' | 'data' | 'tagCount'> & { type: number };

function headOf({ type, signature, owner, target, anchor, tags }: Head, tagCount: number): Buffer {
  const layout = SIGNATURE_LAYOUT[signatureType(type)];
  if (signature.length !== layout.signature || owner.length !== layout.owner)
    throw new ItemError('bad-item', 'A signature or key has not the length of its type.');
  const start = Buffer.alloc(2);
  start.writeUInt16LE(type);
  const counts = Buffer.alloc(16);
  counts.writeBigUInt64LE(BigInt(tagCount), 0);
  counts.writeBigUInt64LE(BigInt(tags.length), 8);
  const places = [fixed(target, 'target'), fixed(anchor, 'anchor')].map(optional);
  return Buffer.concat([start, signature, owner, ...places, counts, tags]);
}

/**
 * Reads an item, every length checked; the signature is not (see `verifyItem`).
 * @throws ItemError saying which part is wrong.
 */
export function parseItem(raw: Buffer): Item {
  if (raw.length > MAX_ITEM_BYTES) throw new ItemError('too-large', `An item has at most ${MAX_ITEM_BYTES} bytes.`);
  const { type, signature, owner, target, anchor, tagCount, tags, data } = partsOf(raw);
  return {
    id: hash('sha256', signature, 'base64url'),
    raw,
    signatureType: type,
    signature,
    owner,
    ownerAddress: addressOfOwner(type, owner),
    target: target.toString('base64url'),
    anchor: anchor.toString('utf8'),
    tags: decodeItemTags(tags, Number(tagCount)),
    data,
  };
}

function fixed(bytes: Buffer, what: string): Buffer {
  if (bytes.length !== 0 && bytes.length !== 32)
    throw new ItemError('bad-item', `An item's ${what} has 32 bytes or none.`);
  return bytes;
}

const optional = (bytes: Buffer): Buffer =>
  bytes.length === 0 ? Buffer.from([0]) : Buffer.concat([Buffer.from([1]), bytes]);
