/**
 * The scheduler: gives every message of a process one place, for good. Durable before acknowledged; messages that come while others are
 * being written, or within a moment of each other, are written together, and one that comes alone waits for nobody.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { parseItem, verifyItem } from '../items/index.js';
import type { Item, ScheduleEntry, Signer } from '../types.js';
import { tagOf } from '../items/tags.js';
import { idTaken, ScheduleError } from './error.js';
import { itemHeads, type ItemHead } from './heads.js';
import { ScheduleLog, type EntryRange } from './log.js';
import { Placer, type Placed, type Wanted } from './placement.js';

export * from './error.js';
export { MAX_ENTRIES, type EntryRange } from './log.js';
export type { Placed } from './placement.js';

export interface SchedulerOptions {
  database: DataSource;
  /** Signs assignments; ed25519 keeps this off the critical path. */
  signer: Signer;
  /** Height that goes into assignments. */
  blockHeight?: () => number;
  now?: () => number;
  /** Every Module-Format that processes may have; any unless told. */
  formats?: readonly string[] | undefined;
  /** Least time between two statements while several send at once, in milliseconds; GATHER_MS unless told. */
  gatherMs?: number;
}

const ID = /^[A-Za-z0-9_-]{43}$/;
const FORMAT = /^[A-Za-z0-9._-]{1,100}$/;
/** Most messages being checked or waiting for their place at once, and most bytes of them; more are refused. */
const MAX_WAITING = 20_000;
const MAX_WAITING_BYTES = 128 * 1024 * 1024;
/** Most messages of one statement, and about how many bytes: what signing may hold up others, and one large message holds up. */
const MAX_BATCH = 256;
const MAX_BATCH_BYTES = 32 * 1024 * 1024;
/** While several send at once, statements begin no closer together than this: most of what one costs, here and in all that follows it, is the same for one message and for ten. */
const GATHER_MS = 8;
/**
 * Largest message. Every copy of a process reads each of them again at every start, and nobody has agreed to them; a guardian's largest,
 * 500 deposits with the largest tags, has 2.3 MB. Modules and spawns may be as large as items are.
 */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/**
 * Largest message that may be assigned to further processes. An assignment costs whoever asks for it nothing, not even a signature, and
 * everyone who follows the process is sent the whole message.
 */
export const MAX_ASSIGNED_BYTES = 64 * 1024;

interface Waiting extends Wanted {
  resolve: (placed: Placed) => void;
  reject: (error: unknown) => void;
}

export class Scheduler {
  private readonly waiting: Waiting[] = [];
  private held = 0;
  private heldBytes = 0;
  private working: Promise<void> | null = null;
  /** The last statement. */
  private last = { begun: -Infinity, count: 0 };
  private readonly listeners = new Set<(process: string, last: number) => void>();
  private readonly keepers = new Set<(id: string) => void>();
  /** The schedules as stored. */
  readonly log: ScheduleLog;
  private readonly placer: Placer;

  constructor(private readonly options: SchedulerOptions) {
    this.log = new ScheduleLog(options.database);
    this.placer = new Placer({
      database: options.database,
      signer: options.signer,
      blockHeight: () => this.blockHeight,
      now: () => this.now(),
      formats: options.formats,
    });
  }

  /** Address that signs this scheduler's assignments. */
  get address(): string {
    return this.options.signer.address;
  }

  /** Calls `listener` after messages of a process were placed, with the slot of the last of them. */
  onPlaced(listener: (process: string, last: number) => void): void {
    this.listeners.add(listener);
  }

  /** Calls `listener` after an item that is in no schedule was stored. */
  onKept(listener: (id: string) => void): void {
    this.keepers.add(listener);
  }

  /**
   * Places a signed item: a module, a process (its spawn is slot 0), or a message.
   * Resolves once that is durable; the same item again gives the same place.
   * @throws ItemError, ScheduleError
   */
  async schedule(raw: Buffer): Promise<Placed> {
    const item = parseItem(raw);
    const process = addresseeOf(item);
    return this.holding(item, async () => {
      if (!(await verifyItem(item)))
        throw new ScheduleError('bad-signature', 'The item is not signed by its owner over these contents.');
      return process === null ? this.storeModule(item) : this.enter(item, process);
    });
  }

