/**
 * The scheduler: gives every message of a process one place, for good. Durable before acknowledged; calls that come together share one
 * transaction; the process' row is locked while its head moves, so that two schedulers on one database cannot fork a schedule.
 */
import type { DataSource, EntityManager } from 'typeorm';
import { parseItem, verifyItem } from '../items/index.js';
import { timeOfTick } from '../messenger/cron.js';
import type { Item, ScheduleEntry, Signer } from '../types.js';
import { assign, tagOf, type Assigned, type ScheduleHead } from './assignment.js';

export type ScheduleErrorCode =
  | 'bad-signature'
  | 'bad-type'
  | 'too-large'
  | 'unknown-process'
  | 'unknown-message'
  | 'unknown-module'
  | 'overloaded';

/** A message that gets no place; the message says what to do. */
export class ScheduleError extends Error {
  constructor(
    readonly code: ScheduleErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ScheduleError';
  }
}

/** Where a message stands, the same however often it is sent. */
export interface Placed {
  id: string;
  process: string;
  nonce: number;
  assignmentId: string;
  timestamp: number;
}

export interface SchedulerOptions {
  database: DataSource;
  /** Signs assignments; ed25519 keeps this off the critical path. */
  signer: Signer;
  /** Height that goes into assignments. */
  blockHeight?: () => number;
  now?: () => number;
}

const ID = /^[A-Za-z0-9_-]{43}$/;
const FORMAT = /^[A-Za-z0-9._-]{1,100}$/;

/** Most messages waiting for their place at once, and most bytes of them; more are refused. */
const MAX_WAITING = 20_000;
const MAX_WAITING_BYTES = 128 * 1024 * 1024;
/** Most messages of one transaction, and about how many bytes: what one statement can carry, and one large message holds up. */
const MAX_BATCH = 500;
const MAX_BATCH_BYTES = 32 * 1024 * 1024;
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
/** Most entries one read gives. */
export const MAX_ENTRIES = 1000;

/** Messages of one page take about this much at most; a single larger one is still given. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;
const MAX_NONCE = Number.MAX_SAFE_INTEGER;

/** Which entries of a schedule: by slot and by time (milliseconds, `after` exclusive, `until` inclusive). */
export interface EntryRange {
  fromNonce: number;
  toNonce?: number | undefined;
  after?: number | undefined;
  until?: number | undefined;
  limit: number;
}

interface EntryRow {
  nonce: string;
  item: Buffer;
  message: Buffer;
}

/** Entries with their place in the page and the bytes before them. */
const PAGE_OF_ENTRIES = `select nonce, item, message from (
    select nonce, item, message, row_number() over page as place, coalesce(sum(octet_length(message)) over (page rows between unbounded preceding and 1 preceding), 0) as before
    from (select nonce, item, message from assignment where process = $1 and nonce >= $2 order by nonce limit $3) as first
    window page as (order by nonce)
  ) as sized`;

interface Waiting {
  item: Item;
  process: string;
  resolve: (placed: Placed) => void;
  reject: (error: unknown) => void;
}

interface HeadRow {
  id: string;
  nonce: string;
  assignment_id: string;
  hash_chain: string;
  timestamp: string;
}

export class Scheduler {
  private waiting: Waiting[] = [];
  private waitingBytes = 0;
  private working: Promise<void> | null = null;
  private readonly listeners = new Set<(process: string) => void>();

  constructor(private readonly options: SchedulerOptions) {}

  /** Address that signs this scheduler's assignments. */
  get address(): string {
    return this.options.signer.address;
  }

  /** Calls `listener` after messages of a process were placed. */
  onPlaced(listener: (process: string) => void): void {
    this.listeners.add(listener);
  }

  /**
   * Places a signed item: a module, a process (its spawn is slot 0), or a message.
   * Resolves once that is durable; the same item again gives the same place.
   * @throws ItemError, ScheduleError
   */
  async schedule(raw: Buffer): Promise<Placed> {
    const item = parseItem(raw);
    if (!(await verifyItem(item)))
      throw new ScheduleError('bad-signature', 'The item is not signed by its owner over these contents.');
    const type = tagOf(item, 'Type');
    if (tagOf(item, 'Data-Protocol') !== 'ao')
      throw new ScheduleError('bad-type', 'An item for AO has the tag Data-Protocol: ao.');
    if (type === 'Module') return this.storeModule(item);
    if (type !== 'Process' && type !== 'Message')
      throw new ScheduleError('bad-type', 'An item for AO has the tag Type: Process, Message or Module.');
    if (type === 'Process' && !ID.test(tagOf(item, 'Module')))
      throw new ScheduleError('unknown-module', 'A process has the tag Module: the id of a module sent before.');
    if (type === 'Message') assertSize(item);
    return this.enter(item, type === 'Process' ? item.id : item.target);
  }

