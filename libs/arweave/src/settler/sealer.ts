/** Makes bundles of what waits, as fairly as they can be filled, seals and stores them; and makes stored ones again, byte for byte. */
import { hash } from 'node:crypto';
import { parseItem, tagOf, type Signer } from '@isthmus/ao';
import type { DataSource } from 'typeorm';
import {
  createSeal,
  digestOf,
  encodeSettledBundle,
  MAX_RANGES,
  MAX_SEALED_ITEMS,
  readSeal,
  type RawItem,
  type SealedRange,
} from '../format/index.js';
import { readOthers, readRanges, slotSizes, type SlotRange } from './contents.js';
import { SettlerError } from './error.js';
import { extendChains } from './results-chain.js';
import type { SettlementStore } from './settlement-store.js';
import { fairShares, prefixWithin } from './shares.js';
import type { OnSettlementStep } from './steps.js';
import { waitingItems, waitingProcesses, type WaitingItem, type WaitingProcess } from './waiting.js';

export interface SealPolicy {
  /** Bytes of items a bundle holds at most; one larger item goes alone. */
  bundleBytes: number;
  /** Milliseconds an item waits at most for others to fill its bundle. */
  bundleMs: number;
}

/** What a bundle is about to hold. */
interface Plan {
  others: WaitingItem[];
  ranges: (SlotRange & { of: WaitingProcess })[];
}

/** How much waits, about. */
export interface Backlog {
  slots: number;
  others: number;
  /** When the oldest of it was placed; null when nothing waits. Milliseconds. */
  since: number | null;
}

/** A look at the tables that takes longer than this (tens of thousands of processes) is followed by a pause so many times as long. */
const LONG_LOOK_MS = 500;
const PAUSE = 10;
/** Bytes of a slot before any bundle has told. */
const FIRST_GUESS = 1000;

export class Sealer {
  /** Bytes of a slot in the bundles sealed lately. */
  private slotBytes = FIRST_GUESS;
  /** Since when items of no schedule have waited, which no table says. */
  private othersSince: number | null = null;
  /** After a long look at the tables the next one comes later. As `performance.now` counts. */
  private notBefore = 0;
  backlog: Backlog = { slots: 0, others: 0, since: null };

  constructor(
    private readonly database: DataSource,
    private readonly store: SettlementStore,
    private readonly signer: Signer,
    private readonly policy: SealPolicy,
    private readonly now: () => number,
    private readonly onStep: OnSettlementStep,
  ) {}

  /** Seals one bundle if there is enough for one, or something has waited long enough. @returns whether there was */
  async seal(): Promise<boolean> {
    if (performance.now() < this.notBefore) return false;
    // Before what waits is read: whoever seals meanwhile takes this number, and nothing is sealed twice.
    const newest = await this.store.newest();
    const began = performance.now();
    const [processes, items] = await Promise.all([
      waitingProcesses(this.database, MAX_RANGES),
      waitingItems(this.database),
    ]);
    const took = performance.now() - began;
    if (took > LONG_LOOK_MS) this.notBefore = performance.now() + PAUSE * took;
    this.note(processes, items);
    if (!this.isDue(items)) return false;
    const plan = await this.plan(processes, items);
    if (plan.others.length + plan.ranges.length === 0) return false;
    await this.sealPlan(newest, plan);
    return true;
  }

  /** The bytes of a bundle that was sealed. @throws SettlerError `rows-changed` */
  async bytesOf(sequence: number): Promise<Buffer> {
    const raw = await this.store.sealOf(sequence);
    if (!raw) throw new SettlerError('rows-changed', `Bundle ${sequence} is no longer there.`);
    const seal = readSeal(parseItem(raw));
    const items = await this.itemsOf(await this.store.othersOf(sequence), seal.ranges);
    if (digestOf(items) !== seal.digest)
      throw new SettlerError(
        'rows-changed',
        `What bundle ${sequence} was sealed over is not what the database holds now: restore it from a backup, or rebuild it from Arweave.`,
      );
    return encodeSettledBundle(seal.item, items);
  }

  private note(processes: readonly WaitingProcess[], items: readonly WaitingItem[]): void {
    this.othersSince = items.length === 0 ? null : (this.othersSince ?? this.now());
    const ages = [...processes.map((p) => p.since), ...(this.othersSince === null ? [] : [this.othersSince])];
    this.backlog = {
      slots: processes.reduce((sum, { head, next }) => sum + head - next + 1, 0),
      others: items.length,
      since: ages.length === 0 ? null : Math.min(...ages),
    };
  }

  private isDue(items: readonly WaitingItem[]): boolean {
    const { slots, since } = this.backlog;
    const { bundleBytes, bundleMs } = this.policy;
    const full =
      slots * this.slotBytes + items.reduce((sum, { bytes }) => sum + bytes, 0) >= bundleBytes ||
      2 * slots >= MAX_SEALED_ITEMS;
    return full || (since !== null && this.now() - since >= bundleMs);
  }

