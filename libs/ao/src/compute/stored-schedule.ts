/** A process' schedule as far as its results are stored, to be evaluated again: in pages, each read while the one before is at work. */
import type { DataSource } from 'typeorm';
import { PACKED_ENTRY } from './packed.js';

/** Slots of a page, and about how many bytes. */
const PAGE_SLOTS = 2000;
const PAGE_BYTES = 8 * 1024 * 1024;

export interface StoredPage {
  /** Those whose message did not fail, in order, as `PackedEntries` reads them. */
  entries: Buffer;
  /** Last slot of the page, whether it failed or not. */
  last: number;
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
  const rows: { first: string | null; last: string; slots: string; entries: Buffer | null }[] = await database.query(
    `select min(nonce) as first, max(nonce) as last, count(*) as slots,
       string_agg(${PACKED_ENTRY}, ''::bytea order by nonce) filter (where not failed) as entries
     from (
       select a.nonce, r.failed, a.item, a.message,
         coalesce(sum(octet_length(a.message)) over (order by a.nonce rows between unbounded preceding and 1 preceding), 0) as before
       from assignment a join result r on r.process = a.process and r.nonce = a.nonce
       where a.process = $1 and a.nonce between $2 and $3
     ) as sized where before < ${PAGE_BYTES}`,
    [process, first, Math.min(last, first + PAGE_SLOTS - 1)],
  );
  const page = rows[0];
  if (page?.first == null || Number(page.first) !== first || Number(page.last) !== first + Number(page.slots) - 1)
    throw new Error(`A slot of process ${process} from ${first} on has no stored result, though later ones have.`);
  return { entries: page.entries ?? Buffer.alloc(0), last: Number(page.last) };
}
