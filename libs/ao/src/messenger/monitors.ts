/**
 * Monitors: processes whose clocks run here. A clock starts when the wallet its process belongs to asks for it and runs until that asks
 * again. Each tick is written into the outbox in the transaction that moves the clock on, so it is made once, and after an outage only the
 * last tick of each clock is made up.
 */
import type { DataSource, EntityManager } from 'typeorm';
import { createItem, parseItem, verifyItem } from '../items/index.js';
import { tagOf } from '../items/tags.js';
import type { EvaluationResult, Item, Signer } from '../types.js';
import {
  assertKeepable,
  CronError,
  cronsOf,
  nextTick,
  ticksBetween,
  tickTags,
  type Cron,
  type CronErrorCode,
  type Tick,
} from './cron.js';
import type { Messenger } from './messenger.js';
import { Outbox, type Delivery } from './outbox.js';
import { ID, MAX_HOPS } from './sent.js';

/** Most processes with clocks of one owner, and of one gateway: each strikes up to once a second for as long as nobody stops it. */
const MAX_OF_OWNER = 100;
const MAX_MONITORS = 10_000;
/** Processes whose ticks are made in one transaction. */
const BATCH = 100;
/** Slots a process may be behind; its clock waits until it has caught up. */
const MAX_BEHIND = 100;
/** Longest sleep: another gateway on this database may have taken a monitor on and gone. */
const MAX_SLEEP_MS = 10_000;
/** Sleep when what is due must wait for its process. */
const LOOK_AGAIN_MS = 1000;
/** Clocks kept read. */
const MAX_KEPT = 1000;
/** Results of one page take about this much at most; a single larger one is still given. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;

export type MonitorErrorCode =
  | 'bad-signature'
  | 'wrong-request'
  | 'wrong-process'
  | 'unknown-process'
  | 'not-owner'
  | 'too-many'
  | CronErrorCode;

/** Why a process is not monitored; the message says what to do. */
export class MonitorError extends Error {
  constructor(
    readonly code: MonitorErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'MonitorError';
  }
}

export interface MonitorsOptions {
  database: DataSource;
  messenger: Messenger;
  /** The scheduler's: a tick is its word. */
  signer: Signer;
  now?: (() => number) | undefined;
  /** Told of failures that are tried again by themselves. */
  onFailure: (error: unknown) => void;
}

/** The clocks of one process, and the spawn's timestamp that they count from. */
interface Clocks {
  crons: readonly Cron[];
  origin: number;
}

/** Which ticks: after one, up to another and it; null is no bound. */
export interface TickRange {
  after: Tick | null;
  until: Tick | null;
}

/** The result of a tick. */
export interface TickResult extends Tick {
  /** Its slot. */
  nonce: number;
  result: EvaluationResult;
}

type Request = 'Monitor' | 'Unmonitor';

/**
 * Whether an item was signed for this. Nothing that was meant for anything else is: no schedule takes either form, so that no message its owner
 * once signed can be brought forward. aoconnect's form does not say which of the two it asks for.
 */
function asks(item: Item, what: Request): boolean {
  return item.tags.length === 0 ? item.data.toString('latin1') === ' ' : tagOf(item, 'Type') === what;
}

export class Monitors {
  private readonly outbox: Outbox;
  private readonly kept = new Map<string, Clocks>();
  private running: Promise<void> | null = null;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(private readonly options: MonitorsOptions) {
    this.outbox = new Outbox(options.database);
  }

