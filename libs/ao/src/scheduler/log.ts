/** Schedules as they are stored: read by slot, by time, by message, in pages bounded in entries and bytes. */
import type { DataSource } from 'typeorm';
import { parseItem } from '../items/index.js';
import type { ScheduleEntry } from '../types.js';
import { RecentEntries } from './recent.js';

/** Most entries one read gives. */
export const MAX_ENTRIES = 1000;
/** Messages of one page take about this much at most; a single larger one is still given. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;
/** The newest entries kept at hand: some ten thousand of ordinary size. */
const MAX_RECENT_BYTES = 16 * 1024 * 1024;
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

/** The schedules of one database. */
export class ScheduleLog {
  private readonly recent = new RecentEntries(MAX_RECENT_BYTES);

  constructor(private readonly database: DataSource) {}

  /** Notes entries whose place is durable. */
  placed(entries: readonly ScheduleEntry[]): void {
    for (const entry of entries) this.recent.add(entry);
  }

  /** Slot of a message among the entries at hand, or null. */
  slotOf(process: string, messageId: string): number | null {
    return this.recent.slotOf(process, messageId);
  }

  /** Some of the entries from a slot on, in order: those at hand if there are any. Only none means that there are none. */
  async following(process: string, fromNonce: number, limit: number): Promise<ScheduleEntry[]> {
    const recent = this.recent.from(process, fromNonce, limit, MAX_PAGE_BYTES);
    return recent.length > 0 ? recent : this.stored(process, fromNonce, limit, MAX_PAGE_BYTES);
  }

  /** Entries of a process from a slot on, in order: at most `limit`, never more than MAX_ENTRIES, and fewer when they are large. */
  async entries(process: string, fromNonce: number, limit: number): Promise<ScheduleEntry[]> {
    const most = Math.min(limit, MAX_ENTRIES);
    const recent = this.recent.from(process, fromNonce, most, MAX_PAGE_BYTES);
    const room = MAX_PAGE_BYTES - recent.reduce((sum, e) => sum + e.message.raw.length, 0);
    if (recent.length === most || (recent.length > 1 && room <= 0)) return recent;
    return [...recent, ...(await this.stored(process, fromNonce + recent.length, most - recent.length, room))];
  }

  private async stored(process: string, fromNonce: number, limit: number, room: number): Promise<ScheduleEntry[]> {
    const rows: EntryRow[] = await this.database.query(
      `${PAGE_OF_ENTRIES} where before < $4 or place <= 2 order by nonce`,
      [process, fromNonce, limit, room],
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
      return { entries, more: last < toNonce && (await this.following(process, last + 1, 1)).length > 0 };
    }
    const entries = await this.entriesByTime(process, range);
    const last = entries.at(-1);
    if (!last) return { entries, more: false };
    const next: { timestamp: string }[] = await this.database.query(
      'select timestamp from assignment where process = $1 and nonce > $2 and nonce <= $3 order by nonce limit 1',
      [process, last.nonce, toNonce],
    );
    return { entries, more: next[0] !== undefined && Number(next[0].timestamp) <= (until ?? MAX_NONCE) };
  }

  /** Time never decreases along a schedule, so the order of time is that of the slots. */
  private async entriesByTime(process: string, range: EntryRange): Promise<ScheduleEntry[]> {
    const { fromNonce, toNonce = MAX_NONCE, after = -1, until = MAX_NONCE, limit } = range;
    const wanted = 'process = $1 and nonce between $2 and $3 and timestamp > $4 and timestamp <= $5';
    const page: { last: string | null }[] = await this.database.query(
      `select max(timestamp) as last from (
         select timestamp, sum(octet_length(message)) over page as bytes, row_number() over page as place
         from (select timestamp, nonce, message from assignment where ${wanted} order by timestamp, nonce limit $6) as first
         window page as (order by timestamp, nonce)
       ) as sized where bytes <= $7 or place = 1`,
      [process, fromNonce, toNonce, after, until, Math.min(limit, MAX_ENTRIES), MAX_PAGE_BYTES],
    );
    const last = page[0]?.last;
    if (last === null || last === undefined) return [];
    const rows: EntryRow[] = await this.database.query(
      `select nonce, item, message from assignment where ${wanted} order by timestamp, nonce`,
      [process, fromNonce, toNonce, after, last],
    );
    return rows.map((row) => readEntry(process, row));
  }

  /** The newest entry of a process, or null. */
  async latest(process: string): Promise<ScheduleEntry | null> {
    const rows: { nonce: string }[] = await this.database.query('select nonce from process where id = $1', [process]);
    return rows[0] ? ((await this.entries(process, Number(rows[0].nonce), 1))[0] ?? null) : null;
  }

  /** The entry of one message, by its id or its assignment's, or null. */
  async entryOf(process: string, id: string): Promise<ScheduleEntry | null> {
    const rows: { nonce: string }[] = await this.database.query(
      'select nonce from assignment where process = $1 and message_id = $2 union all select nonce from assignment where process = $1 and id = $2 limit 1',
      [process, id],
    );
    return rows[0] ? ((await this.entries(process, Number(rows[0].nonce), 1))[0] ?? null) : null;
  }

  /** Raw bytes of an item by id, or null: a module, a process, a message, or one that is in no schedule. */
  async item(id: string): Promise<Buffer | null> {
    const rows: { item: Buffer }[] = await this.database.query(
      'select item from module where id = $1 union all select item from process where id = $1 union all select message from assignment where message_id = $1 union all select item from item where id = $1 limit 1',
      [id],
    );
    return rows[0]?.item ?? null;
  }

  /** Whether messages for this id are scheduled here. */
  async hasProcess(id: string): Promise<boolean> {
    const rows: unknown[] = await this.database.query('select 1 from process where id = $1', [id]);
    return rows.length > 0;
  }
}

function readEntry(process: string, row: EntryRow): ScheduleEntry {
  return {
    process,
    nonce: Number(row.nonce),
    assignment: parseItem(row.item),
    message: parseItem(row.message),
  };
}
