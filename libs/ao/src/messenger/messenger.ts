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
const BATCH = 200;

/** What a process can be called; a process may name anything as a target, also what a database cannot hold. */
const ID = /^[A-Za-z0-9_-]{43}$/;

/** Tags the messenger sets itself; a process cannot. */
const RESERVED = new Set(['Data-Protocol', 'Type', 'Variant', 'From-Process', 'From-Module', 'Pushed-For']);

export class Messenger {
  private running: Promise<void> | null = null;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly database: DataSource,
    private readonly scheduler: Scheduler,
    private readonly signer: Signer,
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
    for (const { entry, message, position } of deliveries) {
      const row = await this.outboxRow(entry, message, module);
      await manager.query(
        `insert into outbox (process, nonce, position, item_id, item, state, error) values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
        [entry.process, entry.nonce, position, row.id, row.raw, row.error === null ? 'waiting' : 'dead', row.error],
      );
    }
    return deliveries.length;
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

  private async work(): Promise<void> {
    while (this.again && !this.stopped) {
      this.again = false;
      for (;;) {
        const due: { id: string; item: Buffer; attempts: number }[] = await this.database.query(
          `select id, item, attempts from outbox where state = 'waiting' and due <= now() order by id limit ${BATCH}`,
        );
        if (due.length === 0 || this.stopped) break;
        await Promise.all(due.map((row) => this.deliverOne(row)));
      }
    }
    await this.sleepUntilNext();
  }

  private async deliverOne({ id, item, attempts }: { id: string; item: Buffer; attempts: number }): Promise<void> {
    try {
      await this.scheduler.schedule(item);
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
  private async outboxRow(
    entry: ScheduleEntry,
    message: OutboundMessage,
    module: string,
  ): Promise<{ id: string; raw: Buffer; error: string | null }> {
    try {
      const { id, raw } = await this.push(entry, message, module);
      return { id, raw, error: null };
    } catch (error) {
      if (!(error instanceof ItemError)) throw error;
      return { id: '', raw: Buffer.alloc(0), error: error.message };
    }
  }

  private push(entry: ScheduleEntry, message: OutboundMessage, module: string): Promise<Item> {
    const own: Tag[] = [
      { name: 'Data-Protocol', value: 'ao' },
      { name: 'Variant', value: 'ao.TN.1' },
      { name: 'Type', value: 'Message' },
      { name: 'From-Process', value: entry.process },
      { name: 'From-Module', value: module },
      { name: 'Pushed-For', value: tagOf(entry.message, 'Pushed-For') || entry.message.id },
    ];
    const tags = [...own, ...message.Tags.filter((t) => !RESERVED.has(t.name))];
    return createItem({ target: message.Target, anchor: message.Anchor, tags, data: message.Data }, this.signer);
  }
}
