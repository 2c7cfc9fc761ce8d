/**
 * The messenger: what a process sends to another process is put into an outbox in the transaction that stores the result, and delivered
 * until the scheduler has it. A pushed item is signed deterministically, so a repeat is the same item and is scheduled once.
 */
import type { DataSource, EntityManager } from 'typeorm';
import { createItem, ItemError } from '../items/index.js';
import { ScheduleError, type Scheduler } from '../scheduler/scheduler.js';
import type { EvaluationResult, Item, OutboundMessage, ScheduleEntry, Signer, Tag } from '../types.js';
import { tagOf } from '../scheduler/assignment.js';

/** Tries before a delivery is set aside for the operator. */
const MAX_ATTEMPTS = 12;
const FIRST_DELAY_MS = 250;
/** Most deliveries of one round, of one sender in it, and about how many bytes. */
const BATCH = 200;
const BATCH_BYTES = 32 * 1024 * 1024;
const OF_ONE_SENDER = 50;

/** Longest way from a signed message: answers to answers to answers. */
export const MAX_HOPS = 32;
/**
 * Most messages a process sends in answer to one other process (or to whoever signed) on the way from one signed message. By that other
 * one, since a process that answers a flood must go on answering the rest. A guardian's largest message mints 1,000 times.
 */
export const MAX_ANSWERS = 5000;
/** Undelivered messages at which their sender waits before it is evaluated further. */
const MAX_UNDELIVERED = 5000;
const LOOK_AGAIN_MS = 100;

/** What a process can be called; a process may name anything as a target, also what a database cannot hold. */
const ID = /^[A-Za-z0-9_-]{43}$/;

/** Tags the messenger sets itself; a process cannot. */
const RESERVED = new Set([
  'Data-Protocol',
  'Type',
  'Variant',
  'From-Process',
  'From-Module',
  'Pushed-For',
  'Pushed-Hops',
]);

interface Delivery {
  entry: ScheduleEntry;
  message: OutboundMessage;
  position: number;
}

interface OutboxRow {
  id: string;
  raw: Buffer;
  error: string | null;
}