  /** Items of no schedule have half the room at most, as long as there are schedules; processes share the rest alike. */
  private async plan(processes: readonly WaitingProcess[], items: readonly WaitingItem[]): Promise<Plan> {
    const { bundleBytes } = this.policy;
    const room = processes.length === 0 ? bundleBytes : bundleBytes / 2;
    const others = items.slice(
      0,
      Math.max(
        1,
        prefixWithin(
          items.map((i) => i.bytes),
          room,
        ),
      ),
    );
    const left = bundleBytes - others.reduce((sum, { bytes }) => sum + bytes, 0);
    const here = new Set(others.map((o) => o.id));
    const ready = processes.flatMap((p) => {
      const to = this.lastOf(p);
      return to >= p.next && (p.needs === null || here.has(p.needs))
        ? [{ process: p.process, from: p.next, to, of: p }]
        : [];
    });
    if (left <= 0 || ready.length === 0) return { others, ranges: [] };
    const slots = fairShares(
      ready.map(({ from, to }) => to - from + 1),
      Math.floor((MAX_SEALED_ITEMS - others.length) / 2),
    );
    const shortened = ready.flatMap((r, i) => (slots[i] ? [{ ...r, to: r.from + slots[i] - 1 }] : []));
    const sizes = await slotSizes(this.database, shortened);
    const oldest = sizes[0]?.[0] ?? 0;
    // It waited longest: it has the bundle to itself, or to the schedules, when it does not fit beside items of no schedule.
    if (oldest > left && others.length > 0 && shortened[0]?.of.needs === null) return this.plan(processes, []);
    const counts = fill(sizes, left);
    return { others, ranges: shortened.flatMap((r, i) => (counts[i] ? [{ ...r, to: r.from + counts[i] - 1 }] : [])) };
  }

  /** Slots without a result are settled only when nothing else of the process can be and they have waited. */
  private lastOf({ next, head, evaluated, since }: WaitingProcess): number {
    if (evaluated >= next) return Math.min(head, evaluated);
    return this.now() - since >= this.policy.bundleMs ? head : next - 1;
  }

  private async sealPlan(newest: { sequence: number; seal: string | null }, { others, ranges }: Plan): Promise<void> {
    const otherIds = others.map((o) => o.id);
    const items = await this.itemsOf(otherIds, ranges);
    const seal = await createSeal(
      {
        sequence: newest.sequence + 1,
        previous: newest.seal,
        digest: digestOf(items),
        others: others.length,
        ranges: await this.sealedRanges(ranges, items.slice(others.length)),
      },
      this.signer,
    );
    const bytes = encodeSettledBundle(seal.item, items);
    const itemBytes = items.reduce((sum, { raw }) => sum + raw.length, 0);
    const slots = (items.length - others.length) / 2;
    const added = await this.store.add(
      {
        seal,
        sha256: hash('sha256', bytes, 'hex'),
        bytes: bytes.length,
        itemBytes,
        others: otherIds,
        slots,
        at: new Date(this.now()),
      },
      () => this.onStep('seal.before-commit'),
    );
    if (!added) return; // another gateway has sealed meanwhile: what is left is looked for again
    this.onStep('seal.after-commit');
    const otherBytes = others.reduce((sum, o) => sum + o.bytes, 0);
    if (slots > 0) this.slotBytes = (itemBytes - otherBytes) / slots;
    if (others.length > 0) this.othersSince = null;
  }

  private async sealedRanges(ranges: Plan['ranges'], items: readonly RawItem[]): Promise<SealedRange[]> {
    const computed = ranges.filter(({ to, of }) => of.evaluated >= to);
    const chains = await extendChains(
      this.database,
      computed.map(({ process, to, of }) => ({ process, slot: of.resultsSlot, results: of.results, to })),
    );
    const results = new Map(computed.map(({ process }, i) => [process, chains[i] ?? null]));
    let at = 0;
    return ranges.map(({ process, from, to }) => {
      at += 2 * (to - from + 1);
      const last = parseItem((items[at - 2] as RawItem).raw); // its assignment, before its message
      return {
        process,
        from,
        to,
        assignment: last.id,
        hashChain: tagOf(last, 'Hash-Chain'),
        results: results.get(process) ?? null,
      };
    });
  }

  private async itemsOf(others: readonly string[], ranges: readonly SlotRange[]): Promise<RawItem[]> {
    const [first, rest] = await Promise.all([readOthers(this.database, others), readRanges(this.database, ranges)]);
    return [...first, ...rest.flat()];
  }
}

/**
 * How many slots of each fit into `room`, shared alike; the first always has one, and none is beside it when it is larger than the room. What
 * shares leave because slots are not divided goes to those who have waited longest: else many whose slots are a little larger than a share
 * would have a bundle each.
 */
function fill(sizes: readonly (readonly number[])[], room: number): number[] {
  const totals = sizes.map((some) => some.reduce((sum, size) => sum + size, 0));
  const oldest = sizes[0]?.[0] ?? 0;
  let shares = fairShares(totals, room);
  if ((shares[0] ?? 0) < oldest) shares = [oldest, ...fairShares(totals.slice(1), room - oldest)];
  const counts = sizes.map((some, i) => prefixWithin(some, shares[i] ?? 0));
  let left = room - sizes.reduce((sum, some, i) => sum + bytesOf(some, counts[i] ?? 0), 0);
  for (const [i, some] of sizes.entries()) {
    const more = prefixWithin(some.slice(counts[i]), left);
    left -= bytesOf(some.slice(counts[i]), more);
    counts[i] = (counts[i] ?? 0) + more;
  }
  return counts;
}

const bytesOf = (sizes: readonly number[], count: number): number =>
  sizes.slice(0, count).reduce((sum, size) => sum + size, 0);
