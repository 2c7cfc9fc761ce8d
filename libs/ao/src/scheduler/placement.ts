/**
 * Places for a batch of messages in one statement. The heads of the schedules are remembered; the statement writes only where they still
 * stand in the database, so that two schedulers on one database cannot fork a schedule: whoever comes second reads the head and signs anew,
 * with the head's row locked.
 */
import type { DataSource, EntityManager } from 'typeorm';
import { timeOfTick } from '../messenger/cron.js';
import type { Item, ScheduleEntry, Signer } from '../types.js';
import { tagOf } from '../items/tags.js';
import { assign, type ScheduleHead } from './assignment.js';
import { idTaken, ScheduleError } from './error.js';

/** Where a message stands, the same however often it is sent. */
export interface Placed {
  id: string;
  process: string;
  nonce: number;
  assignmentId: string;
  timestamp: number;
}

/** A message and the schedule it is for: its own, or another's it is assigned to. */
export interface Wanted {
  item: Item;
  process: string;
}

export interface PlacerOptions {
  database: DataSource;
  signer: Signer;
  blockHeight: () => number;
  now: () => number;
  /** Every Module-Format that processes may have; any when undefined. */
  formats: readonly string[] | undefined;
}

/** What came of a batch: one outcome for each in their order, and what is new in the schedules, in order for each. */
export interface Placement {
  outcomes: (Placed | Error)[];
  entries: ScheduleEntry[];
}

interface Round {
  /** By message and schedule; what has none yet was in somebody's way. */
  outcomes: Map<string, Placed | Error>;
  entries: ScheduleEntry[];
}

/** Heads remembered; one takes some 300 bytes. */
const MAX_HEADS = 20_000;
/** Rounds of one batch: the first in passing, the others with the heads locked. Only other schedulers' places make a third one needed. */
const MAX_ROUNDS = 6;

/** A place that is signed but not written. */
interface Fresh {
  entry: ScheduleEntry;
  placed: Placed;
}

/** The head of a schedule as it is in the database (null before its spawn), and after the places of this round. */
interface Moving {
  was: ScheduleHead | null;
  head: ScheduleHead | null;
}

export class Placer {
  private readonly heads = new Map<string, ScheduleHead>();

  constructor(private readonly options: PlacerOptions) {}

  /** What has a place when this resolves has it for good. When the database fails, nobody knows what was placed: sending again tells. */
  async place(batch: readonly Wanted[]): Promise<Placement> {
    const outcomes = new Map<string, Placed | Error>();
    const entries: ScheduleEntry[] = [];
    let open = new Map(batch.map((wanted) => [keyOf(wanted), wanted]));
    for (let round = 0; open.size > 0; round += 1) {
      const wanted = [...open.values()];
      try {
        const settled = await this.attempt(round, wanted);
        entries.push(...settled.entries);
        for (const [key, outcome] of settled.outcomes) outcomes.set(key, outcome);
      } catch (error) {
        for (const one of wanted) {
          this.heads.delete(one.process);
          outcomes.set(keyOf(one), error instanceof Error ? error : new Error(String(error)));
        }
      }
      open = new Map([...open].filter(([key]) => !outcomes.has(key)));
    }
    return { outcomes: batch.map((wanted) => outcomes.get(keyOf(wanted)) as Placed | Error), entries };
  }

  private attempt(round: number, wanted: readonly Wanted[]): Promise<Round> {
    const { database } = this.options;
    if (round === MAX_ROUNDS)
      throw new ScheduleError('overloaded', 'Other schedulers are placing messages at the same time: send again.');
    if (round === 0) return this.round(database.manager, wanted, false);
    return database.transaction((manager) => this.round(manager, wanted, true));
  }

  private async round(manager: EntityManager, wanted: readonly Wanted[], locked: boolean): Promise<Round> {
    const outcomes = new Map<string, Placed | Error>();
    const schedules = await this.headsOf(manager, wanted, locked);
    const fresh = await this.sign(manager, wanted, schedules, outcomes);
    const entries: ScheduleEntry[] = [];
    if (fresh.length === 0) return { outcomes, entries };
    const { known, taken, moved } = await write(manager, fresh, schedules);
    for (const placed of known) outcomes.set(placeKey(placed.process, placed.id), placed);
    for (const { entry, placed } of fresh)
      if (taken.has(placed.id)) outcomes.set(placeKey(entry.process, placed.id), idTaken(placed.id));
    for (const { entry, placed } of fresh) {
      if (!moved.has(entry.process)) continue;
      outcomes.set(placeKey(placed.process, placed.id), placed);
      entries.push(entry);
    }
    for (const [process, { head }] of schedules) {
      if (moved.has(process) && head) this.remember(process, head);
      else if (known.length + taken.size === 0) this.heads.delete(process); // somebody else has moved it
    }
    return { outcomes, entries };
  }

