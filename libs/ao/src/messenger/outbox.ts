/** The outbox: what is to be delivered, what was, and what could not be. Rows are written in the transaction of the result they come from. */
import type { DataSource, EntityManager } from 'typeorm';
import type { DeliveryKind } from './sent.js';

/** Most deliveries of one round, of one sender in it, and about how many bytes. */
const BATCH = 500;
const BATCH_BYTES = 32 * 1024 * 1024;
const OF_ONE_SENDER = 100;
/** Most rows, and about how many bytes, of one statement. */
const INSERT_ROWS = 1000;
const INSERT_BYTES = 16 * 1024 * 1024;

/** One delivery as it is first written. */
export interface Delivery {
  /** Who sends; for a tick the process whose clock it is. */
  process: string;
  kind: DeliveryKind;
  /** Slot of the result; of a tick its time. */
  nonce: number;
  position: number;
  /** Id of the item; of an assignment the message that is assigned; '' for what was never made. */
  itemId: string;
  /** Signed bytes; none for an assignment. */
  item: Buffer;
  /** Process whose schedule it is for; '' for a spawn. */
  target: string;
  root: string;
  hops: number;
  /**
   * Set when it is dead from the start. In our own words, and ids: what a process or a user chose goes into a text column only as JSON, which
   * escapes what such a column cannot hold (NUL), and anyone may read this.
   */
  dead?: { reason: string; error: string };
}

/** A delivery that is due. */
export interface Due {
  id: string;
  process: string;
  kind: DeliveryKind;
  nonce: string;
  position: number;
  item_id: string;
  item: Buffer;
  target: string;
  attempts: number;
}

/** What came of a try that failed. */
export interface Failure {
  id: string;
  /** Milliseconds until the next; null: none. */
  delay: number | null;
  reason: string;
  error: string;
}

export class Outbox {
  constructor(private readonly database: DataSource) {}

  /**
   * Writes deliveries; what is there already stays, except that with `revive` what was set aside goes out after all.
   * What a spawn's parent is told is held until the spawn has its place.
   */
  async add(manager: EntityManager, deliveries: readonly Delivery[], revive = false): Promise<void> {
    for (const part of inParts(deliveries)) {
      await manager.query(
        `insert into outbox (process, kind, nonce, position, item_id, item, target, root, hops, state, reason, error)
         select * from unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::text[], $6::bytea[], $7::text[], $8::text[], $9::int[], $10::text[], $11::text[], $12::text[])
         on conflict (process, kind, nonce, position) do ${
           revive
             ? `update set item_id = excluded.item_id, item = excluded.item, target = excluded.target, state = excluded.state,
                  reason = excluded.reason, error = excluded.error, attempts = 0, due = now() where outbox.state = 'dead'`
             : 'nothing'
         }`,
        [
          part.map((d) => d.process),
          part.map((d) => d.kind),
          part.map((d) => d.nonce),
          part.map((d) => d.position),
          part.map((d) => d.itemId),
          part.map((d) => d.item),
          part.map((d) => d.target),
          part.map((d) => d.root),
          part.map((d) => d.hops),
          part.map((d) => (d.dead ? 'dead' : d.kind === 'spawned' ? 'held' : 'waiting')),
          part.map((d) => d.dead?.reason ?? null),
          part.map((d) => d.dead?.error ?? null),
        ],
      );
    }
  }

  /**
   * What is due now, but for those under way: of each sender one, then of each the next, so that nobody waits behind another's flood. In
   * order for each sender.
   */
  async due(underWay: readonly Due[]): Promise<Due[]> {
    return this.database.query(
      `with recursive sender as (
         (select process from outbox where state = 'waiting' order by process limit 1)
         union all
         select (select o.process from outbox o where o.state = 'waiting' and o.process > s.process order by o.process limit 1)
         from sender s where s.process is not null
       ), turns as (
         select w.id, w.bytes, w.turn from sender s cross join lateral (
           select id, octet_length(item) as bytes, row_number() over (order by id) as turn from (
             select id, item from outbox where state = 'waiting' and process = s.process and due <= now() and id <> all($2::bigint[]) order by id limit ${OF_ONE_SENDER}
           ) as f
         ) as w where s.process is not null order by w.turn, w.id limit ${BATCH}
       ), sized as (
         select id, turn, row_number() over page as place, sum(bytes) over page as bytes from turns window page as (order by turn, id)
       )
       select o.id, o.process, o.kind, o.nonce, o.position, o.item_id, o.item, o.target, o.attempts
       from sized s join outbox o on o.id = s.id where s.bytes <= $1 or s.place = 1 order by s.turn, s.id`,
      [BATCH_BYTES, underWay.map((d) => d.id)],
    );
  }

  /** Marks what has its place; its bytes are in the schedule now. Parents of new processes are told from here on. */
  async delivered(due: readonly Due[]): Promise<void> {
    const spawns = due.filter((d) => d.kind === 'spawn');
    if (spawns.length > 0)
      await this.database.query(
        `update outbox o set state = 'waiting', due = now() from unnest($1::text[], $2::bigint[], $3::int[]) as s(process, nonce, position)
         where o.process = s.process and o.kind = 'spawned' and o.nonce = s.nonce and o.position = s.position and o.state = 'held'`,
        [spawns.map((d) => d.process), spawns.map((d) => d.nonce), spawns.map((d) => d.position)],
      );
    if (due.length > 0)
      await this.database.query(
        `update outbox set state = 'delivered', item = '', reason = null, error = null where id = any($1::bigint[])`,
        [due.map((d) => d.id)],
      );
  }

  /** Marks what failed: tried again later, or set aside. */
  async failed(failures: readonly Failure[]): Promise<void> {
    if (failures.length === 0) return;
    await this.database.query(
      `update outbox o set attempts = attempts + 1, state = case when f.delay is null then 'dead' else 'waiting' end, reason = f.reason,
         error = f.error, due = now() + coalesce(f.delay, 0) * interval '1 millisecond'
       from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) as f(id, delay, reason, error) where o.id = f.id`,
      [
        failures.map((f) => f.id),
        failures.map((f) => f.delay),
        failures.map((f) => f.reason),
        failures.map((f) => f.error),
      ],
    );
  }

  /** Undelivered things of one sender, counted to `most`. */
  async waiting(process: string, most: number): Promise<number> {
    const rows: { n: number }[] = await this.database.query(
      `select count(*)::int as n from (select 1 from outbox where process = $1 and state = 'waiting' limit $2) as w`,
      [process, most],
    );
    return rows[0]?.n ?? 0;
  }

  /** Milliseconds until something is due; null when nothing waits. */
  async untilNext(): Promise<number | null> {
    const rows: { wait: string | null }[] = await this.database.query(
      `select extract(epoch from min(due) - now()) * 1000 as wait from outbox where state = 'waiting'`,
    );
    const wait = rows[0]?.wait;
    return wait === null || wait === undefined ? null : Number(wait);
  }
}

function* inParts(deliveries: readonly Delivery[]): Generator<Delivery[]> {
  let [part, bytes]: [Delivery[], number] = [[], 0];
  for (const delivery of deliveries) {
    if (part.length === INSERT_ROWS || (part.length > 0 && bytes + delivery.item.length > INSERT_BYTES)) {
      yield part;
      [part, bytes] = [[], 0];
    }
    part.push(delivery);
    bytes += delivery.item.length;
  }
  if (part.length > 0) yield part;
}
