/**
 * The compute unit: evaluates each process' schedule in order and keeps every result. A result, the messages it sends, and the process'
 * progress are one transaction that only the holder of the process' newest lease can make, so two computes never both write.
 */
import type { DataSource } from 'typeorm';
import type { Messenger } from '../messenger/messenger.js';
import type { OnStep } from '../steps.js';
import type { Scheduler } from '../scheduler/scheduler.js';
import type { EvaluationResult, ScheduleEntry, VmMessage } from '../types.js';
import { CheckpointStore } from './checkpoint-store.js';
import { ComputeError, ProcessStopped } from './error.js';
import {
  HotProcesses,
  MEMORY_BUDGET_BYTES,
  type Hot,
  type HotOptions,
  type HotStatus,
  type HotTotals,
} from './hot-processes.js';
import { LeaseLost, Leases, type LeaseTimes } from './leases.js';
import { Places } from './places.js';
import type { ResultBatch, ResultSink } from './result-sink.js';
import { ResultWriter } from './result-writer.js';
import { Turns } from './turns.js';
import { TooManyReads, WorkerLost, type WorkerPool } from './worker-pool.js';

/** How much of the memory copies for dry-runs may hold. */
const COPIES_SHARE = 1 / 4;
/**
 * Processes for each thread whose next slots are read and evaluated at once. The rest wait, and more of their messages come meanwhile: each
 * question to a thread costs as much as several messages. Who takes longer than so many milliseconds keeps none from beginning.
 */
const AT_ONCE = 4;
const AT_ONCE_MS = 50;
/** Slots read and evaluated together. */
const BATCH = 200;
/** Results of one page take about this much at most; a single larger one is still given. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;
/** Times a dry-run is begun again because another one took its thread along. */
const READ_TRIES = 3;
/** A process that others wait for room beside ends its turn after this. */
const CROWDED_TURN_MS = 1000;
/** A process that could not be computed is tried again after a while, and after a longer one each time. */
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 300_000;
/** Longest anybody waits here for a slot to be computed. */
const WAIT_MS = 60_000;
/** Longest that ending takes to checkpoint what is open: who stops a gateway waits for it, and its supervisor not for long. */
const KEEP_MS = 5000;
/** Processes of which it is remembered how far they are stored. */
const MAX_STORED = 20_000;
/** Messages a process sends between two looks at how many of them are undelivered. */
const ROOM_EVERY = 500;

export interface StoredResult {
  process: string;
  nonce: number;
  messageId: string;
  result: EvaluationResult;
}

export interface ComputeOptions {
  /** Bytes of memory all open processes may hold together. */
  memoryBudget?: number | undefined;
  /** When a checkpoint is due; CHECKPOINT_EVERY unless told. */
  checkpointEvery?: HotOptions['checkpointEvery'];
  leases?: LeaseTimes;
  /** Told of durable steps. */
  onStep?: OnStep | undefined;
  /** Milliseconds in which ending checkpoints what is open; KEEP_MS unless told. */
  keepMs?: number;
  /** Told when a process goes on that could not be computed before. */
  onSound?: ((process: string) => void) | undefined;
}

/** A process that goes no further here for now, and why. */
export interface StoppedProcess {
  process: string;
  /** The slot it does not get past; null when it does not open. */
  slot: number | null;
  /** Nobody's result, and not to be seen in any. */
  reason: ProcessStopped['code'];
  since: Date;
  /** Times it was tried, and when it is next. */
  tries: number;
  next: Date;
}

/** A process that could not be computed, to be tried again. */
interface Retry {
  tries: number;
  timer: NodeJS.Timeout;
  /** When it would only stop again: then nothing but the timer begins another try. */
  stopped: StoppedProcess | null;
  waiting: boolean;
}

interface Waiter {
  nonce: number;
  resolve: (result: StoredResult | null) => void;
  reject: (error: unknown) => void;
}

/** A dry-run as it is asked for; the rest of the message says which state it sees. */
export type DryRunMessage = Omit<VmMessage, 'Module' | 'Epoch' | 'Nonce' | 'Hash-Chain' | 'Cron'>;

