/** A process' schedule as far as its results are stored, to be evaluated again: in pages, each read while the one before is at work. */
import type { DataSource } from 'typeorm';
import { parseItem } from '../items/index.js';
import type { ScheduleEntry } from '../types.js';

/** Slots of a page, and about how many bytes. */
const PAGE_SLOTS = 1000;
const PAGE_BYTES = 16 * 1024 * 1024;

export interface StoredPage {
  /** Those whose message did not fail, in order. */
  entries: ScheduleEntry[];
  /** Last slot of the page, whether it failed or not. */
  last: number;
  bytes: number;
}

/**
 * Slots from `first` to `last`, page by page.
 * @throws Error when one of them has no result
 */
export async function* storedPages(
  database: DataSource,
  process: string,
  first: number,
  last: number,
): AsyncGenerator<StoredPage> {
  let next: Promise<StoredPage> | null = readPage(database, process, first, last);
  while (next) {
    const page: StoredPage = await next;
    next = page.last < last ? readPage(database, process, page.last + 1, last) : null;
    next?.catch(() => undefined); // met when it is awaited, if it ever is
    yield page;
  }
}

async function readPage(database: DataSource, process: string, first: number, last: number): Promise<StoredPage> {
  const rows: { nonce: string; failed: boolean; item: Buffer; message: Buffer }[] = await database.query(
    `select nonce, failed, item, message from (
       select a.nonce, r.failed, a.item, a.message, coalesce(sum(octet_length(a.message)) over (order by a.nonce rows between unbounded preceding and 1 preceding), 0) as before
       from assignment a join result r on r.process = a.process and r.nonce = a.nonce
       where a.process = $1 and a.nonce between $2 and $3 order by a.nonce limit ${PAGE_SLOTS}
     ) as sized where before < ${PAGE_BYTES} order by nonce`,
    [process, first, Math.min(last, first + PAGE_SLOTS - 1)],
  );
  rows.forEach((row, i) => {
    if (Number(row.nonce) !== first + i) throw missing(process, first + i);
  });
  if (rows.length === 0) throw missing(process, first);
  const entries = rows
    .filter((r) => !r.failed)
    .map((r) => ({ process, nonce: Number(r.nonce), assignment: parseItem(r.item), message: parseItem(r.message) }));
  const bytes = rows.reduce((sum, r) => sum + r.item.length + r.message.length, 0);
  return { entries, last: first + rows.length - 1, bytes };
}

const missing = (process: string, nonce: number): Error =>
  new Error(`Slot ${nonce} of process ${process} has no stored result, though later ones have.`);