  /**
   * Starts the clocks of a process; once more changes nothing, and a process without clocks has nothing to start (what it sends is
   * delivered anyway). @param raw the request (see `asks`), signed by the wallet the process belongs to. @throws MonitorError, ItemError
   */
  async start(process: string, raw: Buffer): Promise<void> {
    const owner = await this.authorised(process, raw, 'Monitor');
    const { crons, origin } = await this.keepableClocksOf(process);
    if (crons.length === 0) return;
    const now = this.now();
    await this.options.database.transaction(async (manager) => {
      // One at a time, or the bounds would not be.
      await manager.query('lock table monitor in share row exclusive mode');
      const rows: { of_owner: number; all: number }[] = await manager.query(
        `select count(*)::int as "all", count(*) filter (where owner = $1)::int as of_owner from monitor where process <> $2`,
        [owner, process],
      );
      if ((rows[0]?.of_owner ?? 0) >= MAX_OF_OWNER || (rows[0]?.all ?? 0) >= MAX_MONITORS)
        throw new MonitorError(
          'too-many',
          `At most ${MAX_OF_OWNER} processes of one owner are monitored here, and ${MAX_MONITORS} in all.`,
        );
      await manager.query(
        'insert into monitor (process, owner, ticked, due) values ($1, $2, $3, $4) on conflict (process) do nothing',
        [process, owner, now, nextTick(crons, origin, now)],
      );
    });
    await this.sleep();
  }

  /** Stops the clocks of a process; once more changes nothing. @throws MonitorError, ItemError */
  async end(process: string, raw: Buffer): Promise<void> {
    await this.authorised(process, raw, 'Unmonitor');
    await this.options.database.query('delete from monitor where process = $1', [process]);
  }

  /** Whether the clocks of a process run. */
  async has(process: string): Promise<boolean> {
    const rows: unknown[] = await this.options.database.query('select 1 from monitor where process = $1', [process]);
    return rows.length > 0;
  }

  /** Makes the ticks that are due and has them delivered. */
  async tick(): Promise<void> {
    await this.running?.catch(() => undefined); // which may have looked at the clock before
    this.running ??= this.work().finally(() => (this.running = null));
    await this.running;
  }

  /** Runs all clocks until `stop`. */
  run(): void {
    void this.tick()
      .catch((error: unknown) => this.options.onFailure(error))
      .finally(() => void this.sleep().catch((error: unknown) => this.options.onFailure(error)));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running?.catch(() => undefined);
    clearTimeout(this.timer);
  }

  /** Results of ticks in the order of their times: after one of them, up to another. At most `limit`, and fewer (but one at least) when they are large. */
  async results(process: string, { after, until }: TickRange, limit: number): Promise<TickResult[]> {
    const rows: { time: string; cron: number; nonce: string; outcome: string }[] = await this.options.database.query(
      `select time, cron, nonce, outcome from (
         select *, row_number() over page as place, sum(octet_length(outcome)) over page as bytes from (
           select o.nonce as time, o.position as cron, r.nonce, r.outcome from outbox o
           join assignment a on a.process = o.process and a.message_id = o.item_id
           join result r on r.process = a.process and r.nonce = a.nonce
           where o.process = $1 and o.kind = 'tick' and (o.nonce, o.position) > ($2::bigint, $3::int)
             and (o.nonce, o.position) <= ($4::bigint, $5::int) order by o.nonce, o.position limit $6
         ) as found window page as (order by time, cron)
       ) as sized where bytes <= $7 or place = 1 order by time, cron`,
      [
        process,
        after?.time ?? -1,
        after?.cron ?? 0,
        until?.time ?? Number.MAX_SAFE_INTEGER,
        until?.cron ?? 0,
        limit,
        MAX_PAGE_BYTES,
      ],
    );
    return rows.map(({ time, cron, nonce, outcome }) => ({
      time: Number(time),
      cron,
      nonce: Number(nonce),
      result: JSON.parse(outcome) as EvaluationResult,
    }));
  }

  /** The owner who has signed this for this process. */
  private async authorised(process: string, raw: Buffer, what: Request): Promise<string> {
    const item = parseItem(raw);
    if (!asks(item, what))
      throw new MonitorError(
        'wrong-request',
        `Sign an item with the tag Type: ${what}, or one as aoconnect does: without tags, its data one space.`,
      );
    if (!(await verifyItem(item)))
      throw new MonitorError('bad-signature', 'The item is not signed by its owner over these contents.');
    if (item.target !== process)
      throw new MonitorError('wrong-process', `The item's target is ${item.target || 'nobody'}, not ${process}.`);
    const owner = await this.walletOf(process);
    if (item.ownerAddress === owner) return owner;
    throw new MonitorError('not-owner', `Only the wallet a process belongs to has it monitored: ${owner}.`);
  }

