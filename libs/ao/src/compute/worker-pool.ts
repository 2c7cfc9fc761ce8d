/**
 * Threads that compute. A process lives in one of them; one that hangs is ended, and what lived there is opened again. A thread does one
 * thing at a time and each process has its turn; who was at work when a thread was ended is at fault, nobody who waited.
 * Workers always run the built code (`dist/`), since Node runs no TypeScript.
 */
import path from 'node:path';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { projectRoot } from '@isthmus/store';
import type { EvaluationResult, MemoryChange, MemoryImage, ProcessEnv, VmMessage } from '../types.js';
import { machineFor } from './machines.js';
import { PackedEntries } from './packed.js';
import type { Ask, Handled, Replayed, Response } from './protocol.js';

/** Who ended a worker: this very request by taking too long or by crashing it, or somebody else. */
export type Fault = 'too-long' | 'crash' | 'other';

/** The worker of a process was ended: its processes are closed, and the request had no effect. */
export class WorkerLost extends Error {
  constructor(
    reason: string,
    readonly fault: Fault,
  ) {
    super(reason);
    this.name = 'WorkerLost';
  }
}

/** More dry-runs wait than may: ask again in a moment. */
export class TooManyReads extends Error {
  constructor() {
    super('Too many dry-runs are waiting: ask again in a moment.');
    this.name = 'TooManyReads';
  }
}

/**
 * Time one request may take before its worker is ended. Whatever counts its own work (the lean Lua machine) has ended in an Error at the
 * same step everywhere long before; only machines that do not (aos) ever meet this, and only among themselves.
 */
const REQUEST_TIMEOUT_MS = 60_000;
/** Time a dry-run may take. */
const READ_TIMEOUT_MS = 5000;
/** Dry-runs under way or waiting, in all and of one process. */
const MAX_READS = 256;
const MAX_READS_OF_ONE = 64;
/** Packed entries given to a thread at once: enough to keep it at work, and soon another's turn. */
const PIECE_BYTES = 256 * 1024;
/** Processes a reading thread keeps a copy of. */
const MAX_COPIES = 8;

/**
 * A thread knows nothing of its process' environment (secrets are in it), and has room for the deepest stack that the machines count to.
 * Its heap holds what one message gives as objects, many times over; what processes hold is in their machines' memories, beside it.
 */
const LIMITS: WorkerOptions = { env: {}, resourceLimits: { stackSizeMb: 64, maxOldGenerationSizeMb: 2048 } };

interface Job {
  ask: Ask;
  timeoutMs: number;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

class Thread {
  /** Bytes of memory each holds. */
  readonly processes = new Map<string, number>();
  /** By process, whose turn is next first. */
  private readonly waiting = new Map<string, Job[]>();
  private running: (Job & { id: number; timer: NodeJS.Timeout }) | null = null;
  private next = 0;
  private readonly worker: Worker;
  lost = false;

  constructor(script: string) {
    this.worker = new Worker(script, LIMITS);
    this.worker.on('message', (response: Response) => this.settle(response));
    this.worker.on('error', (error) => this.fail(error.message, 'crash'));
    this.worker.on('exit', () => this.fail('The compute worker ended.', 'crash'));
  }

  ask(ask: Ask, timeoutMs: number): Promise<unknown> {
    if (this.lost) return Promise.reject(new WorkerLost('The compute worker ended.', 'other'));
    return new Promise((resolve, reject) => {
      const jobs = this.waiting.get(ask.process) ?? [];
      jobs.push({ ask, timeoutMs, resolve, reject });
      this.waiting.set(ask.process, jobs);
      this.dispatch();
    });
  }

  async end(reason: string): Promise<void> {
    this.fail(reason, 'other');
    await this.worker.terminate();
  }

  /** One request at a time: its time runs from here. */
  private dispatch(): void {
    const [first] = this.waiting;
    if (this.running || this.lost || !first) return;
    const [process, jobs] = first;
    const job = jobs.shift() as Job;
    this.waiting.delete(process);
    if (jobs.length > 0) this.waiting.set(process, jobs); // behind the others
    const timer = setTimeout(() => {
      this.fail(`A message took longer than ${job.timeoutMs} ms.`, 'too-long');
      void this.worker.terminate();
    }, job.timeoutMs);
    this.running = { ...job, id: (this.next += 1), timer };
    this.worker.postMessage({ ...job.ask, id: this.running.id });
  }

  private settle(response: Response): void {
    const running = this.running;
    if (running?.id !== response.id) return;
    this.running = null;
    clearTimeout(running.timer);
    if (this.processes.has(running.ask.process)) this.processes.set(running.ask.process, response.usage);
    if ('error' in response) running.reject(new Error(response.error));
    else running.resolve(response.value);
    this.dispatch();
  }