export class ComputeUnit {
  private readonly turns = new Turns();
  private readonly places: Places;
  private readonly hot: HotProcesses;
  private readonly leases: Leases;
  private readonly writer: ResultWriter;
  private readonly running = new Map<string, Promise<void>>();
  /** Up to which slot a process is to be evaluated; Infinity: as far as its schedule goes, which only the database knows. */
  private readonly wanted = new Map<string, number>();
  /** Processes whose slots up to this one are evaluated one by one, since one of them ended its thread. */
  private readonly suspects = new Map<string, number>();
  private readonly listeners = new Set<(process: string) => void>();
  private readonly sinks: ResultSink[] = [];
  /** Last slots that are known to be stored, of processes that went on lately: there may be later ones only where another computes. */
  private readonly stored = new Map<string, number>();
  private readonly waiters = new Map<string, Set<Waiter>>();
  private readonly retries = new Map<string, Retry>();
  private dryRuns = 0;
  private stopping = false;

  constructor(
    private readonly database: DataSource,
    private readonly scheduler: Scheduler,
    private readonly messenger: Messenger,
    private readonly workers: WorkerPool,
    private readonly onFailure: (process: string, error: unknown) => void,
    private readonly options: ComputeOptions = {},
  ) {
    this.places = new Places(AT_ONCE * workers.size, AT_ONCE_MS);
    this.leases = new Leases(
      database,
      {
        placed: (processes) => processes.forEach((process) => void this.advance(process)),
        stored: (process, evaluated) => this.announce(process, evaluated),
        lost: () => this.hot.forgetLeases(),
        failed: (error) => onFailure('', error),
        taken: () => options.onStep?.('lease.after-commit'),
      },
      options.leases,
    );
    workers.boundCopies(COPIES_SHARE * (options.memoryBudget ?? MEMORY_BUDGET_BYTES));
    const checkpoints = new CheckpointStore(database, options.onStep);
    this.hot = new HotProcesses(database, workers, checkpoints, this.turns, {
      release: (leases) => this.leases.release(leases),
      onFailure,
      budget: options.memoryBudget,
      checkpointEvery: options.checkpointEvery,
    });
    this.writer = new ResultWriter(database, this.sinks);
    scheduler.onPlaced((process, last) => void this.advance(process, last));
    this.addSink(messenger);
  }

  /** Calls the sink in every transaction that stores results, after those added before; to be added before anything is evaluated. */
  addSink(sink: ResultSink): void {
    this.sinks.push(sink);
  }

  /** Calls `listener` after results of a process were stored, by this compute or by another one on the same database. */
  onResults(listener: (process: string) => void): void {
    this.listeners.add(listener);
  }

  /** Begins to hear from other computes, and to go on with every process that has slots not evaluated yet and that no other computes. */
  async resume(): Promise<void> {
    await this.leases.start();
  }

  /**
   * Evaluates what a process has waiting, up to the slot `upTo` at least, or all of it; resolves when it has caught up with what was there, when
   * it is another compute’s to do so, or when it has given its place up for others and goes on later.
   * Failures are reported, and tried again after a while or at the next message; only after a while when the process ended its thread.
   */
  advance(process: string, upTo = Infinity): Promise<void> {
    if (this.stopping || this.halted(process)) return Promise.resolve();
    if (this.leases.watches(process)) {
      this.leases.watch(process);
      return Promise.resolve();
    }
    this.want(process, upTo);
    const running = this.running.get(process) ?? this.turns.take(process, () => this.work(process));
    this.running.set(process, running);
    return running;
  }

  /** What is open here now, in no order. */
  status(): HotStatus[] {
    return this.hot.status();
  }

  /** What goes no further for now because it ended its thread, or because no machine here runs it. */
  stopped(): StoppedProcess[] {
    return [...this.retries.values()].flatMap(({ stopped }) => stopped ?? []);
  }

  /** What this compute has done since it began. */
  totals(): HotTotals & { dryRuns: number } {
    return { ...this.hot.totals, dryRuns: this.dryRuns };
  }