  /**
   * Places a message or a spawn that the caller has signed itself, in the order of the calls: it is not verified again.
   * @throws ItemError, ScheduleError
   */
  async schedulePushed(raw: Buffer): Promise<Placed> {
    const item = parseItem(raw);
    assertSize(item);
    return this.holding(item, () => this.enter(item, tagOf(item, 'Type') === 'Process' ? item.id : item.target));
  }

  /**
   * Places an item that is known here on another process' schedule as well, once: an assignment without a new message. The message keeps its
   * own Target, by which the process sees that it was said to somebody else; whoever asks need not be its author.
   * @throws ScheduleError `unknown-message`, `unknown-process`, `too-large`, `overloaded`
   */
  async assign(process: string, messageId: string): Promise<Placed> {
    if (!ID.test(process)) throw new ScheduleError('unknown-process', 'A process has an id of 43 characters.');
    const raw = ID.test(messageId) ? await this.item(messageId) : null;
    if (!raw)
      throw new ScheduleError('unknown-message', `Item ${messageId} is not known here: only what is can be assigned.`);
    if (raw.length > MAX_ASSIGNED_BYTES)
      throw new ScheduleError('too-large', `Only messages of at most ${MAX_ASSIGNED_BYTES} bytes can be assigned.`);
    const item = parseItem(raw);
    return this.holding(item, () => this.enter(item, process));
  }

  /** Height that goes into the next assignment. */
  get blockHeight(): number {
    return this.options.blockHeight?.() ?? 0;
  }

  /** Some of the entries from a slot on, in order, for who goes on until there are none: those placed lately cost no look at the database. */
  following(process: string, fromNonce: number, limit: number): Promise<ScheduleEntry[]> {
    return this.log.following(process, fromNonce, limit);
  }

  /** Slot of a message that was placed here lately; null: look in the database. */
  slotOf(process: string, messageId: string): number | null {
    return this.log.slotOf(process, messageId);
  }

  /** Entries of a process from a slot on, in order: at most `limit`, never more than MAX_ENTRIES, and fewer when they are large. */
  entries(process: string, fromNonce: number, limit: number): Promise<ScheduleEntry[]> {
    return this.log.entries(process, fromNonce, limit);
  }

  /** A page of the schedule, in order, with whether it goes on. */
  page(process: string, range: EntryRange): Promise<{ entries: ScheduleEntry[]; more: boolean }> {
    return this.log.page(process, range);
  }

  /** The newest entry of a process, or null. */
  latest(process: string): Promise<ScheduleEntry | null> {
    return this.log.latest(process);
  }

  /** The entry of one message, by its id or its assignment's, or null. */
  entryOf(process: string, id: string): Promise<ScheduleEntry | null> {
    return this.log.entryOf(process, id);
  }

  /** Stores an item of one's own that is for no process, so that it can be found. */
  async keep({ id, raw }: Pick<Item, 'id' | 'raw'>): Promise<void> {
    await this.options.database.query('insert into item (id, item) values ($1, $2) on conflict do nothing', [id, raw]);
    for (const listener of this.keepers) listener(id);
  }

  /** Items by id without their data, those that are known. */
  heads(ids: readonly string[]): Promise<Map<string, ItemHead>> {
    return itemHeads(
      this.options.database,
      ids.filter((id) => ID.test(id)),
    );
  }

  /** Raw bytes of an item by id, or null: a module, a process, a message, or one that is in no schedule. */
  item(id: string): Promise<Buffer | null> {
    return this.log.item(id);
  }

  /** Whether messages for this id are scheduled here. */
  hasProcess(id: string): Promise<boolean> {
    return this.log.hasProcess(id);
  }

  /** Resolves when no call waits for its place any more. */
  async stop(): Promise<void> {
    while (this.working) await this.working;
  }

