/**
 * What items can be found by: owner, recipient and tags. The index follows the schedules by itself, a moment behind them, so that placing a
 * message waits for nothing here. Of messages only who, to whom, and on whose behalf is kept; of everything else every tag.
 */
import { createHash } from 'node:crypto';
import { QueryFailedError, type DataSource } from 'typeorm';
import { parseItem } from '../items/index.js';
import type { Item, ScheduleEntry, Tag } from '../types.js';
import { tagOf } from '../items/tags.js';
import type { ScheduleLog } from './log.js';

/** Time in which more may come before what has come is written: one statement for many. */
const GATHER_MS = 200;
const BATCH = 500;
/** After a failure it is tried again. */
const RETRY_MS = 5000;
/** Most schedules looked for at once that have gone on without this index. */
const LAGGING = 1000;
/** A page this large may have been cut for its size: there may be more. */
const LARGE_PAGE = 1024 * 1024;
const MAX_DONE = 20_000;

/** The tags by which messages are found. */
export const MESSAGE_TAGS: readonly string[] = ['From-Process', 'Pushed-For'];

/** A field and the value it may have to be found. */
export type IndexField = 'owner' | 'recipient' | `tag:${string}`;

/** Eight bytes of a hash: what is found by it is looked at again. */
export function indexKey(field: IndexField, value: string): string {
  return createHash('sha256').update(`${field}\0${value}`).digest().readBigInt64BE(0).toString();
}

/** Whether all tags of an item are kept, not only those of MESSAGE_TAGS. */
export const isFullyIndexed = (type: string): boolean => type !== 'Message';

/** An owner goes by the hash of his key, and by his address where that is another. */
export const ownerNames = (item: Pick<Item, 'owner' | 'ownerAddress'>): string[] => [
  ...new Set([createHash('sha256').update(item.owner).digest('base64url'), item.ownerAddress]),
];

function keysOf(item: Item): string[] {
  const kept = (tag: Tag): boolean => isFullyIndexed(tagOf(item, 'Type')) || MESSAGE_TAGS.includes(tag.name);
  return [
    ...new Set([
      ...ownerNames(item).map((name) => indexKey('owner', name)),
      ...(item.target === '' ? [] : [indexKey('recipient', item.target)]),
      ...item.tags.filter(kept).map(({ name, value }) => indexKey(`tag:${name}`, value)),
    ]),
  ];
}

/** Numbers as PostgreSQL reads an array: its client would look in each, and in each twice, for what is to be escaped. */
const arrayOf = (numbers: readonly (number | string)[]): string => `{${numbers.join(',')}}`;

export interface IndexSearch {
  /** All of them hold: each is keys of which one is the item's. None: all items there are. */
  conditions: readonly (readonly string[])[];
  /** Found after this one in the order asked for. */
  after: string | undefined;
  newestFirst: boolean;
  limit: number;
}

export class ItemIndex {
  private readonly dirty = new Set<string>();
  /** How far schedules are in the index, of those that went on lately. */
  private readonly done = new Map<string, number>();
  /** Whether what an earlier run left is done. */
  private started = false;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | null = null;
  private stopped = false;
  /** After a failure nothing is tried before this moment. Milliseconds. */
  private notBefore = 0;

  constructor(
    private readonly database: DataSource,
    private readonly log: ScheduleLog,
    private readonly onFailure: (error: unknown) => void,
  ) {}

  /** Goes on with what an earlier run left. */
  start(): void {
    this.wake(0);
  }

  /** Something of this process or module is new. */
  changed(id: string): void {
    this.dirty.add(id);
    this.wake(GATHER_MS);
  }

