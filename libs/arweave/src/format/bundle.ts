/**
 * A bundle of settlement: the seal, then items of no schedule, then for each range assignment, message, assignment, message. One signature,
 * the seal's, vouches for every assignment; messages carry their authors' own.
 */
import { createHash, hash } from 'node:crypto';
import {
  decodeBundle,
  encodeBundle,
  firstHash,
  ItemError,
  MAX_BUNDLE_ITEMS,
  nextHash,
  parseItem,
  tagOf,
  type Item,
  type ScheduleEntry,
} from '@isthmus/ao';
import { SettlementError } from './error.js';
import { readSeal, type Seal, type SealedRange } from './seal.js';

/** Most items behind a seal. */
export const MAX_SEALED_ITEMS: number = MAX_BUNDLE_ITEMS - 1;

/** The beginning of a bundle that holds its seal, at most: the header, and 1,000 ranges of about 370 bytes. */
export const MAX_SEAL_BYTES: number = 32 + 64 * MAX_BUNDLE_ITEMS + 512 * 1024;

/** An item as it is written: nothing of it need be read. */
export type RawItem = Pick<Item, 'id' | 'raw'>;

/** A bundle, opened. */
export interface SettledBundle {
  seal: Seal;
  /** Modules, items in no schedule, checkpoints, reports. Their signatures are not checked. */
  others: Item[];
  ranges: SettledRange[];
}

export interface SettledRange extends SealedRange {
  /** In order of slots. The messages' signatures are not checked, nor is how the first builds on what came before the range. */
  entries: ScheduleEntry[];
}

/** What binds a seal to the items behind it: sha256 over the sha256 of each, in order; base64url. */
export function digestOf(items: Iterable<Pick<RawItem, 'raw'>>): string {
  const all = createHash('sha256');
  for (const { raw } of items) all.update(hash('sha256', raw, 'buffer'));
  return all.digest('base64url');
}

/** The bytes of a bundle; `items` are those behind the seal, in their order. */
export function encodeSettledBundle(seal: RawItem, items: readonly RawItem[]): Buffer {
  return encodeBundle([seal, ...items]);
}

/**
 * The seal a bundle begins with, of which only the beginning is there; null when that is too little, or begins with no seal. Its signature
 * is checked by who reads it, as are its owner and its number.
 */
export function sealAtStart(start: Buffer): Seal | null {
  const [count, size] = start.length < 96 ? [NaN, NaN] : [start.readUIntLE(0, 6), start.readUIntLE(32, 6)];
  const at = 32 + 64 * count;
  if (!(at + size <= start.length)) return null;
  const item = itemOrNull(start.subarray(at, at + size));
  return item && sealOrNull(item);
}

/** An item, or null for bytes that are none. */
export function itemOrNull(raw: Buffer): Item | null {
  try {
    return parseItem(raw);
  } catch (error) {
    if (error instanceof ItemError) return null;
    throw error;
  }
}

/** The seal that an item is, or null when it is none. */
export function sealOrNull(item: Item): Seal | null {
  try {
    return readSeal(item);
  } catch (error) {
    if (error instanceof SettlementError) return null;
    throw error;
  }
}

/**
 * Opens a bundle and checks that it is one: the items are those sealed, in place and number, each assignment is of the seal's key and of
 * its slot and names the message beside it, and builds on the one before it in the range. What needs a signature or another bundle is not
 * checked: the seal's signature and key, the messages' signatures, how bundles and ranges follow each other.
 * @throws SettlementError
 */
export function openSettledBundle(bytes: Buffer): SettledBundle {
  const [head, ...items] = itemsOf(bytes);
  if (!head) throw new SettlementError('no-seal', 'The bundle is empty.', 0);
  const seal = readSeal(head);
  const slots = seal.ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  if (items.length !== seal.others + 2 * slots)
    throw new SettlementError(
      'wrong-count',
      `Seal ${head.id} counts ${seal.others} items and ${slots} slots; ${items.length} items follow it.`,
    );
  if (digestOf(items) !== seal.digest)
    throw new SettlementError('wrong-digest', `The items behind seal ${head.id} are not those that were sealed.`);
  let at = seal.others;
  const ranges = seal.ranges.map((range) => {
    const count = 2 * (range.to - range.from + 1);
    const entries = entriesOf(seal, range, items.slice(at, at + count), at + 1);
    at += count;
    return { ...range, entries };
  });
  return { seal, others: items.slice(0, seal.others), ranges };
}

function itemsOf(bytes: Buffer): Item[] {
  try {
    return decodeBundle(bytes);
  } catch (error) {
    if (error instanceof ItemError) throw new SettlementError('not-a-bundle', error.message);
    throw error;
  }
}

function entriesOf(seal: Seal, range: SealedRange, items: readonly Item[], position: number): ScheduleEntry[] {
  const { process, from, to } = range;
  const entries: ScheduleEntry[] = [];
  for (let nonce = from; nonce <= to; nonce += 1) {
    const at = 2 * (nonce - from);
    const [assignment, message] = [items[at] as Item, items[at + 1] as Item]; // counted above
    const where = `slot ${nonce} of ${process}`;
    if (!isAssignment(assignment, seal, process, nonce))
      throw new SettlementError(
        'wrong-assignment',
        `Item ${assignment.id} is not the assignment of ${where}.`,
        position + at,
      );
    if (tagOf(assignment, 'Message') !== message.id)
      throw new SettlementError(
        'wrong-message',
        `Item ${message.id} is not the message of ${where}.`,
        position + at + 1,
      );
    const expected = chainBefore(process, nonce, entries.at(-1));
    if (expected !== null && tagOf(assignment, 'Hash-Chain') !== expected)
      throw new SettlementError('wrong-hash-chain', `The hash chain breaks at ${where}.`, position + at);
    entries.push({ process, nonce, assignment, message });
  }
  const last = entries.at(-1)?.assignment;
  if (last?.id !== range.assignment || tagOf(last, 'Hash-Chain') !== range.hashChain)
    throw new SettlementError(
      'wrong-assignment',
      `The range of ${process} does not end as its seal says.`,
      position + items.length - 2,
    );
  return entries;
}

function isAssignment(item: Item, seal: Seal, process: string, nonce: number): boolean {
  return (
    item.ownerAddress === seal.item.ownerAddress &&
    tagOf(item, 'Type') === 'Assignment' &&
    tagOf(item, 'Process') === process &&
    tagOf(item, 'Nonce') === String(nonce)
  );
}

/** Hash chain a slot must have; null at the beginning of a range, which builds on another bundle's. */
function chainBefore(process: string, nonce: number, before: ScheduleEntry | undefined): string | null {
  if (before)
    return nextHash({ assignmentId: before.assignment.id, hashChain: tagOf(before.assignment, 'Hash-Chain') });
  return nonce === 0 ? firstHash(process) : null;
}
