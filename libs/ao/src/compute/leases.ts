/**
 * Which gateway computes a process, when several share one database. A process is leased to one holder under a token that only grows;
 * whatever a holder stores carries its token and is refused when that is not the newest, so a holder that slept never writes over
 * another's work. A holder lives while it keeps its connection and says so; what it held is free when it does not, at once after a crash.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, QueryRunner } from 'typeorm';

/** A holder that has not been heard of for so long has lost its leases; three beats fit in, and people wait no longer than this. */
export const LEASE_MS = 10_000;
const BEAT_MS = 3_000;
/** How soon one looks again at processes that another holder is to compute: at first, and while nothing happens. The bound when notices are lost. */
const LOOK_MS = 50;
const LOOK_LONGEST_MS = 1000;
/** How often one looks for what nobody computes though nobody has died. */
const SWEEP_MS = 60_000;
/** Most processes one statement names. */
const MAX_NAMED = 1000;
/** Ids of one notice: Postgres carries 8,000 bytes. */
const NOTICE_IDS = 100;
/** Pause before a lost connection is opened again. */
const REOPEN_MS = 500;

const CHANNEL = 'isthmus_compute';
/** First key of the advisory locks that holders keep on their number; any constant, the same in every gateway. */
const HOLDER_LOCK = 4_953_169;
/** First key of the locks under which the first lease of a process is made, by a hash of its id: so many that few meet, so few that all fit. */
const FIRST_LOCK = 4_953_170;
const FIRST_LOCKS = 256;
/** Taking leases waits for nobody; should it, on a lock this gateway knows nothing of, it gives up before a beat is late. */
const LOCK_MS = 2000;

const ALIVE = `select h.id from compute_holder h join pg_locks l on l.objid = h.id::oid
  where h.expires > now() and l.locktype = 'advisory' and l.classid = ${HOLDER_LOCK}::oid and l.objsubid = 2 and l.granted
    and l.database = (select oid from pg_database where datname = current_database())`;

/**
 * Leases of what is free among $2, for holder $1. Nothing here waits for another gateway, which may stand still in the middle of a transaction:
 * progress that is locked is passed over, and so is a process whose progress another is about to write for the first time.
 */
const TAKE = `with alive as materialized (${ALIVE}),
bound as materialized (select set_config('lock_timeout', '${LOCK_MS}', true)),
missing as materialized (
  select id from process, bound where id = any($2) and not exists (select 1 from progress where process = id)
),
mine as materialized (select id from missing where pg_try_advisory_xact_lock(${FIRST_LOCK}, hashtext(id) & ${FIRST_LOCKS - 1})),
made as (
  insert into progress (process, holder, token) select id, $1, 1 from mine order by id
  on conflict do nothing returning process, token, evaluated
),
free as (
  select process from progress
  where process = any($2) and (holder is null or holder = $1 or holder not in (select id from alive))
  order by process for update skip locked
),
taken as (
  update progress p set holder = $1, token = p.token + 1 from free where p.process = free.process
  returning p.process, p.token, p.evaluated
)
select * from made union all select * from taken`;

/** The right to store results and checkpoints of a process, until another holder has a newer token. */
export interface Lease {
  process: string;
  token: string;
  /** Last slot whose result was stored when the lease was taken. */
  evaluated: number;
}

/** Another holder computes this process now: what was to be stored is not. */
export class LeaseLost extends Error {
  constructor(process: string) {
    super(`Another compute has gone on with process ${process}.`);
    this.name = 'LeaseLost';
  }
}

/** What a compute is told by the others. */
export interface LeaseEvents {
  /** Messages of these processes were placed through another gateway, or nobody computes what is placed. */
  placed(processes: readonly string[]): void;
  /** Another holder has stored results of a process up to a slot. */
  stored(process: string, evaluated: number): void;
  /** All leases are gone: the connection was lost. */
  lost(): void;
  failed(error: unknown): void;
  /** Leases were taken. */
  taken?(): void;
}