  /** Ends what is under way, and keeps how far it came, so that the next run goes on from there. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const { timer } of this.retries.values()) clearTimeout(timer);
    for (const process of this.waiters.keys())
      this.refuse(process, new ComputeError('not-ready', 'The compute unit is stopping.'));
    this.hot.stop();
    await this.turns.done();
    await this.writer.stop();
    await this.hot.keep(this.options.keepMs ?? KEEP_MS);
    await this.leases.stop();
    await this.workers.stop();
  }

  /** Results of a process from a slot on, in order: at most 1,000, and fewer (but one at least) when they are large. */
  async results(process: string, fromNonce: number, limit: number, descending = false): Promise<StoredResult[]> {
    const [compare, order] = descending ? ['<=', 'desc'] : ['>=', 'asc'];
    const rows: ResultRow[] = await this.database.query(
      `select nonce, message_id, outcome from (
         select nonce, message_id, outcome, row_number() over page as place, sum(octet_length(outcome)) over page as bytes
         from (select nonce, message_id, outcome from result where process = $1 and nonce ${compare} $2 order by nonce ${order} limit $3) as first
         window page as (order by nonce ${order})
       ) as sized where bytes <= $4 or place = 1 order by nonce ${order}`,
      [process, fromNonce, Math.min(limit, 1000), MAX_PAGE_BYTES],
    );
    return rows.map((row) => readResult(process, row));
  }

