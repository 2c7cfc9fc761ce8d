/**
 * One thread that computes, and the requests that wait for it. It does one thing at a time; whose process has had least of its time has the
 * next turn. Who was at work when the thread was ended is at fault, nobody who waited.
 */
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { interpretersKnown, learnInterpreter } from './interpreters.js';
import type { Ask, Compiled, Response, ThreadData } from './protocol.js';

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

export class ComputeThread {
  /** Bytes of memory each process here holds. */
  readonly processes = new Map<string, number>();
  /** Milliseconds it has worked. */
  worked = 0;
  lost = false;
  private readonly waiting = new Map<string, Job[]>();
  /** Milliseconds of work each process has had, on a clock that never falls behind: who comes after a rest has saved no time. */
  private readonly used = new Map<string, number>();
  private clock = 0;
  private running: (Job & { id: number; begun: number; timer: NodeJS.Timeout }) | null = null;
  private next = 0;
  private readonly worker: Worker;
  /** 1 while others wait: a long turn ends early then. */
  private readonly others = new Int32Array(new SharedArrayBuffer(4));

  /** @param script what the thread runs @param nice how far it stands back behind all other threads, from 0 to 19 */
  constructor(script: string, nice: number) {
    const workerData: ThreadData = { others: this.others, nice, interpreters: interpretersKnown() };
    this.worker = new Worker(script, { ...LIMITS, workerData });
    this.worker.on('message', (said: Response | Compiled) => {
      if ('interpreter' in said) learnInterpreter(said.interpreter, said.module);
      else this.settle(said);
    });
    this.worker.on('error', (error) => this.fail(error.message, 'crash'));
    this.worker.on('exit', () => this.fail('The compute worker ended.', 'crash'));
  }

  get idle(): boolean {
    return this.running === null;
  }

  /** Requests of one process are answered in order. @throws WorkerLost; Error with the worker's own reason */
  ask(ask: Ask, timeoutMs: number): Promise<unknown> {
    if (this.lost) return Promise.reject(new WorkerLost('The compute worker ended.', 'other'));
    return new Promise((resolve, reject) => {
      const jobs = this.waiting.get(ask.process);
      if (jobs) jobs.push({ ask, timeoutMs, resolve, reject });
      else {
        this.waiting.set(ask.process, [{ ask, timeoutMs, resolve, reject }]);
        if (this.running?.ask.process !== ask.process)
          this.used.set(ask.process, Math.max(this.used.get(ask.process) ?? 0, this.clock));
      }
      this.dispatch();
    });
  }

  /** Forgets a process that has left. */
  leave(process: string): void {
    this.processes.delete(process);
    if (!this.waiting.has(process)) this.used.delete(process);
  }

  async end(reason: string): Promise<void> {
    this.fail(reason, 'other');
    await this.worker.terminate();
  }

  /** One request at a time: its time runs from here. */
  private dispatch(): void {
    if (!this.running && !this.lost && this.waiting.size > 0) this.run(this.first());
    const alone =
      this.waiting.size === 0 || (this.waiting.size === 1 && this.waiting.has(this.running?.ask.process ?? ''));
    Atomics.store(this.others, 0, alone ? 0 : 1);
  }

  private run(process: string): void {
    const jobs = this.waiting.get(process) as Job[];
    const job = jobs.shift() as Job;
    if (jobs.length === 0) this.waiting.delete(process);
    const timer = setTimeout(() => {
      this.fail(`A message took longer than ${job.timeoutMs} ms.`, 'too-long');
      void this.worker.terminate();
    }, job.timeoutMs);
    this.running = { ...job, id: (this.next += 1), begun: performance.now(), timer };
    this.worker.postMessage({ ...job.ask, id: this.running.id });
  }

  /** Who waits and has had least. */
  private first(): string {
    let [least, chosen] = [Infinity, ''];
    for (const process of this.waiting.keys()) {
      const used = this.used.get(process) ?? 0;
      if (used < least) [least, chosen] = [used, process];
    }
    this.clock = Math.max(this.clock, least);
    return chosen;
  }

  private settle(response: Response): void {
    const running = this.running;
    if (running?.id !== response.id) return;
    this.running = null;
    clearTimeout(running.timer);
    const { process } = running.ask;
    const took = performance.now() - running.begun;
    this.worked += took;
    this.used.set(process, (this.used.get(process) ?? this.clock) + took);
    if (this.processes.has(process)) this.processes.set(process, response.usage);
    else if (!this.waiting.has(process)) this.used.delete(process); // it has left
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
export class ComputeThreads {
  private threads: ComputeThread[] = [];

  constructor(
    private readonly size: number,
    private readonly script: string,
    private readonly nice = 0,
  ) {}

  /** Where to put one more process: a thread of its own while there may be more, else where the fewest are. */
  roomiest(): ComputeThread {
    const threads = this.all();
    if (threads.length < this.size) {
      const thread = new ComputeThread(this.script, this.nice);
      this.threads.push(thread);
      return thread;
    }
    return threads.reduce((a, b) => (b.processes.size < a.processes.size ? b : a));
  }

  all(): readonly ComputeThread[] {
    return (this.threads = this.threads.filter((t) => !t.lost));
  }

  async stop(): Promise<void> {
    await Promise.all(this.threads.splice(0).map((t) => t.end('The gateway is stopping.')));
  }
}
