/**
 * What was delivered long ago, or set aside for what its sender did, is forgotten, little by little. Nothing goes out twice for it: a result
 * is taken into the outbox once, in the transaction that stores it and moves its process on, and what an outbox row is still asked for
 * keeps it. Kept are
 * - all of a slot of which anything waits, or is set aside for what the gateway failed to do, until its operator lets it go or gives it up;
 * - an assignment until its target has evaluated it: it says on whose behalf the answer is;
 * - ticks, by which a clock's results are found; the schedule grows with them anyway;
 * - spawns counted of a process: that bound is for its life.
 * Counts of a root go when nothing came of it for as long: who waits that long could as well have signed a new message.
 */
import type { DataSource } from 'typeorm';

/** What was tried in vain, again and again, for a reason of this gateway's: all else is the doing of who sent it, and nothing its operator must mend. */
export const OF_THE_GATEWAY: readonly string[] = ['failed', 'overloaded'];

/** Longer than anybody looks for what was delivered, or an operator leaves a dead letter unseen. */
export const KEPT_DAYS = 30;
export const KEPT_MS = KEPT_DAYS * 86_400_000;
/** Rows looked at in one statement: some milliseconds, so that deliveries wait for nothing. */
const BATCH = 1000;
const PAUSE_MS = 250;
/** Between two passes through everything. */
const REST_MS = 3_600_000;

interface Page<C> {
  /** Where the next page begins; null when this was the last. */
  next: C | null;
  gone: number;
}

type Walk = (after: readonly string[]) => Promise<Page<string[]>>;

export class Pruning {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(
    private readonly database: DataSource,
    private readonly onFailure: (error: unknown) => void,
    private readonly keptMs = KEPT_MS,
    private readonly batch = BATCH,
  ) {}

  /** Goes through everything again and again until `stop`. */
  run(): void {
    this.timer = setTimeout(() => {
      this.running = this.prune(PAUSE_MS)
        .then(() => undefined)
        .catch((error: unknown) => this.onFailure(error))
        .finally(() => {
          if (!this.stopped) this.run();
        });
    }, REST_MS).unref();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /** Goes through everything once; how many rows went. @param pauseMs between two statements */
  async prune(pauseMs = 0): Promise<number> {
    const walks: readonly [Walk, string[]][] = [
      [(after) => this.outbox(after), ['0']],
      [(after) => this.pushed(after), ['', '', '']],
      [(after) => this.spawned(after), ['']],
    ];
    let gone = 0;
    for (const [walk, start] of walks) {
      for (let at: string[] | null = start; at && !this.stopped;) {
        const page: Page<string[]> = await walk(at);
        gone += page.gone;
        at = page.next;
        if (at && pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
    return gone;
  }

  private outbox(after: readonly string[]): Promise<Page<string[]>> {
    return this.page(
      `with page as materialized (
         select id, process, kind, nonce, state, reason, due, target, item_id from outbox where id > $3 order by id limit $2
       ), gone as (
         delete from outbox o using page p where o.id = p.id and ${finished('p')} and p.kind <> 'tick' and p.due < ${BEFORE}
           and not exists (
             select 1 from outbox s where s.process = p.process and s.kind = any('{message,spawn,spawned,assignment}') and s.nonce = p.nonce
               and not (${finished('s')} and s.due < ${BEFORE}))
           and (p.kind <> 'assignment' or exists (
             select 1 from assignment a join progress g on g.process = a.process
             where a.message_id = p.item_id and a.process = p.target and g.evaluated >= a.nonce))
         returning 1
       ) select array[id::text] as last, (select count(*)::int from gone) as gone, (select count(*)::int from page) as seen from page order by id desc limit 1`,
      after,
    );
  }

  private pushed(after: readonly string[]): Promise<Page<string[]>> {
    return this.page(
      `with page as materialized (
         select root, process, cause from pushed where (root, process, cause) > ($3, $4, $5) order by root, process, cause limit $2
       ), gone as (
         delete from pushed o using page p where o.root = p.root and o.process = p.process and o.cause = p.cause and o.touched < ${BEFORE} returning 1
       ) select array[root, process, cause] as last, (select count(*)::int from gone) as gone, (select count(*)::int from page) as seen
         from page order by root desc, process desc, cause desc limit 1`,
      after,
    );
  }

  private spawned(after: readonly string[]): Promise<Page<string[]>> {
    return this.page(
      `with page as materialized (select id from spawned where scope = 'root' and id > $3 order by id limit $2), gone as (
         delete from spawned o using page p where o.scope = 'root' and o.id = p.id and o.touched < ${BEFORE} returning 1
       ) select array[id] as last, (select count(*)::int from gone) as gone, (select count(*)::int from page) as seen from page order by id desc limit 1`,
      after,
    );
  }

  private async page(sql: string, after: readonly string[]): Promise<Page<string[]>> {
    const rows: { last: string[]; gone: number; seen: number }[] = await this.database.query(sql, [
      this.keptMs,
      this.batch,
      ...after,
    ]);
    const [row] = rows;
    return { next: row && row.seen === this.batch ? row.last : null, gone: row?.gone ?? 0 };
  }
}

/** Of a row: nothing comes of it any more, or only when an operator wants what its sender did too much of. */
const finished = (row: string): string =>
  `(${row}.state in ('delivered', 'discarded') or ${row}.state = 'dead' and ${row}.reason <> all('{${OF_THE_GATEWAY.join()}}'))`;
const BEFORE = `now() - $1::bigint * interval '1 millisecond'`;
