/**
 * The seal: the item at the head of each bundle, signed by the scheduler. It numbers the bundles, binds each to the one before and to every
 * byte of the items that follow, and says how far each process' schedule and results have come.
 */
import { createItem, tagOf, type Item, type Signer, type Tag } from '@isthmus/ao';
import { z } from 'zod';
import { SettlementError } from './error.js';

/** Tags of a seal and of what carries its bundle. */
export const APP_NAME = 'Isthmus';
export const SETTLEMENT_VARIANT = 'isthmus.settlement.1';

/** Most ranges of one bundle: their part of the seal stays below 400 KB. */
export const MAX_RANGES = 1000;

/** Slots of one process that a bundle holds. */
export interface SealedRange {
  process: string;
  /** First and last slot. */
  from: number;
  to: number;
  /** Id and hash chain of the assignment of slot `to`. */
  assignment: string;
  hashChain: string;
  /** r(to) of the results chain, base64url; null when slot `to` had no result yet when the bundle was sealed. */
  results: string | null;
}

export interface SealContent {
  /** Number of the bundle, from 1. */
  sequence: number;
  /** Id of the seal before; null for the first. */
  previous: string | null;
  /** sha256 over the sha256 of each following item, base64url. */
  digest: string;
  /** Items that belong to no range; they come first. */
  others: number;
  ranges: readonly SealedRange[];
}

export interface Seal extends SealContent {
  /** Its signature is checked by who reads it (`verifyItem`), as is that the owner is the scheduler. */
  item: Item;
}

const id = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/); // 32 bytes, canonical base64url
const slot = z.number().int().nonnegative();
const body = z.strictObject({
  digest: id,
  others: slot,
  ranges: z
    .array(z.strictObject({ process: id, from: slot, to: slot, assignment: id, hashChain: id, results: id.nullable() }))
    .max(MAX_RANGES),
});

/** Makes and signs a seal. @throws SettlementError `bad-seal` for content that none can have */
export async function createSeal(content: SealContent, signer: Signer): Promise<Seal> {
  check(content);
  const item = await createItem({ tags: tagsOf(content), data: dataOf(content) }, signer);
  return { ...content, item };
}

/**
 * Reads a seal; its signature is not checked. A content has one written form, so that nobody can say the same twice under two ids.
 * @throws SettlementError `no-seal` for another kind of item, `bad-seal`
 */
export function readSeal(item: Item): Seal {
  if (tagOf(item, 'App-Name') !== APP_NAME || tagOf(item, 'Type') !== 'Settlement')
    throw new SettlementError('no-seal', `Item ${item.id} is no seal of a bundle.`, 0);
  const content: SealContent = {
    sequence: Number(tagOf(item, 'Sequence')),
    previous: tagOf(item, 'Previous') || null,
    ...bodyOf(item),
  };
  check(content);
  const tags = tagsOf(content);
  const same = item.tags.length === tags.length && tags.every((tag, i) => sameTag(tag, item.tags[i]));
  if (!same || item.target !== '' || item.anchor !== '' || dataOf(content) !== item.data.toString('utf8'))
    throw badSeal(`Seal ${item.id} is not written as a seal is.`);
  return { ...content, item };
}

function bodyOf(item: Item): z.infer<typeof body> {
  let json: unknown;
  try {
    json = JSON.parse(item.data.toString('utf8'));
  } catch {
    throw badSeal(`The data of seal ${item.id} is no JSON.`);
  }
  const read = body.safeParse(json);
  if (!read.success) throw badSeal(`The data of seal ${item.id} is none a seal has.`);
  return read.data;
}

/** @throws SettlementError `bad-seal` */
function check({ sequence, previous, ranges }: SealContent): void {
  if (!Number.isSafeInteger(sequence) || sequence < 1) throw badSeal('A seal has a Sequence from 1 on.');
  if ((previous === null) !== (sequence === 1)) throw badSeal('Every seal but the first names the one before.');
  if (previous !== null && !id.safeParse(previous).success) throw badSeal('Previous is the id of a seal.');
  if (ranges.length > MAX_RANGES) throw badSeal(`A bundle has at most ${MAX_RANGES} ranges.`);
  if (ranges.some(({ from, to }) => from > to)) throw badSeal('A range ends before it begins.');
  if (new Set(ranges.map((r) => r.process)).size !== ranges.length)
    throw badSeal('A process has one range in a bundle.');
}

function tagsOf({ sequence, previous }: SealContent): Tag[] {
  return [
    { name: 'App-Name', value: APP_NAME },
    { name: 'Variant', value: SETTLEMENT_VARIANT },
    { name: 'Type', value: 'Settlement' },
    { name: 'Sequence', value: String(sequence) },
    ...(previous === null ? [] : [{ name: 'Previous', value: previous }]),
  ];
}

/** JSON with its keys in this order. */
function dataOf({ digest, others, ranges }: SealContent): string {
  const written = ranges.map(({ process, from, to, assignment, hashChain, results }) => ({
    process,
    from,
    to,
    assignment,
    hashChain,
    results,
  }));
  return JSON.stringify({ digest, others, ranges: written });
}

const sameTag = (a: Tag, b: Tag | undefined): boolean => a.name === b?.name && a.value === b.value;
const badSeal = (message: string): SettlementError => new SettlementError('bad-seal', message, 0);
