/**
 * Threads that compute. A process lives in one of them; one that hangs is ended, and only what lived there is opened again.
 * Workers always run the built code (`dist/`), since Node runs no TypeScript.
 */
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { projectRoot } from '@isthmus/store';
import type { EvaluationResult, ProcessEnv, VmMessage } from '../types.js';
import type { Ask, Response } from './protocol.js';

/** The worker of a process was ended: its processes are closed, and the request had no effect. */
export class WorkerLost extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'WorkerLost';
  }
}

/** Time one request may take before its worker is ended: far above what the instruction limit lets a message use. */
const REQUEST_TIMEOUT_MS = 60_000;

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

class Thread {
  readonly processes = new Set<string>();
  private readonly pending = new Map<number, Pending>();
  private next = 0;
  private readonly worker: Worker;
  lost = false;

  constructor(private readonly timeoutMs: number) {
    this.worker = new Worker(path.join(projectRoot(), 'dist/libs/ao/src/compute/worker.js'));
    this.worker.on('message', (response: Response) => this.settle(response));
    this.worker.on('error', (error) => this.fail(error.message));
    this.worker.on('exit', () => this.fail('The compute worker ended.'));
  }

  ask(ask: Ask): Promise<unknown> {
    if (this.lost) return Promise.reject(new WorkerLost('The compute worker ended.'));
    const id = (this.next += 1);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => void this.end(`A message took longer than ${this.timeoutMs} ms.`), this.timeoutMs);
      this.pending.set(id, { resolve, reject, timer });
      this.worker.postMessage({ ...ask, id });
    });
  }

  async end(reason: string): Promise<void> {
    this.fail(reason);
    await this.worker.terminate();
  }

  private settle(response: Response): void {
    const pending = this.pending.get(response.id);
    if (!pending) return;
    this.pending.delete(response.id);
    clearTimeout(pending.timer);
    if ('error' in response) pending.reject(new Error(response.error));
    else pending.resolve(response.value);
  }

  private fail(reason: string): void {
    this.lost = true;
    for (const { reject, timer } of this.pending.values()) {
      clearTimeout(timer);
      reject(new WorkerLost(reason));
    }
    this.pending.clear();
  }
}

export class WorkerPool {
  private readonly threads: Thread[] = [];

  /** @param size number of threads @param timeoutMs bound on one request */
  constructor(
    private readonly size: number,
    private readonly timeoutMs = REQUEST_TIMEOUT_MS,
  ) {}

  /** Opens a process, from an image of its state or from nothing. @throws Error when its module does not load */
  async open(
    process: string,
    module: Uint8Array,
    format: string,
    env: ProcessEnv,
    image: Uint8Array | null,
  ): Promise<void> {
    const thread = this.threadOf(process) ?? this.leastLoaded();
    thread.processes.add(process);
    try {
      await thread.ask({ op: 'open', process, module, format, env, image });
    } catch (error) {
      thread.processes.delete(process);
      throw error;
    }
  }

  isOpen(process: string): boolean {
    return this.threadOf(process) !== undefined;
  }

  /** Evaluates messages in order. @throws WorkerLost */
  handle(process: string, messages: VmMessage[]): Promise<EvaluationResult[]> {
    return this.ask({ op: 'handle', process, messages }) as Promise<EvaluationResult[]>;
  }

  /** Evaluates without effect. @throws WorkerLost */
  dryRun(process: string, message: VmMessage): Promise<EvaluationResult> {
    return this.ask({ op: 'dry-run', process, message }) as Promise<EvaluationResult>;
  }

  /** Image of a process' state. @throws WorkerLost */
  snapshot(process: string): Promise<Uint8Array> {
    return this.ask({ op: 'snapshot', process }) as Promise<Uint8Array>;
  }

  /** Closes a process; opening it again starts from an image or from nothing. */
  async close(process: string): Promise<void> {
    const thread = this.threadOf(process);
    if (!thread) return;
    await thread.ask({ op: 'close', process });
    thread.processes.delete(process);
  }

  async stop(): Promise<void> {
    await Promise.all(this.threads.splice(0).map((t) => t.end('The gateway is stopping.')));
  }

  private ask(ask: Ask): Promise<unknown> {
    return (
      this.threadOf(ask.process)?.ask(ask) ?? Promise.reject(new WorkerLost(`Process ${ask.process} is not open.`))
    );
  }

  private threadOf(process: string): Thread | undefined {
    return this.threads.find((t) => !t.lost && t.processes.has(process));
  }

  private leastLoaded(): Thread {
    const live = this.threads.filter((t) => !t.lost);
    this.threads.splice(0, this.threads.length, ...live);
    if (live.length < this.size) {
      const thread = new Thread(this.timeoutMs);
      this.threads.push(thread);
      return thread;
    }
    return live.reduce((a, b) => (b.processes.size < a.processes.size ? b : a));
  }
}