export interface LeaseTimes {
  leaseMs?: number;
  beatMs?: number;
}

interface Session {
  holder: number;
  connection: Connection;
  beat: NodeJS.Timeout;
}

interface Connection {
  runner: QueryRunner;
  client: Client;
}

/** The part of a Postgres client that is needed here. */
interface Client {
  end(): Promise<void>;
  on(event: 'notification', listener: (notice: { payload?: string }) => void): void;
  on(event: 'end' | 'error', listener: () => void): void;
}

interface Asking {
  process: string;
  resolve: (lease: Lease | null) => void;
  reject: (error: unknown) => void;
}

export class Leases {
  private session: Promise<Session> | null = null;
  /** The session that has begun and is not lost. */
  private live: Session | null = null;
  private asking: Asking[] = [];
  private taking: Promise<void> | null = null;
  /** Processes that another holder is to compute, with what is known of them. */
  private readonly watched = new Map<string, number>();
  private looking: Promise<void> | null = null;
  private readonly notices = { placed: new Set<string>(), stored: new Map<string, number>() };
  private announcing: Promise<void> | null = null;
  private others = false;
  private swept = 0;
  private stopped = false;
  private readonly ending = new AbortController();
  private readonly times: Required<LeaseTimes>;

  constructor(
    private readonly database: DataSource,
    private readonly events: LeaseEvents,
    times: LeaseTimes = {},
  ) {
    this.times = { leaseMs: LEASE_MS, beatMs: BEAT_MS, ...times };
  }

  /** Takes the lease of a process with a new token; null while another holder has it. Calls that come together share one statement. */
  acquire(process: string): Promise<Lease | null> {
    const lease = new Promise<Lease | null>((resolve, reject) => this.asking.push({ process, resolve, reject }));
    this.taking ??= this.take();
    return lease;
  }

  /** Gives leases back; others may take the processes at once. */
  async release(leases: readonly Lease[]): Promise<void> {
    if (leases.length === 0) return;
    await this.database.query(
      'update progress p set holder = null from unnest($1::text[], $2::bigint[]) as l(process, token) where p.process = l.process and p.token = l.token',
      [leases.map((l) => l.process), leases.map((l) => l.token)],
    );
  }

  /** Tells the holder of a process that messages of it are placed, and looks after it until they are computed, by whomever. */
  watch(process: string): void {
    this.watched.set(process, this.watched.get(process) ?? -1);
    this.notices.placed.add(process);
    this.announce();
    this.looking ??= this.look();
  }

  /** Whether another holder is to compute this process, as far as is known. */
  watches(process: string): boolean {
    return this.watched.has(process);
  }

  /** Tells the other gateways, if there are any, that results are stored. */
  announceStored(process: string, evaluated: number): void {
    if (!this.others) return;
    this.notices.stored.set(process, evaluated);
    this.announce();
  }

  /** Begins to hear from the others, and takes up what nobody computes. */
  async start(): Promise<void> {
    await this.open();
    await this.sweep();
  }