  /**
   * Result of one message, by its id or its assignment's, evaluated first when it is not yet.
   * @throws ComputeError `unknown-message`, `not-ready`
   */
  async result(process: string, messageId: string): Promise<StoredResult> {
    const placed = this.scheduler.slotOf(process, messageId);
    if (placed !== null && placed > (this.stored.get(process) ?? Infinity)) {
      const fresh = await this.computed(process, placed);
      if (fresh) return fresh;
    }
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const rows: (ResultRow & { outcome: string | null })[] = await this.database.query(
        `select a.nonce, a.message_id, r.outcome from (
           select nonce, message_id from assignment where process = $1 and message_id = $2
           union all select nonce, message_id from assignment where process = $1 and id = $2 limit 1
         ) as a left join result r on r.process = $1 and r.nonce = a.nonce`,
        [process, messageId],
      );
      const row = rows[0];
      if (!row)
        throw new ComputeError('unknown-message', `Message ${messageId} is not scheduled in process ${process}.`);
      if (row.outcome !== null) return readResult(process, row);
      const fresh = await this.computed(process, Number(row.nonce));
      if (fresh) return fresh;
    }
    throw new ComputeError('not-ready', `Message ${messageId} could not be evaluated now: ask again.`);
  }

  /** Evaluates a message on the newest state, without effect and without a trace. @throws ComputeError */
  async dryRun(process: string, message: DryRunMessage): Promise<EvaluationResult> {
    const rows: { nonce: string }[] = await this.database.query('select nonce from process where id = $1', [process]);
    if (!rows[0]) throw new ComputeError('unknown-process', `There is no process ${process} here.`);
    const nonce = Number(rows[0].nonce);
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.read(await this.pin(process, nonce), message);
      } catch (error) {
        if (error instanceof TooManyReads) throw new ComputeError('overloaded', error.message);
        if (!(error instanceof WorkerLost)) throw error;
        if (error.fault === 'too-long')
          throw new ComputeError('too-long', `This dry-run takes too long: ${error.message}`);
        if (tries === READ_TRIES) throw new ComputeError('not-ready', 'The dry-run was interrupted: ask again.');
      }
    }
  }

  /** With a process that was pinned. */
  private async read(hot: Hot, message: DryRunMessage): Promise<EvaluationResult> {
    const fixed = { Module: hot.module.id, Epoch: 0, Nonce: hot.at, 'Hash-Chain': '', Cron: false };
    this.dryRuns += 1;
    try {
      await this.hot.spare(this.workers.missingCopy(hot.process));
      return await this.workers.dryRun(hot.process, { ...message, ...fixed });
    } finally {
      hot.reads -= 1;
      // Copies are the first to go: they are made again sooner than a process is opened.
      if (hot.reads === 0 && this.hot.overfull) this.workers.forgetCopy(hot.process);
      this.hot.leave();
    }
  }

  /**
   * The process, open at this slot or a later one, not to be closed until it is let go. One that another compute has gone on with is brought
   * along from what that has stored.
   */
  private async pin(process: string, nonce: number): Promise<Hot> {
    const pinned = (hot: Hot | null): Hot | null => {
      if (!hot || hot.at < nonce) return null;
      hot.reads += 1;
      hot.lastUsed = Date.now();
      return hot;
    };
    const open = pinned(this.hot.get(process));
    if (open) return open;
    const halted = this.halted(process);
    if (halted) throw haltedError(halted);
    await this.computed(process, nonce);
    const ready = pinned(this.hot.get(process));
    if (ready) return ready;
    return this.turns.take(process, async () => {
      try {
        const hot = this.hot.get(process) ?? (await this.hot.open(process));
        await this.hot.bring(hot, await this.evaluated(process));
        return pinned(hot) ?? Promise.reject(new ComputeError('not-ready', 'The process is behind: ask again.'));
      } catch (error) {
        await this.hot.close(process);
        throw error;
      }
    });
  }

  /** Last slot of a process whose result is stored; -1 before the first. */
  private async evaluated(process: string): Promise<number> {
    const rows: { evaluated: string }[] = await this.database.query(
      'select evaluated from progress where process = $1',
      [process],
    );
    return Number(rows[0]?.evaluated ?? -1);
  }

  /** Resolves when the result of a slot is stored, whoever computes it: with that result if it has just come. @throws ComputeError `not-ready` */
  private async computed(process: string, nonce: number): Promise<StoredResult | null> {
    if ((this.stored.get(process) ?? (await this.evaluated(process))) >= nonce) return null;
    if (this.stopping) throw new ComputeError('not-ready', 'The compute unit is stopping.');
    const halted = this.halted(process);
    if (halted) throw haltedError(halted);
    return new Promise((resolve, reject) => {
      const waiters = this.waiters.get(process) ?? new Set();
      this.waiters.set(process, waiters);
      const late = (): void =>
        waiter.reject(new ComputeError('not-ready', 'The evaluation is still under way: ask again.'));
      const timer = setTimeout(late, WAIT_MS);
      const leave = (): void => {
        clearTimeout(timer);
        waiters.delete(waiter);
        if (waiters.size === 0 && this.waiters.get(process) === waiters) this.waiters.delete(process);
      };
      const waiter: Waiter = {
        nonce,
        resolve: (result) => (leave(), resolve(result)),
        reject: (error) => (leave(), reject(error as Error)),
      };
      waiters.add(waiter);
      void this.advance(process, nonce);
    });
  }

  /** @param results those of the last slots, where they are at hand */
  private announce(process: string, evaluated: number, results: ResultBatch['results'] = []): void {
    for (const listener of this.listeners) listener(process);
    this.reached(process, evaluated, results);
  }

  /** Results up to this slot are stored: who waits for them need not any more. */
  private reached(process: string, evaluated: number, results: ResultBatch['results'] = []): void {
    this.stored.delete(process);
    this.stored.set(process, evaluated);
    if (this.stored.size > MAX_STORED) this.stored.delete(this.stored.keys().next().value as string);
    for (const waiter of this.waiters.get(process) ?? [])
      if (waiter.nonce <= evaluated) waiter.resolve(resultAt(results, waiter.nonce));
  }

  private refuse(process: string, error: unknown): void {
    for (const waiter of this.waiters.get(process) ?? []) waiter.reject(error);
  }

  private async work(process: string): Promise<void> {
    try {
      while (this.wanted.has(process) && !this.stopping && !this.halted(process)) {
        const rest = await this.catchUp(process).catch((error: unknown) => this.recover(process, error));
        if (rest !== 'yielded') continue;
        this.want(process, Infinity);
        break;
      }
    } finally {
      this.running.delete(process);
      // Only when this turn is over may others close what it has opened.
      setImmediate(() => this.ended(process));
    }
  }

  private want(process: string, upTo: number): void {
    this.wanted.set(process, Math.max(upTo, this.wanted.get(process) ?? upTo));
  }

  /** What is wanted now, once: -1 for nothing. */
  private takeWanted(process: string): number {
    const upTo = this.wanted.get(process) ?? -1;
    this.wanted.delete(process);
    return upTo;
  }

  private ended(process: string): void {
    this.hot.leave();
    if (this.stopping) return;
    void this.hot.trim();
    // Whoever waits for room takes this one's before it goes on.
    if (this.wanted.has(process)) setImmediate(() => void this.advance(process));
  }

  /** The process is opened afresh next time: its state here may be ahead of, or behind, what is stored. */
  private async recover(process: string, error: unknown): Promise<void> {
    await this.hot.close(process);
    // Whoever lived beside a process that had its thread ended goes on at once: nothing of its own has failed. Nor has it when another
    // compute has gone on: that is seen when the lease is asked for again.
    if (error instanceof LeaseLost || (error instanceof WorkerLost && error.fault === 'other')) {
      this.want(process, Infinity);
      return;
    }
    if (this.stopping) return;
    const reason = error instanceof WorkerLost ? stoppedBy(process, null, error) : error;
    if (!(reason instanceof ComputeError)) this.retryLater(process, reason);
    // That no machine runs it stays so until there is another release: it is said once.
    if (!isUnknownFormat(reason) || this.retries.get(process)?.tries === 1) this.onFailure(process, reason);
    const halted = this.halted(process);
    const again = new ComputeError('not-ready', `Process ${process} could not be evaluated now: ask again.`);
    this.refuse(process, halted ? haltedError(halted) : again);
  }

  private retryLater(process: string, error: unknown): void {
    const before = this.retries.get(process);
    clearTimeout(before?.timer);
    const tries = (before?.tries ?? 0) + 1;
    const wait = isUnknownFormat(error)
      ? LONGEST_RETRY_MS
      : Math.min(FIRST_RETRY_MS * 2 ** (tries - 1), LONGEST_RETRY_MS);
    const timer = setTimeout(() => {
      retry.waiting = false;
      void this.advance(process);
    }, wait).unref();
    const times = { since: before?.stopped?.since ?? new Date(), tries, next: new Date(Date.now() + wait) };
    const stopped =
      error instanceof ProcessStopped ? { process, slot: error.slot, reason: error.code, ...times } : null;
    const retry: Retry = { tries, timer, stopped, waiting: true };
    this.retries.set(process, retry);
  }

  /** Why a process is not to be evaluated before its next try. */
  private halted(process: string): StoppedProcess | null {
    const retry = this.retries.get(process);
    return retry?.waiting ? retry.stopped : null;
  }

  /** Evaluates until nothing waits, or until others have waited long enough for the room this process takes. */
  private async catchUp(process: string): Promise<'done' | 'yielded'> {
    const begun = Date.now();
    let storing: Promise<void> = Promise.resolve();
    let hot: Hot | null = null;
    let upTo = -1;
    try {
      for (;;) {
        upTo = Math.max(upTo, this.takeWanted(process));
        if (hot === null || this.hot.get(process) !== hot) {
          await storing;
          hot = await this.ready(process);
          if (hot === null) break;
        }
        if (hot.at >= upTo) break;
        const before = hot.at;
        const next = await this.evaluateNext(hot);
        if (next === null) break;
        const { entries, results } = next;
        if (results.length === 0) continue;
        // The next slots are evaluated while these are stored.
        await storing;
        storing = this.store(hot, before, entries.slice(0, results.length), results);
        storing.catch(() => undefined); // met where it is awaited
        await this.hot.checkpointBehind(hot, storing);
        await this.makeRoom(hot, results);
        if (this.stopping) break;
        if (this.hot.crowded && Date.now() - begun > CROWDED_TURN_MS) return 'yielded';
      }
    } finally {
      await storing;
    }
    if (hot === null) this.leases.watch(process);
    this.sound(process, hot?.at ?? Infinity); // what another computes is no concern of this one
    return 'done';
  }

  /** The process has come to this slot. */
  private sound(process: string, at: number): void {
    const before = this.retries.get(process);
    if (!before || at < (before.stopped?.slot ?? -1)) return;
    clearTimeout(before.timer);
    this.retries.delete(process);
    this.options.onSound?.(process);
  }

  private batchAt(hot: Hot): number {
    const suspect = this.suspects.get(hot.process);
    if (suspect === undefined) return BATCH;
    if (hot.at < suspect) return 1;
    this.suspects.delete(hot.process);
    return BATCH;
  }

  private async store(hot: Hot, before: number, entries: ScheduleEntry[], results: EvaluationResult[]): Promise<void> {
    const { process, lease, module } = hot;
    if (!lease) throw new LeaseLost(process);
    const paired = entries.map((entry, i) => ({ entry, result: results[i] as EvaluationResult }));
    const batch = { process, module: module.id, results: paired };
    await this.writer.store(lease, before, batch);
    const evaluated = before + results.length;
    this.sound(process, evaluated);
    this.announce(process, evaluated, paired);
    this.leases.announceStored(process, evaluated);
    void this.messenger.deliverFrom(batch).catch((error: unknown) => this.onFailure(process, error));
  }

  /** A process that sends faster than is delivered waits for itself. */
  private async makeRoom(hot: Hot, results: readonly EvaluationResult[]): Promise<void> {
    hot.sent += results.reduce((sum, r) => sum + sentBy(r), 0);
    if (hot.sent < ROOM_EVERY) return;
    hot.sent = 0;
    await this.messenger.makeRoom(hot.process);
  }

  /** The process, leased and open after the last slot that is stored; null when it is another compute's. */
  private async ready(process: string): Promise<Hot | null> {
    const open = this.hot.get(process);
    if (open?.lease) return open;
    const lease = await this.leases.acquire(process);
    if (!lease) return null;
    // A state ahead of what is stored is of slots that another has evaluated since, perhaps with another outcome.
    if (open && open.at > lease.evaluated) await this.hot.close(process);
    const hot = this.hot.get(process) ?? (await this.hot.open(process));
    hot.lease = lease;
    await this.hot.bring(hot, lease.evaluated);
    this.reached(process, lease.evaluated); // another compute may have stored what somebody here waits for
    return hot;
  }

  /** The next entries, as many as are read at once, and the results of the first of them; null when there are none. */
  private evaluateNext(hot: Hot): Promise<{ entries: ScheduleEntry[]; results: EvaluationResult[] } | null> {
    return this.places.in(async () => {
      const entries = await this.scheduler.following(hot.process, hot.at + 1, this.batchAt(hot));
      return entries.length === 0 ? null : { entries, results: await this.evaluate(hot, entries) };
    });
  }

  /**
   * Results of the first of these entries. None when they ended their thread together: then they are taken one by one, and the one message
   * that does so alone stops the process. How long is too long depends on the host, and so does what crashes: neither is ever a result, which
   * must be the same everywhere. Every machine counts its work, and a message has ended by its own count long before.
   * @throws ProcessStopped; WorkerLost when it was somebody else
   */
  private async evaluate(hot: Hot, entries: ScheduleEntry[]): Promise<EvaluationResult[]> {
    const { process, at } = hot;
    try {
      return await this.hot.handle(hot, entries.slice(0, this.batchAt(hot)));
    } catch (error) {
      if (!(error instanceof WorkerLost) || error.fault === 'other') throw error;
      this.suspects.set(process, at + entries.length);
      if (entries.length === 1) throw stoppedBy(process, at + 1, error);
      return [];
    }
  }
}

