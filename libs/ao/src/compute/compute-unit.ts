/**
 * The compute unit: evaluates each process' schedule in order and keeps every result. A result, the messages it sends, and the process'
 * progress are one transaction that only the compute whose view was current can make, so two computes never both write.
 */
import type { DataSource } from 'typeorm';
import { parseItem } from '../items/index.js';
import type { Messenger } from '../messenger/messenger.js';
import { tagOf } from '../scheduler/assignment.js';
import type { Scheduler } from '../scheduler/scheduler.js';
import type { EvaluationResult, Item, ProcessEnv, ScheduleEntry, VmMessage } from '../types.js';
import { environmentOf, messageOf } from './message.js';
import { failed } from './bounds.js';
import type { ResultSink } from './result-sink.js';
import { decodeImage, encodeImage } from './image.js';
import { TooManyReads, WorkerLost, type WorkerPool } from './worker-pool.js';

const BATCH = 200;
/** Results of one page take about this much at most; a single larger one is still given. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;
/** Times a dry-run is begun again because another one took its thread along. */
const READ_TRIES = 3;
/** Slots between two checkpoints of a process. */
const CHECKPOINT_EVERY = 5000;

export type ComputeErrorCode = 'unknown-process' | 'unknown-message' | 'not-ready' | 'too-long' | 'overloaded';

export class ComputeError extends Error {
  constructor(
    readonly code: ComputeErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ComputeError';
  }
}

export interface StoredResult {
  process: string;
  nonce: number;
  messageId: string;
  result: EvaluationResult;
}

interface Live {
  env: ProcessEnv;
  module: Item;
  /** Last slot this compute has evaluated. */
  evaluated: number;
  checkpoint: number;
}

export class ComputeUnit {
  private readonly live = new Map<string, Live>();
  private readonly running = new Map<string, Promise<void>>();
  private readonly wanted = new Set<string>();
  /** Processes whose slots up to this one are evaluated one by one, since one of them took too long. */
  private readonly suspects = new Map<string, number>();
  private readonly listeners = new Set<(process: string) => void>();
  private readonly sinks: ResultSink[] = [];
  private stopping = false;

  constructor(
    private readonly database: DataSource,
    private readonly scheduler: Scheduler,
    private readonly messenger: Messenger,
    private readonly workers: WorkerPool,
    private readonly onFailure: (process: string, error: unknown) => void,
  ) {
    scheduler.onPlaced((process) => void this.advance(process));
    this.addSink(messenger);
  }

  /** Calls the sink in every transaction that stores results, after those added before; to be added before anything is evaluated. */
  addSink(sink: ResultSink): void {
    this.sinks.push(sink);
  }

  /** Calls `listener` after results of a process were stored. */
  onResults(listener: (process: string) => void): void {
    this.listeners.add(listener);
  }

  /** Goes on with every process that has slots not evaluated yet. */
  async resume(): Promise<void> {
    const rows: { id: string }[] = await this.database.query('select id from process where evaluated < nonce');
    await Promise.all(rows.map((r) => this.advance(r.id)));
  }