  /** Gives back everything and ends. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.ending.abort();
    await Promise.all([this.taking, this.looking, this.announcing]);
    const session = await this.session?.catch(() => null);
    if (!session) return;
    clearInterval(session.beat);
    const { holder, connection } = session;
    try {
      await this.database.query('update progress set holder = null where holder = $1', [holder]);
      await connection.runner.query('delete from compute_holder where id = $1', [holder]);
    } catch {
      // The connection is gone, and with it every lease.
    }
    destroy(connection);
  }

  private async take(): Promise<void> {
    while (this.asking.length > 0) {
      const batch = this.asking.splice(0, MAX_NAMED);
      try {
        const { holder } = await this.open();
        const names = batch.map((b) => b.process);
        const rows: { process: string; token: string; evaluated: string }[] = await this.database.query(TAKE, [
          holder,
          names,
        ]);
        const byProcess = new Map(rows.map((r) => [r.process, { ...r, evaluated: Number(r.evaluated) }]));
        if (rows.length > 0) this.events.taken?.();
        for (const { process, resolve } of batch) resolve(byProcess.get(process) ?? null);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.taking = null; // in the same breath as the last look at who asks
  }

  private open(): Promise<Session> {
    if (this.stopped) return Promise.reject(new Error('This compute has ended.'));
    return (this.session ??= this.begin().catch((error: unknown) => {
      this.session = null;
      throw error;
    }));
  }

  /** A new holder on a connection of its own: its number is free again when the connection ends, however it ends. */
  private async begin(): Promise<Session> {
    const runner = this.database.createQueryRunner();
    const connection = { runner, client: (await runner.connect()) as Client };
    try {
      return await this.beginOn(connection);
    } catch (error) {
      destroy(connection);
      throw error;
    }
  }

  private async beginOn(connection: Connection): Promise<Session> {
    const { runner, client } = connection;
    const rows: { id: number }[] = await runner.query(
      `insert into compute_holder (expires) values (now() + $1 * interval '1 millisecond') returning id`,
      [this.times.leaseMs],
    );
    const holder = rows[0]?.id ?? 0;
    await runner.query('select pg_advisory_lock($1, $2)', [HOLDER_LOCK, holder]);
    client.on('notification', ({ payload }) => this.hear(payload ?? ''));
    await runner.query(`listen ${CHANNEL}`);
    await this.renew(holder, runner);
    await runner.query('select pg_notify($1, $2)', [CHANNEL, `new ${holder}`]);
    const beat = setInterval(() => void this.beat(session).catch(() => this.drop(session)), this.times.beatMs).unref();
    const session: Session = { holder, connection, beat };
    for (const event of ['end', 'error'] as const) client.on(event, () => this.drop(session));
    return (this.live = session);
  }

  private drop(session: Session): void {
    clearInterval(session.beat);
    if (this.stopped || this.live !== session) return;
    this.live = null;
    this.session = null;
    this.others = false;
    destroy(session.connection);
    this.events.lost();
    void this.reopen();
  }

  private async reopen(): Promise<void> {
    for (;;) {
      await delay(REOPEN_MS, undefined, { signal: this.ending.signal }).catch(() => undefined);
      if (this.stopped) return;
      try {
        return await this.start();
      } catch (error) {
        this.events.failed(error);
      }
    }
  }

  private async beat(session: Session): Promise<void> {
    const { runner } = session.connection;
    const dead = await this.renew(session.holder, runner);
    if (dead.length > 0 || Date.now() - this.swept > SWEEP_MS) await this.sweep();
    if (dead.length > 0) await runner.query('delete from compute_holder where id = any($1)', [dead]);
  }

  /** Says that this holder lives, and sees who else does. Numbers of those who died. */
  private async renew(holder: number, runner: QueryRunner): Promise<number[]> {
    await runner.query(
      `insert into compute_holder (id, expires) overriding system value values ($1, now() + $2 * interval '1 millisecond')
       on conflict (id) do update set expires = excluded.expires`,
      [holder, this.times.leaseMs],
    );
    const rows: { id: number; alive: boolean }[] = await runner.query(
      `select id, id in (${ALIVE}) as alive from compute_holder where id <> $1`,
      [holder],
    );
    this.others = rows.some((r) => r.alive);
    return rows.filter((r) => !r.alive).map((r) => r.id);
  }

  /** What has messages that nobody alive is to compute, or this very holder. */
  private async sweep(): Promise<void> {
    this.swept = Date.now();
    const { holder } = await this.open();
    const rows: { id: string }[] = await this.database.query(
      `with alive as materialized (${ALIVE})
       select p.id from process p left join progress g on g.process = p.id
       where coalesce(g.evaluated, -1) < p.nonce and (g.holder is null or g.holder = $1 or g.holder not in (select id from alive))`,
      [holder],
    );
    if (rows.length > 0) this.events.placed(rows.map((r) => r.id));
  }

