/** What the pipeline's tables say of processes and messages. Each read is bounded, whatever a process has sent or been sent. */
import { FORMATS, OF_THE_GATEWAY, parseItem, type EvaluationResult, type Item } from '@isthmus/ao';
import type { DataSource } from 'typeorm';
import { bounded } from '../api/figures.js';

/** The rate of messages is that of this last while. */
const RATE_MS = 10_000;
/**
 * Head of an item that holds everything but its data: 2 bytes of type, 1,024 of signature and key, 66 of target and anchor, 16 of counts,
 * 16,384 of tags.
 */
const HEAD_BYTES = 17_500;
/** How many of a sender's newest outbox rows are searched for one pushed message: there is no index by message. */
const SEARCHED = 5000;

export interface ProcessRow {
  spawn: Item;
  format: string;
  module: string;
  slot: number;
  evaluated: number;
  lastMessageAt: number;
  messagesPerSecond: number;
  /** Milliseconds since 1970 of the first slot without a result; null when there is none. */
  waitingSince: number | null;
  /** Why slot 0 failed; null when it did not, or has no result. */
  spawnError: string | null;
}

export interface ModuleRow {
  item: Item;
  format: string;
  /** Of its data. */
  bytes: number;
}

interface RawProcess {
  module: string;
  format: string;
  head: Buffer;
  nonce: string;
  evaluated: string;
  timestamp: string;
  before: string | null;
  waits: string | null;
  failed: string | null;
}

/** Where a message is scheduled. */
export interface PlaceRow {
  process: string;
  slot: number;
  evaluated: number;
}

/** What became of something a slot sent. */
export interface DeliveryRow {
  kind: 'message' | 'spawn' | 'spawned' | 'assignment';
  position: number;
  /** Of an assignment the message that is assigned; '' when no item was made. */
  itemId: string;
  /** Process whose schedule it is for; '' for a spawn. */
  target: string;
  state: 'held' | 'waiting' | 'delivered' | 'dead' | 'discarded';
  attempts: number;
  error: string | null;
}

/** Where a pushed message is, and how its own evaluation went (null: not yet). */
export interface ArrivalRow {
  message: string;
  process: string;
  slot: number;
  failed: boolean | null;
}

export interface Backlog {
  processes: number;
  /** Slots of all schedules, and how many of them have a result. */
  placed: number;
  evaluated: number;
  /** How long the first slot without a result has waited; 0 when none does. What no machine here runs is not counted: nothing would come of waiting. */
  waitingMs: number;
  /** Deliveries that are tried again, those set aside, and those of them that this gateway could not place. */
  waiting: number;
  dead: number;
  failed: number;
}

const COLUMNS = `p.module, m.format, substring(p.item from 1 for ${HEAD_BYTES}) as head, p.nonce, p.evaluated, p.timestamp,
  (select a.nonce from assignment a where a.process = p.id and a.timestamp <= $1 order by a.timestamp desc, a.nonce desc limit 1) as before,
  (select a.timestamp from assignment a where a.process = p.id and a.nonce = p.evaluated + 1) as waits,
  (select r.outcome from result r where r.process = p.id and r.nonce = 0 and r.failed) as failed`;

export class AoStore {
  constructor(private readonly database: DataSource) {}

  /** Processes by their ids, those after `after`. */
  async processes(after: string | undefined, limit: number): Promise<ProcessRow[]> {
    const rows: RawProcess[] = await this.database.query(
      `select ${COLUMNS} from (select * from computed_process where id > $2 order by id limit $3) as p join module m on m.id = p.module order by p.id`,
      [Date.now() - RATE_MS, after ?? '', limit],
    );
    return rows.map(readProcess);
  }

  async process(id: string): Promise<ProcessRow | null> {
    const rows: RawProcess[] = await this.database.query(
      `select ${COLUMNS} from computed_process p join module m on m.id = p.module where p.id = $2`,
      [Date.now() - RATE_MS, id],
    );
    return rows[0] ? readProcess(rows[0]) : null;
  }

  /** Modules by their ids, those after `after`. */
  async modules(after: string | undefined, limit: number): Promise<ModuleRow[]> {
    const rows: { format: string; head: Buffer; bytes: number }[] = await this.database.query(
      `select format, substring(item from 1 for ${HEAD_BYTES}) as head, octet_length(item) as bytes from module where id > $1 order by id limit $2`,
      [after ?? '', limit],
    );
    return rows.map(({ format, head, bytes }) => {
      const item = parseItem(head); // its data is cut off
      return { item, format, bytes: bytes - (head.length - item.data.length) };
    });
  }

  /** Newest slot with a result, -1 before the first; null for what is no process here. */
  async evaluated(process: string): Promise<number | null> {
    const rows: { evaluated: string }[] = await this.database.query(
      'select evaluated from computed_process where id = $1',
      [process],
    );
    return rows[0] ? Number(rows[0].evaluated) : null;
  }