  private fail(reason: string, fault: Fault): void {
    this.lost = true;
    const { running } = this;
    this.running = null;
    if (running) {
      clearTimeout(running.timer);
      running.reject(new WorkerLost(reason, fault));
    }
    for (const job of [...this.waiting.values()].flat())
      job.reject(new WorkerLost(`Another process ended the worker: ${reason}`, 'other'));
    this.waiting.clear();
  }
}

/** Threads of one kind, begun when they are needed. */
class Threads {
  private threads: Thread[] = [];

  constructor(
    private readonly size: number,
    private readonly script: string,
  ) {}

  of(process: string): Thread | undefined {
    return this.threads.find((t) => !t.lost && t.processes.has(process));
  }

  leastLoaded(): Thread {
    this.threads = this.threads.filter((t) => !t.lost);
    if (this.threads.length < this.size) {
      const thread = new Thread(this.script);
      this.threads.push(thread);
      return thread;
    }
    return this.threads.reduce((a, b) => (b.processes.size < a.processes.size ? b : a));
  }

  get running(): number {
    return this.threads.filter((t) => !t.lost).length;
  }

  async stop(): Promise<void> {
    await Promise.all(this.threads.splice(0).map((t) => t.end('The gateway is stopping.')));
  }
}

/** A process and where its state stands. */
interface Opened {
  module: Uint8Array;
  format: string;
  env: ProcessEnv;
  counted: boolean;
  /** Grows with whatever may change the state. */
  version: number;
  /** Milliseconds of work it has had. */
  spent: number;
  reads: number;
  /** Copy for dry-runs: in which thread, as of which version. */
  copy: { thread: Thread; version: number } | null;
  copying: Promise<void> | null;
}

export class WorkerPool {
  /** What counts its work and what does not live apart, and so do dry-runs: each can only hold up its like. */
  private readonly counted: Threads;
  private readonly uncounted: Threads;
  private readonly countedReads: Threads;
  private readonly uncountedReads: Threads;
  private readonly opened = new Map<string, Opened>();
  private reads = 0;

  /**
   * @param size number of threads of each kind @param timeoutMs bound on one request @param readTimeoutMs bound on one dry-run
   * @param script what a thread runs: answers `Request`s with `Response`s
   */
  constructor(
    size: number,
    private readonly timeoutMs = REQUEST_TIMEOUT_MS,
    private readonly readTimeoutMs = READ_TIMEOUT_MS,
    script = path.join(projectRoot(), 'dist/libs/ao/src/compute/worker.js'),
  ) {
    this.counted = new Threads(size, script);
    this.uncounted = new Threads(size, script);
    this.countedReads = new Threads(1, script);
    this.uncountedReads = new Threads(1, script);
  }

  /** Opens a process, from an image of its state or from nothing. @throws WorkerLost; Error when its module does not load */
  async open(
    process: string,
    module: Uint8Array,
    format: string,
    env: ProcessEnv,
    image: MemoryImage | null,
  ): Promise<void> {
    const counted = machineFor(format)?.counted ?? false;
    const thread = this.threadOf(process) ?? (counted ? this.counted : this.uncounted).leastLoaded();
    thread.processes.set(process, 0);
    try {
      await thread.ask({ op: 'open', process, module, format, env, image }, this.timeoutMs);
    } catch (error) {
      thread.processes.delete(process);
      throw error;
    }
    const before = this.opened.get(process) ?? { version: 0, spent: 0, reads: 0, copying: null };
    this.opened.set(
      process,
      Object.assign(before, { module, format, env, counted, version: before.version + 1, copy: null }),
    );
  }

  isOpen(process: string): boolean {
    return this.threadOf(process) !== undefined;
  }

  /** Evaluates all these messages in order. @throws WorkerLost */
  async handle(process: string, messages: VmMessage[]): Promise<EvaluationResult[]> {
    const results: EvaluationResult[] = [];
    while (results.length < messages.length)
      results.push(...(await this.handleSome(process, messages.slice(results.length))));
    return results;
  }

  /** Evaluates the first of these messages, at least one, as far as their results stay within about 32 MiB and a second. @throws WorkerLost */
  async handleSome(process: string, messages: VmMessage[]): Promise<EvaluationResult[]> {
    if (messages.length === 0) return [];
    return (await this.turn<Handled>({ op: 'handle', process, messages })).results;
  }

  /** Evaluates all these packed entries (see `PackedEntries`), whose results are known. @throws WorkerLost */
  async replay(process: string, entries: Buffer): Promise<void> {
    for (let at = 0; at < entries.length;) {
      const piece = new Uint8Array(entries.subarray(at, PackedEntries.end(entries, at, PIECE_BYTES)));
      at += (await this.turn<Replayed>({ op: 'replay', process, entries: piece })).bytes;
    }
  }