  /** Resolves when everything placed so far can be found. @throws Error of the database */
  async settle(): Promise<void> {
    await this.running?.catch(() => undefined);
    await this.catchUp();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /**
   * Items that match, as `seq` (their order in the index) and id.
   * @throws Error of the database when it takes too long: nothing narrow enough was asked
   */
  async search({ conditions, after, newestFirst, limit }: IndexSearch): Promise<{ seq: string; id: string }[]> {
    const [first, ...rest] = await this.rarestFirst(conditions);
    const [before, order] = newestFirst ? ['<', 'desc'] : ['>', 'asc'];
    const start = after ?? (newestFirst ? MAX_SEQ : '0');
    if (!first)
      return this.database.query(
        `select seq, id from indexed_item where seq ${before} $1 order by seq ${order} limit $2`,
        [start, limit],
      );
    const others = rest.map(
      (_, i) => `and exists (select 1 from item_key o where o.key = any($${i + 4}::bigint[]) and o.seq = k.seq)`,
    );
    return this.database.transaction(async (manager) => {
      await manager.query(`set local statement_timeout = ${SEARCH_MS}`);
      return manager.query(
        `select i.seq, i.id from (
           select distinct f.seq from unnest($1::bigint[]) as d(key) cross join lateral (
             select k.seq from item_key k where k.key = d.key and k.seq ${before} $2 ${others.join(' ')} order by k.seq ${order} limit $3
           ) as f order by f.seq ${order} limit $3
         ) as found join indexed_item i on i.seq = found.seq order by i.seq ${order}`,
        [first, start, limit, ...rest],
      );
    });
  }

  /** What few items have is asked first, and the others of these few. */
  private async rarestFirst(conditions: readonly (readonly string[])[]): Promise<(readonly string[])[]> {
    if (conditions.length <= 1) return [...conditions];
    const counted = await Promise.all(
      conditions.map(async (keys) => {
        const rows: { n: number }[] = await this.database.query(
          `select count(*)::int as n from (select 1 from item_key where key = any($1::bigint[]) limit ${COUNTED}) as c`,
          [keys],
        );
        return { keys, n: rows[0]?.n ?? 0 };
      }),
    );
    return counted.toSorted((a, b) => a.n - b.n).map(({ keys }) => keys);
  }

  private wake(afterMs: number): void {
    if (this.stopped || this.timer || this.running) return;
    this.timer = setTimeout(
      () => {
        this.timer = undefined;
        this.running = this.run().finally(() => {
          this.running = null;
          if (this.dirty.size > 0 || !this.started) this.wake(GATHER_MS);
        });
      },
      Math.max(afterMs, this.notBefore - Date.now()),
    ).unref();
  }

  private async run(): Promise<void> {
    try {
      await this.catchUp();
    } catch (error) {
      if (this.stopped) return;
      this.notBefore = Date.now() + RETRY_MS;
      this.onFailure(error);
    }
  }

  private async catchUp(): Promise<void> {
    while (!this.started && !this.stopped) {
      const lagging = await this.lagging();
      for (const id of lagging) this.dirty.add(id);
      await this.work();
      this.started = lagging.length < LAGGING;
    }
    await this.work();
  }

  private async work(): Promise<void> {
    while (this.dirty.size > 0 && !this.stopped) {
      const taken: string[] = [];
      const pages: Page[] = [];
      try {
        for (const id of Array.from(this.dirty)) {
          this.dirty.delete(id);
          taken.push(id);
          const page = await this.nextPage(id);
          if (page) pages.push(page);
          if (this.stopped || pages.reduce((sum, { items }) => sum + items.length, 0) >= BATCH) break;
        }
        await this.writeEach(pages);
      } catch (error) {
        for (const id of taken) this.dirty.add(id);
        throw error;
      }
    }
  }

  private async lagging(): Promise<string[]> {
    const rows: { id: string }[] = await this.database.query(
      `select p.id from process p left join index_progress i on i.process = p.id where i.nonce is null or i.nonce < p.nonce
       union all select id from (select id from module union all select id from item) as m where not exists (select 1 from index_progress where process = m.id)
       limit ${LAGGING}`,
    );
    return rows.map((r) => r.id);
  }

  /** What follows of a schedule; a module or other single item is a schedule of one. Null when there is nothing. */
  private async nextPage(id: string): Promise<Page | null> {
    const before = await this.doneOf(id);
    const entries = await this.log.following(id, before + 1, BATCH);
    const last = entries.at(-1);
    if (!last) {
      const raw = before < 0 ? await this.log.item(id) : null;
      return (
        raw && { id, before, nonce: 0, items: [{ nonce: 0, item: parseItem(raw), time: Date.now() }], more: false }
      );
    }
    const items = entries.filter(isOwn).map(({ nonce, message, assignment }) => ({
      nonce,
      item: message,
      time: Number(tagOf(assignment, 'Timestamp')),
    }));
    const bytes = items.reduce((sum, { item }) => sum + item.raw.length, 0);
    return { id, before, nonce: last.nonce, items, more: entries.length === BATCH || bytes >= LARGE_PAGE };
  }

  private async doneOf(id: string): Promise<number> {
    const known = this.done.get(id);
    this.done.delete(id); // until it is written again: somebody else may write as well
    if (known !== undefined) return known;
    if (this.done.size > MAX_DONE) this.done.clear();
    const rows: { nonce: string }[] = await this.database.query('select nonce from index_progress where process = $1', [
      id,
    ]);
    return rows[0] ? Number(rows[0].nonce) : -1;
  }

  /** Writes pages together; where one item is in the way, the others without it, and it alone is passed over. */
  private async writeEach(pages: readonly Page[]): Promise<void> {
    try {
      return await this.write(pages);
    } catch (error) {
      if (!isOfRow(error)) throw error;
      const [page] = pages;
      if (pages.length === 1 && page && page.items.length <= 1) {
        this.onFailure(error);
        return this.write([{ ...page, items: [] }]);
      }
    }
    for (const part of pages.length > 1 ? pages.map((p) => [p]) : halves(pages[0])) await this.writeEach(part);
  }

  /** Pages of several schedules, their items in the order of time. What another gateway has written meanwhile is passed over. */
  private async write(pages: readonly Page[]): Promise<void> {
    if (pages.length === 0) return;
    const items = pages
      .flatMap(({ id, items: own }) => own.map((one) => ({ ...one, process: id })))
      .toSorted((a, b) => a.time - b.time);
    const keys = items.flatMap(({ item }, i) => keysOf(item).map((key) => ({ number: i + 1, key })));
    const rows: { process: string }[] = await this.database.query(
      `with wanted as (
         select * from unnest($1::text[], $2::bigint[], $3::bigint[]) as w(process, nonce, before)
       ), moved as (
         update index_progress p set nonce = w.nonce from wanted w where p.process = w.process and p.nonce = w.before returning p.process
       ), begun as (
         insert into index_progress (process, nonce) select process, nonce from wanted where before < 0 order by process on conflict do nothing returning process
       ), written as (
         select process from moved union all select process from begun
       ), given as (
         select id, process, n from unnest($4::text[], $5::text[]) with ordinality as t(id, process, n)
       ), added as (
         insert into indexed_item (id) select id from given
         where process in (select process from written) order by n returning seq, id
       ), keyed as (
         insert into item_key (key, seq) select k.key, a.seq from unnest($6::bigint[], $7::bigint[]) as k(n, key) join given g on g.n = k.n join added a on a.id = g.id
       )
       select process from written`,
      [
        pages.map((p) => p.id),
        pages.map((p) => p.nonce),
        pages.map((p) => p.before),
        items.map((i) => i.item.id),
        items.map((i) => i.process),
        arrayOf(keys.map((k) => k.number)),
        arrayOf(keys.map((k) => k.key)),
      ],
    );
    const written = new Set(rows.map((r) => r.process));
    for (const { id, nonce, more } of pages) {
      if (written.has(id)) this.done.set(id, nonce);
      if (more) this.dirty.add(id);
    }
  }
}

/** What is written next of one schedule: after the slot `before`, up to the slot `nonce`. */
interface Page {
  id: string;
  before: number;
  nonce: number;
  items: { nonce: number; item: Item; time: number }[];
  more: boolean;
}

/** One after the other: the second goes on where the first ends. */
function halves(page: Page | undefined): Page[][] {
  const [first, second] = page
    ? [page.items.slice(0, page.items.length / 2), page.items.slice(page.items.length / 2)]
    : [];
  const end = first?.at(-1)?.nonce;
  if (!page || !first || !second || end === undefined) return [];
  return [[{ ...page, items: first, nonce: end }], [{ ...page, items: second, before: end }]];
}

/** Whether what is written is at fault, and not whether it can be written at all: PostgreSQL's classes 22 and 23. */
function isOfRow(error: unknown): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  const { code } = error.driverError as { code?: unknown };
  return typeof code === 'string' && /^2[23]/.test(code);
}

const MAX_SEQ = '9223372036854775807';
/** Items of a condition that are counted at most, to see which is the rarest. */
const COUNTED = 1000;
/** A search takes so long at most. */
const SEARCH_MS = 500;

/**
 * Whether an item is found by this schedule: each by one. A process by its own and a module by itself, whoever their Target is; a message by
 * that of its Target, wherever else it is assigned.
 */
function isOwn({ process, message }: ScheduleEntry): boolean {
  const type = tagOf(message, 'Type');
  if (type === 'Process') return message.id === process;
  return type !== 'Module' && message.target === process;
}