  private async headsOf(
    manager: EntityManager,
    wanted: readonly Wanted[],
    locked: boolean,
  ): Promise<Map<string, Moving>> {
    const ids = [...new Set(wanted.map((w) => w.process))];
    const missing = locked ? ids : ids.filter((id) => !this.heads.has(id));
    const read = missing.length > 0 ? await readHeads(manager, missing, locked) : new Map<string, ScheduleHead>();
    return new Map(
      ids.map((id) => {
        const head = read.get(id) ?? (locked ? null : (this.heads.get(id) ?? null));
        return [id, { was: head, head }];
      }),
    );
  }

  /** Assignments for these, one after the other along each schedule. What can have none is refused. */
  private async sign(
    manager: EntityManager,
    wanted: readonly Wanted[],
    schedules: Map<string, Moving>,
    outcomes: Map<string, Placed | Error>,
  ): Promise<Fresh[]> {
    const modules = await knownModules(manager, wanted.filter(isSpawn));
    const [now, blockHeight] = [this.options.now(), this.options.blockHeight()];
    const fresh: Fresh[] = [];
    const named = new Map<string, Item>();
    for (const one of wanted) {
      const { item, process } = one;
      const schedule = schedules.get(process) as Moving;
      const problem =
        problemOf(one, schedule.head, named.get(item.id)) ?? (schedule.head ? null : this.unfit(item, modules));
      if (problem) {
        outcomes.set(keyOf(one), problem);
        continue;
      }
      named.set(item.id, item);
      const moment = { timestamp: Math.max(now, this.momentOf(item)), blockHeight };
      const { item: assignment, head } = await assign(process, item.id, schedule.head, moment, this.options.signer);
      schedule.head = head;
      const { nonce, timestamp } = head;
      fresh.push({
        entry: { process, nonce, assignment, message: item },
        placed: { id: item.id, process, nonce, assignmentId: assignment.id, timestamp },
      });
    }
    return fresh;
  }

  /** Why a spawn gets no place: its module is to be here, and to run here. */
  private unfit(spawn: Item, modules: ReadonlyMap<string, string>): ScheduleError | null {
    const { formats } = this.options;
    const module = tagOf(spawn, 'Module');
    const format = modules.get(module);
    if (format === undefined)
      return new ScheduleError('unknown-module', `Module ${module} is not known here: send the module first.`);
    if (!formats || formats.includes(format)) return null;
    return new ScheduleError(
      'unknown-format',
      `Module ${module} has the Module-Format ${format}, which no machine here runs. Those there are: ${formats.join(', ')}.`,
    );
  }

  /** A tick has its place no earlier than it says, by whichever gateway's clock it was made. */
  private momentOf(item: Item): number {
    return item.ownerAddress === this.options.signer.address ? (timeOfTick(item) ?? 0) : 0;
  }

  private remember(process: string, head: ScheduleHead): void {
    this.heads.delete(process);
    this.heads.set(process, head);
    if (this.heads.size <= MAX_HEADS) return;
    for (const oldest of this.heads.keys()) {
      this.heads.delete(oldest);
      return;
    }
  }
}

const placeKey = (process: string, message: string): string => `${process} ${message}`;
const keyOf = ({ item, process }: Wanted): string => placeKey(process, item.id);

/** A module assigned to itself is none. */
const isSpawn = ({ item, process }: Wanted): boolean => process === item.id && tagOf(item, 'Type') === 'Process';

/** Why this gets no place, whatever its module; null when it may have one. @param namesake what has the same id in this round */
function problemOf(one: Wanted, head: ScheduleHead | null, namesake: Item | undefined): ScheduleError | null {
  if (namesake && !namesake.raw.equals(one.item.raw)) return idTaken(one.item.id);
  if (head) return null;
  return isSpawn(one) ? null : unknownProcess(one.process);
}

const unknownProcess = (process: string): ScheduleError =>
  new ScheduleError(
    'unknown-process',
    `There is no process ${process} here: spawn it first, or send the message to its own scheduler.`,
  );

/** Formats of those modules that are here. */
async function knownModules(manager: EntityManager, spawns: readonly Wanted[]): Promise<Map<string, string>> {
  if (spawns.length === 0) return new Map();
  const rows: { id: string; format: string }[] = await manager.query(
    'select id, format from module where id = any($1)',
    [spawns.map(({ item }) => tagOf(item, 'Module'))],
  );
  return new Map(rows.map((r) => [r.id, r.format]));
}

/** Locked in one order, so that two schedulers never wait for each other. */
async function readHeads(
  manager: EntityManager,
  ids: readonly string[],
  locked: boolean,
): Promise<Map<string, ScheduleHead>> {
  const rows: { id: string; nonce: string; assignment_id: string; hash_chain: string; timestamp: string }[] =
    await manager.query(
      `select id, nonce, assignment_id, hash_chain, timestamp from process where id = any($1) order by id ${locked ? 'for update' : ''}`,
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
      },
    ]),
  );
}