  /**
   * Places a message or a spawn that the caller has signed itself, in the order of the calls: it is not verified again.
   * @throws ItemError, ScheduleError
   */
  async schedulePushed(raw: Buffer): Promise<Placed> {
    const item = parseItem(raw);
    assertSize(item);
    return this.enter(item, tagOf(item, 'Type') === 'Process' ? item.id : item.target);
  }

  /**
   * Places an item that is known here on another process' schedule as well, once: an assignment without a new message. The message keeps its
   * own Target, by which the process sees that it was said to somebody else; whoever asks need not be its author.
   * @throws ScheduleError `unknown-message`, `unknown-process`, `too-large`, `overloaded`
   */
  async assign(process: string, messageId: string): Promise<Placed> {
    const raw = ID.test(messageId) ? await this.item(messageId) : null;
    if (!raw)
      throw new ScheduleError('unknown-message', `Item ${messageId} is not known here: only what is can be assigned.`);
    if (raw.length > MAX_ASSIGNED_BYTES)
      throw new ScheduleError('too-large', `Only messages of at most ${MAX_ASSIGNED_BYTES} bytes can be assigned.`);
    return this.enter(parseItem(raw), process);
  }

  /** Height that goes into the next assignment. */
  get blockHeight(): number {
    return this.options.blockHeight?.() ?? 0;
  }

  /** Entries of a process from a slot on, in order: at most `limit`, never more than MAX_ENTRIES, and fewer when they are large. */
  async entries(process: string, fromNonce: number, limit: number): Promise<ScheduleEntry[]> {
    const rows: EntryRow[] = await this.options.database.query(
      `${PAGE_OF_ENTRIES} where before < $4 or place <= 2 order by nonce`,
      [process, fromNonce, Math.min(limit, MAX_ENTRIES), MAX_PAGE_BYTES],
    );
    return rows.map((row) => readEntry(process, row));
  }

  /**
   * A page of the schedule, in order, with whether it goes on. Clients of AO go on from the last timestamp, exclusive, so a page asked
   * for by time never ends between two entries of one millisecond, and may be a little longer for that.
   */
  async page(process: string, range: EntryRange): Promise<{ entries: ScheduleEntry[]; more: boolean }> {
    const { fromNonce, toNonce = MAX_NONCE, after, until, limit } = range;
    if (after === undefined && until === undefined) {
      const entries = (await this.entries(process, fromNonce, limit)).filter((e) => e.nonce <= toNonce);
      const last = entries.at(-1)?.nonce ?? fromNonce - 1;
      return { entries, more: last < toNonce && (await this.entries(process, last + 1, 1)).length > 0 };
    }
    const values = [process, fromNonce, toNonce, after ?? -1, until ?? MAX_NONCE];
    const rows: EntryRow[] = await this.options.database.query(
      `with wanted as (select nonce, timestamp, item, message from assignment
         where process = $1 and nonce between $2 and $3 and timestamp > $4 and timestamp <= $5),
       first as (select timestamp, sum(octet_length(message)) over (order by nonce) as bytes, row_number() over (order by nonce) as place
         from (select nonce, timestamp, message from wanted order by nonce limit $6) as w),
       last as (select max(timestamp) as timestamp from first where bytes <= $7 or place = 1)
       select nonce, item, message from wanted where timestamp <= (select timestamp from last) order by nonce`,
      [...values, Math.min(limit, MAX_ENTRIES), MAX_PAGE_BYTES],
    );
    const entries = rows.map((row) => readEntry(process, row));
    const last = entries.at(-1);
    if (!last) return { entries, more: false };
    const following: unknown[] = await this.options.database.query(
      'select 1 from assignment where process = $1 and nonce > $2 and nonce <= $3 and timestamp <= $4 limit 1',
      [process, last.nonce, toNonce, until ?? MAX_NONCE],
    );
    return { entries, more: following.length > 0 };
  }

  /** The newest entry of a process, or null. */
  async latest(process: string): Promise<ScheduleEntry | null> {
    const rows: { nonce: string }[] = await this.options.database.query('select nonce from process where id = $1', [
      process,
    ]);
    return rows[0] ? ((await this.entries(process, Number(rows[0].nonce), 1))[0] ?? null) : null;
  }

