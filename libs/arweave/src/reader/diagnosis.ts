/**
 * What exactly is wrong with bytes that are no settled bundle: called when they were refused, it looks at each item in its place and names
 * the first that is not what belongs there. It does no I/O but the check of signatures.
 */
import { MAX_BUNDLE_ITEMS, tagOf, verifyItem, type Item } from '@isthmus/ao';
import { itemOrNull, sealOrNull, type Seal, type SettlementError } from '../format/index.js';
import { SettlementFinding, type Place } from './finding.js';

/** What was expected of these bytes. */
export interface Expected {
  scheduler: string;
  sequence: number;
  /** Id of the seal that the transaction says it carries. */
  seal: string;
  tx: string;
}

/** @param error why the bytes were refused */
export async function diagnose(bytes: Buffer, expected: Expected, error: SettlementError): Promise<SettlementFinding> {
  const where = { bundle: expected.sequence, tx: expected.tx };
  return (await examine(bytes, expected, error)).at(where);
}

async function examine(bytes: Buffer, expected: Expected, error: SettlementError): Promise<SettlementFinding> {
  const { tx } = expected;
  const loose = itemsAsTheyAre(bytes);
  const head = loose.items[0];
  if (!head) return new SettlementFinding('other-bytes', `What ${tx} holds is no bundle: ${error.message}`);
  if (head.id !== expected.seal)
    return new SettlementFinding(
      'other-bytes',
      `The bundle at ${tx} begins with item ${head.id}, where its tags name the seal ${expected.seal}.`,
      { item: head.id },
    );
  if (head.ownerAddress !== expected.scheduler || !(await verifyItem(head)))
    return new SettlementFinding('forged', `Seal ${head.id} is not signed by the scheduler over its contents.`, {
      item: head.id,
    });
  const seal = sealOrNull(head);
  if (!seal) return new SettlementFinding('forged', `Item ${head.id} is signed by the scheduler and is no seal.`);
  return (await firstWrong(seal, loose)) ?? new SettlementFinding('other-bytes', error.message, { item: head.id });
}

/** Items as far as they can be read, each with whether its header names it. */
interface Loose {
  items: Item[];
  /** Position of the first item that is not the one its header names, or cannot be read. */
  broken: number | null;
}

function itemsAsTheyAre(bytes: Buffer): Loose {
  const items: Item[] = [];
  const count = numberAt(bytes, 0);
  if (count === null || count > MAX_BUNDLE_ITEMS) return { items, broken: 0 };
  let at = 32 + 64 * count;
  for (let i = 0; i < count; i += 1) {
    const size = numberAt(bytes, 32 + 64 * i);
    const item = size !== null && at + size <= bytes.length ? itemOrNull(bytes.subarray(at, at + size)) : null;
    const named = bytes.subarray(64 + 64 * i, 96 + 64 * i).toString('base64url');
    if (!item || item.id !== named) return { items, broken: i };
    items.push(item);
    at += size ?? 0;
  }
  return { items, broken: at === bytes.length ? null : count };
}

function numberAt(bytes: Buffer, at: number): number | null {
  if (at + 32 > bytes.length || bytes.subarray(at + 6, at + 32).some((b) => b !== 0)) return null;
  return bytes.readUIntLE(at, 6);
}

/** What belongs at a position behind the seal. */
type Belongs = { kind: 'other' } | { kind: 'assignment' | 'message'; process: string; slot: number };

function* belongings(seal: Seal): Generator<Belongs> {
  for (let i = 0; i < seal.others; i += 1) yield { kind: 'other' };
  for (const { process, from, to } of seal.ranges)
    for (let slot = from; slot <= to; slot += 1) {
      yield { kind: 'assignment', process, slot };
      yield { kind: 'message', process, slot };
    }
}

/** The first item that is not what belongs in its place; null when each is, as far as it says itself. */
async function firstWrong(seal: Seal, { items, broken }: Loose): Promise<SettlementFinding | null> {
  let position = 0;
  let assignment: Item | null = null;
  for (const belongs of belongings(seal)) {
    position += 1;
    const item = items[position];
    const place = placeOf(belongs);
    if (!item)
      return position === broken
        ? new SettlementFinding('other-bytes', `${wordsFor(belongs)} is not the bytes its header names.`, place)
        : new SettlementFinding('missing-slot', `The bundle ends before ${wordsFor(belongs)}.`, place);
    const wrong =
      belongs.kind === 'assignment'
        ? misplaced(seal, items, item, belongs)
        : belongs.kind === 'message' && tagOf(assignment ?? item, 'Message') !== item.id
          ? new SettlementFinding('other-bytes', `Item ${item.id} is not the message of ${wordsFor(belongs)}.`, place)
          : null;
    if (wrong) return wrong.at({ ...place, item: item.id });
    if (!(await verifyItem(item)))
      return new SettlementFinding('forged', `${wordsFor(belongs)}, ${item.id}, is not signed by its owner.`, {
        ...place,
        item: item.id,
      });
    assignment = belongs.kind === 'assignment' ? item : null;
  }
  if (items.length > position + 1)
    return new SettlementFinding(
      'doubled',
      `The bundle has ${items.length - position - 1} items more than were sealed.`,
    );
  return null;
}

type Slot = Extract<Belongs, { process: string }>;

/** Why an item is not the assignment that belongs here; null when it is. */
function misplaced(seal: Seal, items: readonly Item[], item: Item, { process, slot }: Slot): SettlementFinding | null {
  const isOf = (one: Item, nonce: number): boolean =>
    tagOf(one, 'Type') === 'Assignment' && tagOf(one, 'Process') === process && tagOf(one, 'Nonce') === String(nonce);
  const where = `slot ${slot} of ${process}`;
  if (isOf(item, slot))
    return item.ownerAddress === seal.item.ownerAddress
      ? null
      : new SettlementFinding('forged', `The assignment of ${where} is not the scheduler's.`);
  if (items.some((one) => isOf(one, slot)))
    return new SettlementFinding('reordered', `The assignment of ${where} is in the bundle, in another place.`);
  const said = Number(tagOf(item, 'Nonce'));
  if (isOf(item, said) && said < slot)
    return new SettlementFinding('doubled', `Slot ${said} of ${process} is there again where ${where} belongs.`);
  return new SettlementFinding('missing-slot', `The assignment of ${where} is not in the bundle.`);
}

const placeOf = (belongs: Belongs): Partial<Place> =>
  belongs.kind === 'other' ? {} : { process: belongs.process, slot: belongs.slot };

function wordsFor(belongs: Belongs): string {
  if (belongs.kind === 'other') return 'An item of no schedule';
  return `the ${belongs.kind} of slot ${belongs.slot} of ${belongs.process}`;
}