export class Messenger {
  private running: Promise<void> | null = null;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly database: DataSource,
    private readonly scheduler: Scheduler,
    private readonly signer: Signer,
    private readonly maxAnswers = MAX_ANSWERS,
  ) {}

  get address(): string {
    return this.signer.address;
  }

  /** Puts what a result sends to processes of this scheduler into the outbox, in the caller's transaction. */
  async enqueue(
    manager: EntityManager,
    entries: readonly { entry: ScheduleEntry; result: EvaluationResult }[],
    module: string,
  ): Promise<number> {
    const sent = entries.flatMap(({ entry, result }) =>
      result.Error === undefined ? result.Messages.map((message, position) => ({ entry, message, position })) : [],
    );
    const targets = [
      ...new Set(sent.flatMap(({ message }) => (message.Target && ID.test(message.Target) ? [message.Target] : []))),
    ];
    const rows: { id: string }[] =
      targets.length > 0 ? await manager.query('select id from process where id = any($1)', [targets]) : [];
    const here = new Set(rows.map((r) => r.id));
    const deliveries = sent.filter(({ message }) => message.Target && here.has(message.Target));
    const answers = await this.countAnswers(manager, deliveries);
    let told: ScheduleEntry | null = null;
    for (const { delivery, count } of answers) {
      const { entry, position } = delivery;
      const tooMany = count > this.maxAnswers;
      if (tooMany && told === entry) continue; // one dead letter says it for all of this slot that follow
      if (tooMany) told = entry;
      const row = tooMany ? setAside(tooManyAnswers(this.maxAnswers)) : await this.outboxRow(delivery, module);
      await manager.query(
        `insert into outbox (process, nonce, position, item_id, item, state, error) values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
        [entry.process, entry.nonce, position, row.id, row.raw, row.error === null ? 'waiting' : 'dead', row.error],
      );
    }
    return deliveries.length;
  }

  /** Resolves when not too much of what a process sent is undelivered: a process that floods waits for itself, nobody waits for it. */
  async makeRoom(process: string): Promise<void> {
    while (!this.stopped) {
      const rows: { n: number }[] = await this.database.query(
        `select count(*)::int as n from (select 1 from outbox where process = $1 and state = 'waiting' limit ${MAX_UNDELIVERED}) as w`,
        [process],
      );
      if ((rows[0]?.n ?? 0) < MAX_UNDELIVERED) return;
      await this.deliver();
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  /** Delivers what is due; called again while it runs, it goes once more. */
  async deliver(): Promise<void> {
    if (this.stopped) return;
    this.again = true;
    this.running ??= this.work().finally(() => (this.running = null));
    await this.running;
  }

  /** Ends after the deliveries under way; what is left waits in the outbox. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.running?.catch(() => undefined);
    clearTimeout(this.timer);
  }

  /** Each delivery with its number among the answers it belongs to. */
  private async countAnswers(
    manager: EntityManager,
    deliveries: readonly Delivery[],
  ): Promise<{ delivery: Delivery; count: number }[]> {
    const added = new Map<string, { entry: ScheduleEntry; root: string; cause: string; count: number }>();
    const keyed = deliveries.map((delivery) => {
      const { entry } = delivery;
      const [root, cause] = [this.rootOf(entry.message), tagOf(entry.message, 'From-Process')];
      const key = `${root} ${ID.test(cause) ? cause : ''}`;
      const group = added.get(key) ?? { entry, root, cause: ID.test(cause) ? cause : '', count: 0 };
      added.set(key, group);
      group.count += 1;
      return { delivery, key };
    });
    const groups = [...added.values()];
    const rows: { root: string; cause: string; messages: string }[] =
      groups.length === 0
        ? []
        : await manager.query(
            `insert into pushed (root, process, cause, messages) select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
             on conflict (root, process, cause) do update set messages = pushed.messages + excluded.messages returning root, cause, messages`,
            [
              groups.map((g) => g.root),
              groups.map((g) => g.entry.process),
              groups.map((g) => g.cause),
              groups.map((g) => g.count),
            ],
          );
    const counts = new Map(
      rows.map((r) => [`${r.root} ${r.cause}`, Number(r.messages) - (added.get(`${r.root} ${r.cause}`)?.count ?? 0)]),
    );
    return keyed.map(({ delivery, key }) => {
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      return { delivery, count };
    });
  }

  /** The signed message at the beginning. Only this messenger's own word counts: else anyone could speak for another's message. */
  private rootOf(message: Item): string {
    const pushed = message.ownerAddress === this.signer.address ? tagOf(message, 'Pushed-For') : '';
    return pushed || message.id;
  }

  private async work(): Promise<void> {
    while (this.again && !this.stopped) {
      this.again = false;
      for (;;) {
        const due = await this.due();
        if (due.length === 0 || this.stopped) break;
        await Promise.all(due.map((row) => this.deliverOne(row)));
      }
    }
    await this.sleepUntilNext();
  }

  /** What is due now: of each sender one, then of each the next, so that nobody waits behind another's flood. In order for each sender. */
  private async due(): Promise<Due[]> {
    const first: { id: string; bytes: number }[] = await this.database.query(
      `with recursive sender as (
         (select process from outbox where state = 'waiting' order by process limit 1)
         union all
         select (select o.process from outbox o where o.state = 'waiting' and o.process > s.process order by o.process limit 1)
         from sender s where s.process is not null
       )
       select w.id, w.bytes from sender s cross join lateral (
         select id, octet_length(item) as bytes, row_number() over (order by id) as turn from (
           select id, item from outbox where state = 'waiting' and process = s.process and due <= now() order by id limit ${OF_ONE_SENDER}
         ) as f
       ) as w where s.process is not null order by w.turn, w.id limit ${BATCH}`,
    );
    let bytes = 0;
    const ids = first.filter((row, i) => (bytes += row.bytes) <= BATCH_BYTES || i === 0).map((row) => row.id);
    const rows: Due[] = await this.database.query(
      'select id, item, attempts from outbox where id = any($1::bigint[])',
      [ids],
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ids.flatMap((id) => byId.get(id) ?? []);
  }

  private async deliverOne({ id, item, attempts }: Due): Promise<void> {
    try {
      await this.scheduler.schedulePushed(item);
      await this.database.query(`update outbox set state = 'delivered', error = null where id = $1`, [id]);
    } catch (error) {
      const permanent = error instanceof ScheduleError && error.code !== 'overloaded';
      const state = permanent || attempts + 1 >= MAX_ATTEMPTS ? 'dead' : 'waiting';
      const delay = FIRST_DELAY_MS * 2 ** attempts;
      await this.database.query(
        `update outbox set state = $2, attempts = attempts + 1, error = $3, due = now() + $4 * interval '1 millisecond' where id = $1`,
        [id, state, error instanceof Error ? error.message : String(error), delay],
      );
    }
  }

  private async sleepUntilNext(): Promise<void> {
    const rows: { wait: string | null }[] = await this.database.query(
      `select extract(epoch from min(due) - now()) * 1000 as wait from outbox where state = 'waiting'`,
    );
    const wait = rows[0]?.wait;
    clearTimeout(this.timer);
    // A failing delivery wakes the messenger again; a failure of the database itself shows where the next result is stored.
    if (wait !== null && wait !== undefined)
      this.timer = setTimeout(() => void this.deliver().catch(() => undefined), Math.max(Number(wait), 1));
  }

  /** A message no item can carry (too many tags, say) is set aside at once: whatever a process sends, it must not stop its own schedule. */
  private async outboxRow({ entry, message }: Delivery, module: string): Promise<OutboxRow> {
    const hops = hopsOf(entry.message) + 1;
    if (hops > MAX_HOPS) return setAside(`More than ${MAX_HOPS} hops from the message that was signed.`);
    try {
      const { id, raw } = await this.push(entry, message, module, hops);
      return { id, raw, error: null };
    } catch (error) {
      if (!(error instanceof ItemError)) throw error;
      return setAside(error.message);
    }
  }

  private push(entry: ScheduleEntry, message: OutboundMessage, module: string, hops: number): Promise<Item> {
    const own: Tag[] = [
      { name: 'Data-Protocol', value: 'ao' },
      { name: 'Variant', value: 'ao.TN.1' },
      { name: 'Type', value: 'Message' },
      { name: 'From-Process', value: entry.process },
      { name: 'From-Module', value: module },
      { name: 'Pushed-For', value: this.rootOf(entry.message) },
      { name: 'Pushed-Hops', value: String(hops) },
    ];
    const tags = [...own, ...message.Tags.filter((t) => !RESERVED.has(t.name))];
    return createItem({ target: message.Target, anchor: message.Anchor, tags, data: message.Data }, this.signer);
  }
}

interface Due {
  id: string;
  item: Buffer;
  attempts: number;
}

/** Hops a message has come. Whoever claims them, claims them against what is sent in answer to its own message. */
function hopsOf(message: Item): number {
  const hops = tagOf(message, 'Pushed-Hops');
  return /^[1-9][0-9]{0,3}$/.test(hops) ? Number(hops) : 0;
}

const tooManyAnswers = (most: number): string =>
  `More than ${most} answers to one process on the way from one signed message: this one and the rest of its slot are not sent.`;

const setAside = (error: string): OutboxRow => ({ id: '', raw: Buffer.alloc(0), error });
