/** ANS-104 bundles as gateways open them: every item that can be read, bundles inside bundles too, down to a bound. Signatures are not checked: a gateway vouches for nothing, and whoever reads from one checks them. */
import { parseItem, tagOf, type Item } from '@isthmus/ao';
import type { Tag } from './transaction.js';

/** Bundles inside bundles, the outermost counted. */
const MAX_DEPTH = 4;
/** Items of one transaction: some 30 MB of what is remembered of them. */
const MAX_ITEMS = 50_000;

/** Where an item lies in the data of its transaction. */
export interface FoundItem {
  item: Item;
  /** Id of the item or transaction it is directly in. */
  parent: string;
  start: number;
  length: number;
}

export function isBundle(tags: readonly Tag[]): boolean {
  return (
    tagOf({ tags: [...tags] }, 'Bundle-Format') === 'binary' && tagOf({ tags: [...tags] }, 'Bundle-Version') === '2.0.0'
  );
}

/** The items of a transaction's data, each before those inside it. */
export function unbundle(id: string, data: Buffer): FoundItem[] {
  const found: FoundItem[] = [];
  open({ parent: id, bytes: data, offset: 0, depth: 1 }, found);
  return found;
}

interface Bundle {
  parent: string;
  bytes: Buffer;
  /** Where it begins in the transaction's data. */
  offset: number;
  depth: number;
}

function open({ parent, bytes, offset, depth }: Bundle, found: FoundItem[]): void {
  for (const { id, at, length } of headers(bytes)) {
    if (found.length >= MAX_ITEMS) return;
    const item = read(bytes.subarray(at, at + length), id);
    if (!item) continue;
    found.push({ item, parent, start: offset + at, length });
    const inside = offset + at + length - item.data.length;
    if (depth < MAX_DEPTH && isBundle(item.tags))
      open({ parent: item.id, bytes: item.data, offset: inside, depth: depth + 1 }, found);
  }
}

/** What is no item, or not the one its header names, is no item to a gateway. */
function read(raw: Buffer, id: string): Item | null {
  try {
    const item = parseItem(raw);
    return item.id === id ? item : null;
  } catch {
    return null;
  }
}

/** The places a bundle's header names; none when they do not fit the bundle. */
function headers(bytes: Buffer): { id: string; at: number; length: number }[] {
  const count = number32(bytes, 0);
  if (count === null || count > MAX_ITEMS || 32 + 64 * count > bytes.length) return [];
  let at = 32 + 64 * count;
  const places: { id: string; at: number; length: number }[] = [];
  for (let i = 0; i < count; i += 1) {
    const length = number32(bytes, 32 + 64 * i);
    if (length === null || at + length > bytes.length) return [];
    places.push({ id: bytes.subarray(64 + 64 * i, 96 + 64 * i).toString('base64url'), at, length });
    at += length;
  }
  return at === bytes.length ? places : [];
}

function number32(bytes: Buffer, at: number): number | null {
  if (at + 32 > bytes.length || bytes.subarray(at + 6, at + 32).some((b) => b !== 0)) return null;
  return bytes.readUIntLE(at, 6);
}