  /** The entry of one message, by its id or its assignment's, or null. */
  async entryOf(process: string, id: string): Promise<ScheduleEntry | null> {
    const rows: { nonce: string }[] = await this.options.database.query(
      'select nonce from assignment where process = $1 and message_id = $2 union all select nonce from assignment where process = $1 and id = $2 limit 1',
      [process, id],
    );
    return rows[0] ? ((await this.entries(process, Number(rows[0].nonce), 1))[0] ?? null) : null;
  }

  /** Raw bytes of a module, process or message item by id, or null. */
  async item(id: string): Promise<Buffer | null> {
    const rows: { item: Buffer }[] = await this.options.database.query(
      'select item from module where id = $1 union all select item from process where id = $1 union all select message from assignment where message_id = $1 limit 1',
      [id],
    );
    return rows[0]?.item ?? null;
  }

  /** Whether messages for this id are scheduled here. */
  async hasProcess(id: string): Promise<boolean> {
    const rows: unknown[] = await this.options.database.query('select 1 from process where id = $1', [id]);
    return rows.length > 0;
  }

  /** Resolves when no call waits for its place any more. */
  async stop(): Promise<void> {
    while (this.working) await this.working;
  }

  private enter(item: Item, process: string): Promise<Placed> {
    if (this.waiting.length >= MAX_WAITING || this.waitingBytes + item.raw.length > MAX_WAITING_BYTES)
      throw new ScheduleError('overloaded', 'Too many messages are waiting for their place: send again in a moment.');
    const placed = new Promise<Placed>((resolve, reject) => this.waiting.push({ item, process, resolve, reject }));
    this.waitingBytes += item.raw.length;
    this.working ??= this.work();
    return placed;
  }

  /** What goes into the next transaction: one at least. */
  private nextBatch(): Waiting[] {
    let [count, bytes] = [0, 0];
    for (const { item } of this.waiting) {
      if (count > 0 && (count === MAX_BATCH || bytes + item.raw.length > MAX_BATCH_BYTES)) break;
      count += 1;
      bytes += item.raw.length;
    }
    this.waitingBytes -= bytes;
    return this.waiting.splice(0, count);
  }

  private async storeModule(item: Item): Promise<Placed> {
    const format = tagOf(item, 'Module-Format');
    if (!FORMAT.test(format)) throw new ScheduleError('bad-type', 'A module has the tag Module-Format.');
    await this.options.database.query(
      'insert into module (id, format, item) values ($1, $2, $3) on conflict do nothing',
      [item.id, format, item.raw],
    );
    return { id: item.id, process: item.id, nonce: 0, assignmentId: item.id, timestamp: this.now() };
  }