  /** Looks at what is watched until nothing is: notices may be lost, and a holder may die before it has computed. */
  private async look(): Promise<void> {
    let wait = LOOK_MS;
    while (this.watched.size > 0 && !this.stopped) {
      await delay(wait, undefined, { signal: this.ending.signal }).catch(() => undefined);
      if (this.stopped) break;
      const before = this.watched.size;
      await this.lookOnce([...this.watched.keys()].slice(0, MAX_NAMED)).catch((error: unknown) =>
        this.events.failed(error),
      );
      wait = this.watched.size === before ? Math.min(2 * wait, LOOK_LONGEST_MS) : LOOK_MS;
    }
    this.looking = null;
  }

  private async lookOnce(names: readonly string[]): Promise<void> {
    const rows: { id: string; evaluated: string; nonce: string; free: boolean }[] = await this.database.query(
      `with alive as materialized (${ALIVE})
       select p.id, p.nonce, coalesce(g.evaluated, -1) as evaluated, g.holder is null or g.holder = $2 or g.holder not in (select id from alive) as free
       from process p left join progress g on g.process = p.id where p.id = any($1)`,
      [names, (await this.open()).holder],
    );
    const byId = new Map(rows.map((r) => [r.id, r]));
    for (const name of names) this.seen(name, byId.get(name));
  }

  private seen(process: string, row: { evaluated: string; nonce: string; free: boolean } | undefined): void {
    const known = this.watched.get(process);
    if (known === undefined) return;
    this.watched.delete(process);
    if (!row) return;
    const evaluated = Number(row.evaluated);
    if (evaluated > known) this.events.stored(process, evaluated);
    if (evaluated >= Number(row.nonce)) return;
    if (row.free) this.events.placed([process]);
    else this.watched.set(process, evaluated); // behind the others
  }

  private announce(): void {
    this.announcing ??= this.notify();
  }

  private async notify(): Promise<void> {
    const { placed, stored } = this.notices;
    while (placed.size + stored.size > 0 && !this.stopped) {
      const results = Array.from(stored, ([process, evaluated]) => `${process}:${evaluated}`);
      const lists = { placed: [...placed], stored: results };
      placed.clear();
      stored.clear();
      try {
        const { holder } = await this.open();
        const payloads = [...pages(lists.placed, `placed ${holder} `), ...pages(lists.stored, `stored ${holder} `)];
        await this.database.query('select pg_notify($1, p) from unnest($2::text[]) as p', [CHANNEL, payloads]);
      } catch (error) {
        this.events.failed(error);
      }
    }
    this.announcing = null;
  }

  /** A notice is a hint and no more: what it says is looked up, and its loss costs a moment. */
  private hear(payload: string): void {
    const [kind, from, list = ''] = payload.split(' ');
    void this.session?.then(
      ({ holder }) => {
        if (Number(from) === holder) return;
        this.others = true;
        const named = list.split(',');
        if (kind === 'placed') this.events.placed(named);
        if (kind !== 'stored') return;
        for (const one of named) {
          const [process = '', evaluated] = one.split(':');
          this.events.stored(process, Number(evaluated));
        }
      },
      () => undefined,
    );
  }
}

/** Ends a connection rather than give it back: its lock would go on saying that its holder lives, and its notices would be heard twice. */
function destroy({ runner, client }: Connection): void {
  void client.end().catch(() => undefined); // it may not answer any more
  void runner.release().catch(() => undefined); // a client that ends is not used again
}

function* pages(texts: readonly string[], head: string): Generator<string> {
  for (let i = 0; i < texts.length; i += NOTICE_IDS) yield head + texts.slice(i, i + NOTICE_IDS).join(',');
}
