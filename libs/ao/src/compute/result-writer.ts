/**
 * Stores results: those of several processes that come together share one transaction, and with them goes all that must be kept exactly
 * when they are. Only who holds a process' newest token can store, each slot once and in order.
 */
import type { DataSource, EntityManager } from 'typeorm';
import { LeaseLost, type Lease } from './leases.js';
import type { ResultBatch, ResultSink } from './result-sink.js';

/** Most batches and about how many bytes of one transaction: what one statement can carry, and a large result holds up. */
const MAX_BATCHES = 256;
const MAX_BYTES = 32 * 1024 * 1024;

interface Waiting {
  lease: Lease;
  /** Last slot stored before these. */
  before: number;
  batch: ResultBatch;
  /** Each result as JSON in UTF-8. */
  outcomes: Buffer[];
  bytes: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class ResultWriter {
  private waiting: Waiting[] = [];
  private working: Promise<void> | null = null;

  constructor(
    private readonly database: DataSource,
    private readonly sinks: readonly ResultSink[],
  ) {}

  /**
   * Stores the results of the slots after `before`; resolves once they are durable.
   * @throws LeaseLost when the lease is not the newest or the slots are stored already; what the database or a sink throws
   */
  store(lease: Lease, before: number, batch: ResultBatch): Promise<void> {
    const outcomes = batch.results.map(({ result }) => Buffer.from(JSON.stringify(result)));
    const bytes = outcomes.reduce((sum, outcome) => sum + outcome.length, 0);
    const stored = new Promise<void>((resolve, reject) =>
      this.waiting.push({ lease, before, batch, outcomes, bytes, resolve, reject }),
    );
    this.working ??= this.work();
    return stored;
  }

  /** Resolves when nothing waits to be stored any more. */
  async stop(): Promise<void> {
    while (this.working) await this.working;
  }

  private async work(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.nextBatch();
      try {
        await this.storeTogether(batch);
      } catch (error) {
        // One of them may be what cannot be stored: each stands for itself then.
        if (batch.length === 1) batch[0]?.reject(error);
        else for (const one of batch) await this.storeTogether([one]).catch((reason: unknown) => one.reject(reason));
      }
    }
    this.working = null; // in the same breath as the last look at what waits
  }

  private nextBatch(): Waiting[] {
    let [count, bytes] = [0, 0];
    for (const next of this.waiting) {
      if (count > 0 && (count === MAX_BATCHES || bytes + next.bytes > MAX_BYTES)) break;
      count += 1;
      bytes += next.bytes;
    }
    return this.waiting.splice(0, count);
  }

  private async storeTogether(waiting: readonly Waiting[]): Promise<void> {
    const moved = await this.database.transaction(async (manager) => {
      const going = await write(manager, waiting);
      const kept = waiting.filter((w) => going.has(w.lease.process));
      if (kept.length === 0) return going;
      const batches = kept.map((w) => w.batch);
      for (const sink of this.sinks) await sink.take(manager, batches);
      return going;
    });
    for (const { lease, resolve, reject } of waiting) {
      if (moved.has(lease.process)) resolve();
      else reject(new LeaseLost(lease.process));
    }
  }
}

/**
 * Moves each process on whose lease is good, which locks its progress until the end of the transaction, and writes its results. Outcomes travel
 * as one piece of bytes, cut up in the database: as an array every quotation mark of their JSON would be escaped.
 */
const WRITE = `
with moved as (
  update progress p set evaluated = w.last
  from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) as w(process, token, before, last)
  where p.process = w.process and p.token = w.token and p.evaluated = w.before returning p.process
), written as (
  insert into result (process, nonce, message_id, outcome, failed)
  select process, nonce, message_id, convert_from(substring($11::bytea from at + 1 for bytes), 'UTF8'), failed
  from unnest($5::text[], $6::bigint[], $7::text[], $8::boolean[], $9::int[], $10::int[]) as r(process, nonce, message_id, failed, at, bytes)
  where r.process in (select process from moved)
)
select process from moved`;

/** The processes whose results are written. */
async function write(manager: EntityManager, waiting: readonly Waiting[]): Promise<Set<string>> {
  const results = waiting.flatMap((w) => w.batch.results);
  const outcomes = waiting.flatMap((w) => w.outcomes);
  let at = 0;
  const starts = outcomes.map(({ length }) => (at += length) - length);
  const rows: { process: string }[] = await manager.query(WRITE, [
    waiting.map((w) => w.lease.process),
    waiting.map((w) => w.lease.token),
    waiting.map((w) => w.before),
    waiting.map((w) => w.before + w.batch.results.length),
    results.map((r) => r.entry.process),
    results.map((r) => r.entry.nonce),
    results.map((r) => r.entry.message.id),
    results.map((r) => r.result.Error !== undefined),
    starts,
    outcomes.map(({ length }) => length),
    Buffer.concat(outcomes),
  ]);
  return new Set(rows.map((r) => r.process));
}