  /** Counts the item from now until it has its place or has none. @throws ScheduleError `overloaded` */
  private async holding(item: Item, work: () => Promise<Placed>): Promise<Placed> {
    const { length } = item.raw;
    if (this.held >= MAX_WAITING || this.heldBytes + length > MAX_WAITING_BYTES)
      throw new ScheduleError('overloaded', 'Too many messages are waiting for their place: send again in a moment.');
    this.held += 1;
    this.heldBytes += length;
    try {
      return await work();
    } finally {
      this.held -= 1;
      this.heldBytes -= length;
    }
  }

  private enter(item: Item, process: string): Promise<Placed> {
    const placed = new Promise<Placed>((resolve, reject) => this.waiting.push({ item, process, resolve, reject }));
    this.working ??= this.work();
    return placed;
  }

  /** What goes into the next statement: one at least. */
  private nextBatch(): Waiting[] {
    let [count, bytes] = [0, 0];
    for (const { item } of this.waiting) {
      if (count > 0 && (count === MAX_BATCH || bytes + item.raw.length > MAX_BATCH_BYTES)) break;
      count += 1;
      bytes += item.raw.length;
    }
    return this.waiting.splice(0, count);
  }

  private async storeModule(item: Item): Promise<Placed> {
    const rows: { taken: boolean }[] = await this.options.database.query(
      `with taken as (
         select from module where id = $1 and item <> $3
         union all select from assignment where message_id = $1 and message <> $3
       ), added as (
         insert into module (id, format, item) select $1, $2, $3 where not exists (select from taken) on conflict do nothing
       ) select exists (select from taken) as taken`,
      [item.id, tagOf(item, 'Module-Format'), item.raw],
    );
    if (rows[0]?.taken) throw idTaken(item.id);
    for (const listener of this.keepers) listener(item.id);
    return { id: item.id, process: item.id, nonce: 0, assignmentId: item.id, timestamp: this.now() };
  }

  private async work(): Promise<void> {
    while (this.waiting.length > 0) {
      await this.gather();
      const batch = this.nextBatch();
      this.last = { begun: performance.now(), count: batch.length };
      const { outcomes, entries } = await this.placer.place(batch);
      this.log.placed(entries);
      batch.forEach((w, i) => {
        const outcome = outcomes[i] as Placed | Error;
        if (outcome instanceof Error) w.reject(outcome);
        else w.resolve(outcome);
      });
      // In order along each schedule: the last one of a process has its newest slot.
      for (const [process, last] of new Map(entries.map((e) => [e.process, e.nonce])))
        for (const listener of this.listeners) listener(process, last);
    }
    this.working = null;
  }

  /** Those who come within a moment share one commit: what it costs is the same for one and for many. */
  private async gather(): Promise<void> {
    const { begun, count } = this.last;
    const wait = begun + (this.options.gatherMs ?? GATHER_MS) - performance.now();
    if (count > 1 && wait > 0 && this.waiting.length < MAX_BATCH) await delay(wait);
  }

  private now(): number {
    return this.options.now?.() ?? Date.now();
  }
}

/** The process an item is for; null for a module, which is for none. @throws ScheduleError when AO has no use for the item. */
function addresseeOf(item: Item): string | null {
  const type = tagOf(item, 'Type');
  if (tagOf(item, 'Data-Protocol') !== 'ao')
    throw new ScheduleError('bad-type', 'An item for AO has the tag Data-Protocol: ao.');
  if (type === 'Module') {
    if (!FORMAT.test(tagOf(item, 'Module-Format')))
      throw new ScheduleError('bad-type', 'A module has the tag Module-Format.');
    return null;
  }
  if (type === 'Message') {
    assertSize(item);
    return item.target;
  }
  if (type !== 'Process')
    throw new ScheduleError('bad-type', 'An item for AO has the tag Type: Process, Message or Module.');
  if (!ID.test(tagOf(item, 'Module')))
    throw new ScheduleError('unknown-module', 'A process has the tag Module: the id of a module sent before.');
  return item.id;
}

function assertSize(item: Item): void {
  if (item.raw.length > MAX_MESSAGE_BYTES)
    throw new ScheduleError('too-large', `A message has at most ${MAX_MESSAGE_BYTES} bytes: send it in parts.`);
}