/** What a process that ended its own thread is told of. */
function stoppedBy(process: string, slot: number | null, { fault, message }: WorkerLost): ProcessStopped {
  return new ProcessStopped(process, slot, fault === 'crash' ? 'crash' : 'too-long', message);
}

const isUnknownFormat = (error: unknown): boolean => error instanceof ProcessStopped && error.code === 'unknown-format';

function haltedError({ process, slot, reason, next }: StoppedProcess): ComputeError {
  if (reason === 'unknown-format')
    return new ComputeError('stopped', `No machine of this gateway runs the module of process ${process}.`);
  const where = slot === null ? 'while it was opened' : `at slot ${slot}`;
  const again = `it is tried again at ${next.toISOString()}.`;
  return new ComputeError('stopped', `Process ${process} ended its compute thread ${where}: ${again}`);
}

/** One of the results that were stored together. */
function resultAt(results: ResultBatch['results'], slot: number): StoredResult | null {
  const found = results[slot - (results[0]?.entry.nonce ?? 0)];
  if (!found) return null;
  const { process, nonce, message } = found.entry;
  return { process, nonce, messageId: message.id, result: found.result };
}

interface ResultRow {
  nonce: string;
  message_id: string;
  outcome: string;
}

const readResult = (process: string, row: ResultRow): StoredResult => ({
  process,
  nonce: Number(row.nonce),
  messageId: row.message_id,
  result: JSON.parse(row.outcome) as EvaluationResult,
});

/** How much a result gives the messenger to do. */
const sentBy = ({ Messages, Spawns, Assignments }: EvaluationResult): number =>
  Messages.length + Spawns.length + Assignments.length;