/**
 * Writes places and moves heads, all or none of each schedule, and nothing at all when a message has its place already, or its id is
 * another item's (a spawn's is in slot 0 of its own schedule): then it says which.
 * Copies of an item are looked for in the order of their index, or a database that has counted nothing yet would read the whole table.
 * The items travel as one piece of bytes, cut up in the database: as an array they would be twice as long, in hexadecimal.
 */
const WRITE = `
with head as (
  select * from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[])
    as h(id, was_nonce, was_assignment, nonce, assignment_id, hash_chain, timestamp)
), spawn as (
  select * from unnest($8::text[], $9::text[], $10::int[]) as s(id, module, entry)
), entry as (
  select * from unnest($11::text[], $12::bigint[], $13::text[], $14::text[], $15::bigint[], $16::int[], $17::int[], $18::int[])
    with ordinality as e(process, nonce, id, message_id, timestamp, at, item_bytes, message_bytes, number)
), known as (
  select a.process, a.nonce, a.id, a.message_id, a.timestamp from entry e join assignment a on a.message_id = e.message_id and a.process = e.process
), said as not materialized (
  select message_id, substring($19::bytea from at + item_bytes + 1 for message_bytes) as message from entry
), taken as (
  select s.message_id from said s cross join lateral (
    select 1 from assignment a where a.message_id = s.message_id and a.message <> s.message order by a.process limit 1
  ) as other
  union all select s.message_id from said s join module m on m.id = s.message_id where m.item <> s.message
), free as (
  select where not exists (select 1 from known) and not exists (select 1 from taken)
), locked as (
  select p.id from process p join head h on h.id = p.id and h.was_nonce = p.nonce and h.was_assignment = p.assignment_id
  where p.id = any($1) and exists (select 1 from free) order by p.id for update of p
), moved as (
  update process p set nonce = h.nonce, assignment_id = h.assignment_id, hash_chain = h.hash_chain, timestamp = h.timestamp
  from head h join locked l on l.id = h.id where p.id = h.id returning p.id
), spawned as (
  insert into process (id, module, item, nonce, assignment_id, hash_chain, timestamp)
  select s.id, s.module, substring($19::bytea from e.at + e.item_bytes + 1 for e.message_bytes), h.nonce, h.assignment_id, h.hash_chain, h.timestamp
  from spawn s join entry e on e.number = s.entry join head h on h.id = s.id
  where exists (select 1 from free) on conflict (id) do nothing returning id
), placed as (
  insert into assignment (process, nonce, id, message_id, timestamp, item, message)
  select process, nonce, id, message_id, timestamp, substring($19::bytea from at + 1 for item_bytes), substring($19::bytea from at + item_bytes + 1 for message_bytes)
  from entry where process in (select id from moved union all select id from spawned)
)
select (select json_agg(known) from known) as known, array(select message_id from taken) as taken, array(select id from moved union all select id from spawned) as moved`;

async function write(
  manager: EntityManager,
  fresh: readonly Fresh[],
  schedules: ReadonlyMap<string, Moving>,
): Promise<{ known: Placed[]; taken: Set<string>; moved: Set<string> }> {
  const heads = [...schedules].flatMap(([id, { was, head }]) => (head && head !== was ? [{ id, was, head }] : []));
  const spawns = fresh.flatMap(({ entry }, i) =>
    entry.process === entry.message.id ? [{ entry, number: i + 1 }] : [],
  );
  const items = fresh.flatMap(({ entry }) => [entry.assignment.raw, entry.message.raw]);
  let at = 0;
  const starts = fresh.map(({ entry }) => {
    const start = at;
    at += entry.assignment.raw.length + entry.message.raw.length;
    return start;
  });
  const rows: { known: KnownRow[] | null; taken: string[]; moved: string[] }[] = await manager.query(WRITE, [
    heads.map((h) => h.id),
    heads.map((h) => h.was?.nonce ?? null),
    heads.map((h) => h.was?.assignmentId ?? null),
    heads.map((h) => h.head.nonce),
    heads.map((h) => h.head.assignmentId),
    heads.map((h) => h.head.hashChain),
    heads.map((h) => h.head.timestamp),
    spawns.map((s) => s.entry.process),
    spawns.map((s) => tagOf(s.entry.message, 'Module')),
    spawns.map((s) => s.number),
    fresh.map((f) => f.entry.process),
    fresh.map((f) => f.entry.nonce),
    fresh.map((f) => f.placed.assignmentId),
    fresh.map((f) => f.placed.id),
    fresh.map((f) => f.placed.timestamp),
    starts,
    fresh.map((f) => f.entry.assignment.raw.length),
    fresh.map((f) => f.entry.message.raw.length),
    Buffer.concat(items),
  ]);
  const known = (rows[0]?.known ?? []).map((r) => ({
    id: r.message_id,
    process: r.process,
    nonce: r.nonce,
    assignmentId: r.id,
    timestamp: r.timestamp,
  }));
  return { known, taken: new Set(rows[0]?.taken), moved: new Set(rows[0]?.moved) };
}

interface KnownRow {
  process: string;
  nonce: number;
  id: string;
  message_id: string;
  timestamp: number;
}