  /** Evaluates what a process has waiting; resolves when it has caught up with what was there. Failures are reported and tried again at the next message. */
  advance(process: string): Promise<void> {
    this.wanted.add(process);
    const running = this.running.get(process) ?? this.work(process);
    this.running.set(process, running);
    return running;
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.running.values());
    await this.workers.stop();
  }

  /** Results of a process from a slot on, in order: at most 1,000, and fewer (but one at least) when they are large. */
  async results(process: string, fromNonce: number, limit: number, descending = false): Promise<StoredResult[]> {
    const [compare, order] = descending ? ['<=', 'desc'] : ['>=', 'asc'];
    const rows: { nonce: string; message_id: string; outcome: string }[] = await this.database.query(
      `select nonce, message_id, outcome from (
         select nonce, message_id, outcome, row_number() over page as place, sum(octet_length(outcome)) over page as bytes
         from (select nonce, message_id, outcome from result where process = $1 and nonce ${compare} $2 order by nonce ${order} limit $3) as first
         window page as (order by nonce ${order})
       ) as sized where bytes <= $4 or place = 1 order by nonce ${order}`,
      [process, fromNonce, Math.min(limit, 1000), MAX_PAGE_BYTES],
    );
    return rows.map((r) => ({
      process,
      nonce: Number(r.nonce),
      messageId: r.message_id,
      result: JSON.parse(r.outcome) as EvaluationResult,
    }));
  }

  /**
   * Result of one message, evaluated first when it is not yet.
   * @throws ComputeError `unknown-process`, `unknown-message`
   */
  async result(process: string, messageId: string): Promise<StoredResult> {
    const entry = await this.scheduler.entryOf(process, messageId);
    if (!entry)
      throw new ComputeError('unknown-message', `Message ${messageId} is not scheduled in process ${process}.`);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const [found] = await this.results(process, entry.nonce, 1);
      if (found && found.nonce === entry.nonce) return found;
      await this.advance(process);
    }
    throw new ComputeError('not-ready', `Message ${messageId} could not be evaluated now: ask again.`);
  }

  /** Evaluates a message on the newest state, without effect and without a trace. @throws ComputeError */
  async dryRun(
    process: string,
    message: Omit<VmMessage, 'Module' | 'Epoch' | 'Nonce' | 'Hash-Chain' | 'Cron'>,
  ): Promise<EvaluationResult> {
    if (!(await this.scheduler.hasProcess(process)))
      throw new ComputeError('unknown-process', `There is no process ${process} here.`);
    await this.advance(process);
    const live = await this.open(process);
    const read = {
      ...message,
      Module: live.module.id,
      Epoch: 0,
      Nonce: live.evaluated,
      'Hash-Chain': '',
      Cron: false,
    };
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.workers.dryRun(process, read);
      } catch (error) {
        if (error instanceof TooManyReads) throw new ComputeError('overloaded', error.message);
        if (!(error instanceof WorkerLost)) throw error;
        if (error.fault === 'too-long')
          throw new ComputeError('too-long', `This dry-run takes too long: ${error.message}`);
        if (tries === READ_TRIES) throw new ComputeError('not-ready', 'The dry-run was interrupted: ask again.');
      }
      await this.open(process);
    }
  }

  private async work(process: string): Promise<void> {
    try {
      while (this.wanted.delete(process) && !this.stopping) {
        await this.catchUp(process).catch((error: unknown) => this.recover(process, error));
      }
    } finally {
      this.running.delete(process);
    }
  }

  /** The process is opened afresh next time: its state here may be ahead of, or behind, what is stored. */
  private async recover(process: string, error: unknown): Promise<void> {
    this.live.delete(process);
    await this.workers.close(process).catch(() => undefined);
    // Whoever lived beside a process that had its thread ended goes on at once: nothing of its own has failed.
    if (error instanceof WorkerLost && error.fault === 'other') this.wanted.add(process);
    else this.onFailure(process, error);
  }

  private async catchUp(process: string): Promise<void> {
    for (;;) {
      const live = await this.open(process);
      const limit = live.evaluated < (this.suspects.get(process) ?? -1) ? 1 : BATCH;
      const entries = await this.scheduler.entries(process, live.evaluated + 1, limit);
      if (entries.length === 0) return;
      const results = await this.evaluate(process, live, entries.slice(0, limit));
      if (results.length === 0) continue;
      await this.store(process, live, entries.slice(0, results.length), results);
      for (const listener of this.listeners) listener(process);
      void this.messenger.deliver().catch((error: unknown) => this.onFailure(process, error));
      if (live.evaluated - live.checkpoint >= CHECKPOINT_EVERY && this.workers.isOpen(process))
        await this.checkpoint(process, live);
      if (this.stopping) return;
      await this.messenger.makeRoom(process);
    }
  }

  /**
   * Results of the first of these entries. None when they took too long together: then they are taken one by one, and the one message that
   * alone takes too long fails. That is the backstop for machines that do not count their work (aos): a replica cannot know how long is too
   * long here, so it stops there and says so. On the lean Lua machine every message has ended by its own count, the same everywhere, before.
   * A worker that crashed, or was lost while the process was opened, is nobody's result: the process is tried again later.
   */
  private async evaluate(process: string, live: Live, entries: ScheduleEntry[]): Promise<EvaluationResult[]> {
    try {
      return await this.workers.handleSome(
        process,
        entries.map((e) => messageOf(e, live.env)),
      );
    } catch (error) {
      if (!(error instanceof WorkerLost) || error.fault !== 'too-long') throw error;
      if (entries.length === 1) return [failed(error.message)];
      this.suspects.set(process, live.evaluated + entries.length);
      return [];
    }
  }

  private async store(
    process: string,
    live: Live,
    entries: ScheduleEntry[],
    results: EvaluationResult[],
  ): Promise<void> {
    const last = entries.at(-1)?.nonce ?? live.evaluated;
    await this.database.transaction(async (manager) => {
      const moved: [unknown[], number] = await manager.query(
        'update process set evaluated = $3 where id = $1 and evaluated = $2 returning id',
        [process, live.evaluated, last],
      );
      if (moved[1] !== 1) throw new Error(`Another compute has gone on with process ${process}.`);
      await manager.query(
        'insert into result (process, nonce, message_id, outcome, failed) select $1, * from unnest($2::bigint[], $3::text[], $4::text[], $5::boolean[])',
        [
          process,
          entries.map((e) => e.nonce),
          entries.map((e) => e.message.id),
          results.map((r) => JSON.stringify(r)),
          results.map((r) => r.Error !== undefined),
        ],
      );
      const paired = entries.map((entry, i) => ({ entry, result: results[i] as EvaluationResult }));
      for (const sink of this.sinks) await sink.take(manager, [{ process, module: live.module.id, results: paired }]);
    });
    live.evaluated = last;
  }

  private async checkpoint(process: string, live: Live): Promise<void> {
    const image = await this.workers.snapshot(process);
    await this.database.query(
      'insert into checkpoint (process, nonce, image) values ($1, $2, $3) on conflict (process) do update set nonce = excluded.nonce, image = excluded.image where checkpoint.nonce < excluded.nonce',
      [process, live.evaluated, encodeImage(image)],
    );
    live.checkpoint = live.evaluated;
  }

  /** The process, open in a worker at the last stored slot. */
  private async open(process: string): Promise<Live> {
    const open = this.live.get(process);
    if (open && this.workers.isOpen(process)) return open;
    const rows: { item: Buffer; module: Buffer; evaluated: string }[] = await this.database.query(
      'select process.item, module.item as module, evaluated from process join module on module.id = process.module where process.id = $1',
      [process],
    );
    const row = rows[0];
    if (!row) throw new ComputeError('unknown-process', `There is no process ${process} here.`);
    const [spawn, module] = [parseItem(row.item), parseItem(row.module)];
    const live: Live = { env: environmentOf(spawn, module), module, evaluated: Number(row.evaluated), checkpoint: -1 };
    await this.restoreTo(process, live, live.evaluated);
    this.live.set(process, live);
    return live;
  }

  /** Newest checkpoint, then the slots after it; what failed when it was first evaluated had no effect and is passed over. */
  private async restoreTo(process: string, live: Live, nonce: number): Promise<void> {
    const rows: { nonce: string; image: Buffer }[] = await this.database.query(
      'select nonce, image from checkpoint where process = $1 and nonce <= $2',
      [process, nonce],
    );
    const from = rows[0];
    await this.workers.open(
      process,
      live.module.data,
      tagOf(live.module, 'Module-Format'),
      live.env,
      from ? decodeImage(from.image) : null,
    );
    live.checkpoint = from ? Number(from.nonce) : -1;
    for (let at = live.checkpoint + 1; at <= nonce;) {
      const entries = (await this.scheduler.entries(process, at, BATCH)).filter((e) => e.nonce <= nonce);
      const failures = await this.failures(process, at, at + BATCH);
      const kept = entries.filter((e) => !failures.has(e.nonce));
      await this.workers.replay(
        process,
        kept.map((e) => messageOf(e, live.env)),
      );
      at += entries.length;
      if (entries.length === 0)
        throw new Error(`The schedule of process ${process} ends before its last stored result.`);
    }
  }

  /** Slots among these whose message failed. */
  private async failures(process: string, from: number, end: number): Promise<Set<number>> {
    const rows: { nonce: string }[] = await this.database.query(
      'select nonce from result where process = $1 and nonce >= $2 and nonce < $3 and failed',
      [process, from, end],
    );
    return new Set(rows.map((r) => Number(r.nonce)));
  }
}
