/** ANS-104 bundles: many items in one piece of bytes, each under its id. */
import type { Item } from '../types.js';
import { ItemError } from './error.js';
import { parseItem } from './item.js';

/** Most items one bundle may hold here: bounds what a reader allocates. */
export const MAX_BUNDLE_ITEMS = 10_000;

/** Bytes of a bundle with these items in this order. */
export function encodeBundle(items: readonly Pick<Item, 'id' | 'raw'>[]): Buffer {
  const header = Buffer.alloc(32 + 64 * items.length);
  header.writeUIntLE(items.length, 0, 6);
  for (const [i, { id, raw }] of items.entries()) {
    header.writeUIntLE(raw.length, 32 + 64 * i, 6);
    header.write(id, 64 + 64 * i, 32, 'base64url');
  }
  return Buffer.concat([header, ...items.map((i) => i.raw)]);
}

/** The items of a bundle. @throws ItemError when lengths do not add up or an id is not the hash of its item's signature. */
export function decodeBundle(bytes: Buffer): Item[] {
  const count = readNumber32(bytes, 0);
  if (count > MAX_BUNDLE_ITEMS) throw new ItemError('too-large', `A bundle has at most ${MAX_BUNDLE_ITEMS} items.`);
  let at = 32 + 64 * count;
  const items: Item[] = [];
  for (let i = 0; i < count; i += 1) {
    const size = readNumber32(bytes, 32 + 64 * i);
    const id = bytes.subarray(64 + 64 * i, 96 + 64 * i).toString('base64url');
    if (at + size > bytes.length) throw new ItemError('bad-item', 'The bundle ends before all its items.');
    const item = parseItem(bytes.subarray(at, (at += size)));
    if (item.id !== id) throw new ItemError('bad-item', `Item ${i} of the bundle is not the one its header names.`);
    items.push(item);
  }
  if (at !== bytes.length) throw new ItemError('bad-item', 'The bundle has bytes after its last item.');
  return items;
}

function readNumber32(bytes: Buffer, at: number): number {
  if (at + 32 > bytes.length) throw new ItemError('bad-item', 'The bundle ends inside its header.');
  if (bytes.subarray(at + 6, at + 32).some((b) => b !== 0))
    throw new ItemError('bad-item', 'A length in the bundle is out of range.');
  return bytes.readUIntLE(at, 6);
}