  /** Processes this message is scheduled in, its oldest place first. */
  async places(message: string, limit: number): Promise<PlaceRow[]> {
    const rows: { process: string; nonce: string; evaluated: string }[] = await this.database.query(
      `select a.process, a.nonce, p.evaluated from assignment a join computed_process p on p.id = a.process
       where a.message_id = $1 order by a.timestamp, a.process limit $2`,
      [message, limit],
    );
    return rows.map((r) => ({ process: r.process, slot: Number(r.nonce), evaluated: Number(r.evaluated) }));
  }

  /** Id of the message an assignment gives its place; null for what is no assignment. */
  async messageOfAssignment(assignment: string): Promise<string | null> {
    const rows: { message_id: string }[] = await this.database.query(
      'select message_id from assignment where id = $1',
      [assignment],
    );
    return rows[0]?.message_id ?? null;
  }

  /** What one slot sent and where that is: of each kind the first `limit`. */
  async deliveries(process: string, slot: number, limit: number): Promise<DeliveryRow[]> {
    const rows: (Omit<DeliveryRow, 'itemId'> & { item_id: string })[] = await this.database.query(
      `select k.kind, o.position, o.item_id, o.target, o.state, o.attempts, o.error from unnest(array['message', 'spawn', 'spawned', 'assignment']) as k(kind)
       cross join lateral (
         select * from outbox where process = $1 and kind = k.kind and nonce = $2 order by position limit $3
       ) as o`,
      [process, slot, limit],
    );
    return rows.map(({ item_id: itemId, ...row }) => ({ ...row, itemId }));
  }

  /** Where these messages are. */
  async arrivals(messages: readonly string[]): Promise<ArrivalRow[]> {
    if (messages.length === 0) return [];
    const rows: { message_id: string; process: string; nonce: string; failed: boolean | null }[] =
      await this.database.query(
        `select a.message_id, a.process, a.nonce, r.failed from assignment a
         left join result r on r.process = a.process and r.nonce = a.nonce where a.message_id = any($1)`,
        [messages],
      );
    return rows.map((r) => ({ message: r.message_id, process: r.process, slot: Number(r.nonce), failed: r.failed }));
  }

  /** The slot of `sender` whose result sent this item, which was placed at `at`; null when it is not among what the sender sent last before. */
  async sendingSlot(sender: string, item: string, at: number): Promise<number | null> {
    const rows: { nonce: string }[] = await this.database.query(
      `with last as (select nonce from assignment where process = $1 and timestamp <= $3 order by timestamp desc, nonce desc limit 1)
       select o.nonce from unnest(array['message', 'spawned', 'spawn']) as k(kind) cross join lateral (
         select nonce, item_id from outbox where process = $1 and kind = k.kind and nonce <= (select nonce from last)
         order by nonce desc, position desc limit ${SEARCHED}
       ) as o where o.item_id = $2 limit 1`,
      [sender, item, at],
    );
    return rows[0] ? Number(rows[0].nonce) : null;
  }

  /** Heads of all schedules, and what waits. */
  async backlog(): Promise<Backlog> {
    const [heads] = await bounded<{ count: string; placed: string; evaluated: string; since: string | null }[]>(
      this.database,
      `select count(*), coalesce(sum(nonce + 1), 0) as placed, coalesce(sum(evaluated + 1), 0) as evaluated, (
         select min(a.timestamp) from computed_process b join assignment a on a.process = b.id and a.nonce = b.evaluated + 1
         join module m on m.id = b.module where b.evaluated < b.nonce and m.format = any($1)
       ) as since from computed_process`,
      [FORMATS],
    );
    const states = await bounded<{ state: string; count: string }[]>(
      this.database,
      `select 'waiting' as state, count(*) from outbox where state = 'waiting' union all select 'dead', count(*) from outbox where state = 'dead'
       union all select 'failed', count(*) from outbox where state = 'dead' and reason = any($1)`,
      [OF_THE_GATEWAY],
    );
    const count = (state: string) => Number(states.find((s) => s.state === state)?.count ?? 0);
    return {
      processes: Number(heads?.count ?? 0),
      placed: Number(heads?.placed ?? 0),
      evaluated: Number(heads?.evaluated ?? 0),
      waitingMs: heads?.since == null ? 0 : Math.max(0, Date.now() - Number(heads.since)),
      waiting: count('waiting'),
      dead: count('dead'),
      failed: count('failed'),
    };
  }
}

function readProcess(row: RawProcess): ProcessRow {
  const slot = Number(row.nonce);
  return {
    spawn: parseItem(row.head), // its data is cut off
    format: row.format,
    module: row.module,
    slot,
    evaluated: Number(row.evaluated),
    lastMessageAt: Number(row.timestamp),
    messagesPerSecond: (slot - (row.before === null ? -1 : Number(row.before))) / (RATE_MS / 1000),
    waitingSince: row.waits === null ? null : Number(row.waits),
    spawnError: row.failed === null ? null : ((JSON.parse(row.failed) as EvaluationResult).Error ?? null),
  };
}