  /** Who signed the spawn; of a process that a process has spawned, the wallet at the beginning. */
  private async walletOf(process: string): Promise<string> {
    let spawn = await this.spawnOf(process);
    for (let hops = 0; hops < MAX_HOPS && spawn.ownerAddress === this.options.messenger.address; hops += 1)
      spawn = await this.spawnOf(tagOf(spawn, 'From-Process'));
    return spawn.ownerAddress;
  }

  private async spawnOf(process: string): Promise<Item> {
    const rows: { item: Buffer }[] = ID.test(process)
      ? await this.options.database.query('select item from process where id = $1', [process])
      : [];
    if (!rows[0]) throw new MonitorError('unknown-process', `There is no process ${process} here.`);
    return parseItem(rows[0].item);
  }

  /** @throws MonitorError */
  private async keepableClocksOf(process: string): Promise<Clocks> {
    try {
      const clocks = await this.clocksOf(process);
      assertKeepable(clocks.crons);
      return clocks;
    } catch (error) {
      throw error instanceof CronError ? new MonitorError(error.code, error.message) : error;
    }
  }

  /** @throws CronError, MonitorError */
  private async clocksOf(process: string): Promise<Clocks> {
    const kept = this.kept.get(process);
    if (kept) return kept;
    const spawn = await this.spawnOf(process);
    const rows: { timestamp: string }[] = await this.options.database.query(
      'select timestamp from assignment where process = $1 and nonce = 0',
      [process],
    );
    const clocks = { crons: cronsOf(spawn.tags), origin: Number(rows[0]?.timestamp) };
    if (this.kept.size >= MAX_KEPT) this.kept.clear();
    this.kept.set(process, clocks);
    return clocks;
  }

  private async work(): Promise<void> {
    while (!this.stopped) {
      const now = this.now();
      const count = await this.options.database.transaction((manager) => this.makeTicks(manager, now));
      if (count === 0) break;
      await this.options.messenger.deliver();
    }
  }

  /** Moves some clocks on; how many. Another gateway's are left to it. */
  private async makeTicks(manager: EntityManager, now: number): Promise<number> {
    const rows: { process: string; ticked: string }[] = await manager.query(
      `select m.process, m.ticked from monitor m join computed_process p on p.id = m.process
       where m.due <= $1 and p.evaluated >= p.nonce - ${MAX_BEHIND} order by m.due limit ${BATCH} for update of m skip locked`,
      [now],
    );
    const moved = await Promise.all(
      rows.map(async ({ process, ticked }) => {
        const { crons, origin } = await this.clocksOf(process);
        const ticks = ticksBetween(crons, origin, Number(ticked), now);
        const deliveries = await Promise.all(ticks.map((tick) => this.delivery(process, tick)));
        return { process, due: nextTick(crons, origin, now), deliveries };
      }),
    );
    await this.outbox.add(
      manager,
      moved.flatMap((m) => m.deliveries),
    );
    if (moved.length > 0)
      await manager.query(
        `update monitor set ticked = $1, due = m.due from unnest($2::text[], $3::bigint[]) as m(process, due) where monitor.process = m.process`,
        [now, moved.map((m) => m.process), moved.map((m) => m.due)],
      );
    return moved.length;
  }

  private async delivery(process: string, tick: Tick): Promise<Delivery> {
    const item = await createItem({ target: process, tags: tickTags(tick), data: '' }, this.options.signer);
    return {
      process,
      kind: 'tick',
      nonce: tick.time,
      position: tick.cron,
      itemId: item.id,
      item: item.raw,
      target: process,
      root: item.id,
      hops: 0,
    };
  }

  /** Until the next tick is due. */
  private async sleep(): Promise<void> {
    if (this.stopped) return;
    const rows: { due: string | null }[] = await this.options.database.query('select min(due) as due from monitor');
    const due = rows[0]?.due ?? null;
    const wait = due === null ? MAX_SLEEP_MS : Number(due) - this.now();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), wait <= 0 ? LOOK_AGAIN_MS : Math.min(wait, MAX_SLEEP_MS));
  }

  private now(): number {
    return this.options.now?.() ?? Date.now();
  }
}