  private async work(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.nextBatch();
      try {
        const outcomes = await this.options.database.transaction((manager) => this.place(manager, batch));
        batch.forEach((w, i) => {
          const outcome = outcomes[i] as Placed | ScheduleError;
          if (outcome instanceof ScheduleError) w.reject(outcome);
          else w.resolve(outcome);
        });
        const placed = outcomes.flatMap((outcome) => (outcome instanceof ScheduleError ? [] : [outcome.process]));
        for (const process of new Set(placed)) for (const listener of this.listeners) listener(process);
      } catch (error) {
        for (const w of batch) w.reject(error);
      }
    }
    this.working = null;
  }

  private async place(manager: EntityManager, batch: Waiting[]): Promise<(Placed | ScheduleError)[]> {
    const heads = await this.lockHeads(manager, batch);
    const known = await knownPlaces(manager, batch);
    const outcomes: (Placed | ScheduleError)[] = [];
    for (const { item, process } of batch) outcomes.push(await this.placeOne(manager, item, process, heads, known));
    const moved = [...heads].filter(([, head]) => head.moved);
    await manager.query(
      `update process set nonce = h.nonce, assignment_id = h.assignment_id, hash_chain = h.hash_chain, timestamp = h.timestamp
       from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) as h(id, nonce, assignment_id, hash_chain, timestamp) where process.id = h.id`,
      [
        moved.map(([id]) => id),
        moved.map(([, h]) => h.nonce),
        moved.map(([, h]) => h.assignmentId),
        moved.map(([, h]) => h.hashChain),
        moved.map(([, h]) => h.timestamp),
      ],
    );
    await insertPlaced(
      manager,
      [...known.values()].filter((k) => k.fresh).map((k) => k.fresh as FreshRow),
    );
    return outcomes;
  }

  /** Locked in one order, so that two schedulers never wait for each other. */
  private async lockHeads(manager: EntityManager, batch: Waiting[]): Promise<Map<string, LockedHead>> {
    const ids = [...new Set(batch.map((w) => w.process))].sort();
    const rows: HeadRow[] = await manager.query(
      'select id, nonce, assignment_id, hash_chain, timestamp from process where id = any($1) order by id for update',
      [ids],
    );
    return new Map(
      rows.map((r) => [
        r.id,
        {
          nonce: Number(r.nonce),
          assignmentId: r.assignment_id,
          hashChain: r.hash_chain,
          timestamp: Number(r.timestamp),
          moved: false,
        },
      ]),
    );
  }

  private async placeOne(
    manager: EntityManager,
    item: Item,
    process: string,
    heads: Map<string, LockedHead>,
    known: Map<string, Known>,
  ): Promise<Placed | ScheduleError> {
    const before = known.get(`${process} ${item.id}`);
    if (before) return before.placed;
    const head = heads.get(process) ?? null;
    const isSpawn = process === item.id && tagOf(item, 'Type') === 'Process'; // not a module assigned to itself
    if (!head && !isSpawn)
      return new ScheduleError(
        'unknown-process',
        `There is no process ${process} here: spawn it first, or send the message to its own scheduler.`,
      );
    const assigned = await assign(
      process,
      item.id,
      head,
      { timestamp: Math.max(this.now(), this.momentOf(item)), blockHeight: this.blockHeight },
      this.options.signer,
    );
    if (isSpawn) {
      const module = tagOf(item, 'Module');
      const found: unknown[] = await manager.query('select 1 from module where id = $1', [module]);
      if (found.length === 0)
        return new ScheduleError('unknown-module', `Module ${module} is not known here: send the module first.`);
      await manager.query(
        'insert into process (id, module, item, nonce, assignment_id, hash_chain, timestamp) values ($1, $2, $3, $4, $5, $6, $7)',
        [process, module, item.raw, ...headValues(assigned.head)],
      );
    }
    heads.set(process, { ...assigned.head, moved: true });
    const placed: Placed = {
      id: item.id,
      process,
      nonce: assigned.head.nonce,
      assignmentId: assigned.item.id,
      timestamp: assigned.head.timestamp,
    };
    known.set(`${process} ${item.id}`, { placed, fresh: { assigned, item, process } });
    return placed;
  }

  /** A tick has its place no earlier than it says, by whichever gateway's clock it was made. */
  private momentOf(item: Item): number {
    return item.ownerAddress === this.address ? (timeOfTick(item) ?? 0) : 0;
  }

  private now(): number {
    return this.options.now?.() ?? Date.now();
  }
}

function assertSize(item: Item): void {
  if (item.raw.length > MAX_MESSAGE_BYTES)
    throw new ScheduleError('too-large', `A message has at most ${MAX_MESSAGE_BYTES} bytes: send it in parts.`);
}

function readEntry(process: string, row: EntryRow): ScheduleEntry {
  return {
    process,
    nonce: Number(row.nonce),
    assignment: parseItem(row.item),
    message: parseItem(row.message),
  };
}

type LockedHead = ScheduleHead & { moved: boolean };

interface FreshRow {
  assigned: Assigned;
  item: Item;
  process: string;
}

interface Known {
  placed: Placed;
  /** Set when the place was given in this batch. */
  fresh?: FreshRow;
}

const headValues = (h: ScheduleHead): unknown[] => [h.nonce, h.assignmentId, h.hashChain, h.timestamp];

/** A pushed message has the same id whenever and by whichever gateway of one messenger key it is made, so ids are all that need comparing. */
async function knownPlaces(manager: EntityManager, batch: Waiting[]): Promise<Map<string, Known>> {
  const rows: { process: string; nonce: string; id: string; message_id: string; timestamp: string }[] =
    await manager.query(
      'select process, nonce, id, message_id, timestamp from assignment where process = any($1) and message_id = any($2)',
      [batch.map((w) => w.process), batch.map((w) => w.item.id)],
    );
  return new Map(
    rows.map((r) => {
      const placed = {
        id: r.message_id,
        process: r.process,
        nonce: Number(r.nonce),
        assignmentId: r.id,
        timestamp: Number(r.timestamp),
      };
      return [`${r.process} ${r.message_id}`, { placed }];
    }),
  );
}

async function insertPlaced(manager: EntityManager, rows: FreshRow[]): Promise<void> {
  if (rows.length === 0) return;
  await manager.query(
    `insert into assignment (process, nonce, id, message_id, timestamp, item, message)
     select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[])`,
    [
      rows.map((r) => r.process),
      rows.map((r) => r.assigned.head.nonce),
      rows.map((r) => r.assigned.item.id),
      rows.map((r) => r.item.id),
      rows.map((r) => r.assigned.head.timestamp),
      rows.map((r) => r.assigned.item.raw),
      rows.map((r) => r.item.raw),
    ],
  );
}