  /**
   * Evaluates without effect, in a thread of its own kind, on a copy of the newest state: the process goes on meanwhile.
   * @throws WorkerLost, TooManyReads
   */
  async dryRun(process: string, message: VmMessage): Promise<EvaluationResult> {
    const opened = this.opened.get(process);
    if (!opened || !this.isOpen(process)) throw new WorkerLost(`Process ${process} is not open.`, 'other');
    if (this.reads >= MAX_READS || opened.reads >= MAX_READS_OF_ONE) throw new TooManyReads();
    this.reads += 1;
    opened.reads += 1;
    try {
      let thread = await this.reader(process, opened);
      // Other copies may have taken its place in the same breath.
      while (!thread.processes.has(process)) thread = await this.reader(process, opened);
      const ask: Ask = { op: 'dry-run', process, message };
      return (await thread.ask(ask, this.readTimeoutMs)) as EvaluationResult;
    } finally {
      this.reads -= 1;
      opened.reads -= 1;
    }
  }

  /** Image of a process' state. @throws WorkerLost */
  snapshot(process: string): Promise<MemoryImage> {
    return this.ask({ op: 'snapshot', process }) as Promise<MemoryImage>;
  }

  /**
   * What has changed since the process was opened or this was last asked; everything, the first time, when it was opened from nothing.
   * Each change is given once: who loses one opens the process again. @throws WorkerLost
   */
  checkpoint(process: string): Promise<MemoryChange> {
    return this.ask({ op: 'checkpoint', process }) as Promise<MemoryChange>;
  }

  /** Bytes of memory that each open process holds, about, as of its last request; copies for dry-runs are not counted. */
  usage(): ReadonlyMap<string, number> {
    const usage = new Map<string, number>();
    for (const process of this.opened.keys()) {
      const bytes = this.threadOf(process)?.processes.get(process);
      if (bytes !== undefined) usage.set(process, bytes);
    }
    return usage;
  }

  /** Milliseconds that evaluating an open process' messages has taken its thread so far; waiting and dry-runs are not counted. */
  spent(process: string): number {
    return this.opened.get(process)?.spent ?? 0;
  }

  /** Threads that run now: of machines that count their work, of those that do not, and for dry-runs. */
  threads(): Record<'counted' | 'uncounted' | 'reading', number> {
    return {
      counted: this.counted.running,
      uncounted: this.uncounted.running,
      reading: this.countedReads.running + this.uncountedReads.running,
    };
  }

  /** Closes a process; opening it again starts from an image or from nothing. */
  async close(process: string): Promise<void> {
    const thread = this.threadOf(process);
    this.opened.delete(process);
    if (!thread) return;
    await thread.ask({ op: 'close', process }, this.timeoutMs);
    thread.processes.delete(process);
  }

  async stop(): Promise<void> {
    await Promise.all([this.counted, this.uncounted, this.countedReads, this.uncountedReads].map((t) => t.stop()));
  }

  private async turn<T extends { milliseconds: number }>(ask: Ask): Promise<T> {
    const opened = this.opened.get(ask.process);
    try {
      const done = (await this.ask(ask)) as T;
      if (opened) opened.spent += done.milliseconds;
      return done;
    } finally {
      if (opened) opened.version += 1;
    }
  }

  /** The thread with a copy of the process as it is now or newer. */
  private async reader(process: string, opened: Opened): Promise<Thread> {
    const threads = opened.counted ? this.countedReads : this.uncountedReads;
    const wanted = opened.version;
    for (;;) {
      const thread = threads.leastLoaded();
      if (opened.copy?.thread === thread && opened.copy.version >= wanted) return thread;
      await (opened.copying ??= this.copy(process, opened, thread).finally(() => (opened.copying = null)));
    }
  }

  private async copy(process: string, opened: Opened, thread: Thread): Promise<void> {
    const { module, format, env, version } = opened;
    const image = await this.snapshot(process);
    thread.processes.delete(process); // nobody closes it while it is opened
    await thread.ask({ op: 'open', process, module, format, env, image }, this.timeoutMs);
    opened.copy = { thread, version };
    thread.processes.set(process, 0); // the newest last
    while (thread.processes.size > MAX_COPIES) {
      const [old] = thread.processes.keys();
      if (old === undefined) return;
      thread.processes.delete(old);
      const other = this.opened.get(old);
      if (other) other.copy = null;
      await thread.ask({ op: 'close', process: old }, this.timeoutMs);
    }
  }

  private ask(ask: Ask): Promise<unknown> {
    return (
      this.threadOf(ask.process)?.ask(ask, this.timeoutMs) ??
      Promise.reject(new WorkerLost(`Process ${ask.process} is not open.`, 'other'))
    );
  }

  private threadOf(process: string): Thread | undefined {
    return this.counted.of(process) ?? this.uncounted.of(process);
  }
}
