/**
 * Signatures are checked in threads of their own, so that nobody who sends many, or large ones, holds up everybody else. Items that come
 * while a thread is at work go to it together. Threads begin when there is something to check and end when there has been nothing for a while.
 */
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { projectRoot } from '@isthmus/store';
import type { Item } from '../types.js';
import type { VerifyBatch } from './verify-worker.js';

/** One core is left to whoever sends the items here. More threads than this outrun everything behind them. */
const THREADS = Math.max(1, Math.min(4, availableParallelism() - 1));
/** Most items of one message to a thread (some 8 ms of its time), and about how many bytes. */
const MAX_BATCH = 32;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** Batches a thread has at once: one to work on, one so that it need not wait for the next. */
const MAX_UNDER_WAY = 2;
/** A thread ends after so long without work. */
const IDLE_MS = 10_000;
/** Times an item is given to another thread because its own ended. */
const MAX_TRIES = 3;

interface Job {
  raw: Buffer;
  tries: number;
  resolve: (good: boolean) => void;
  reject: (error: Error) => void;
}

/** Threads that check signatures. `script` answers `VerifyBatch`es in order. */
export class Verifier {
  private readonly waiting: Job[] = [];
  private readonly threads = new Set<Thread>();

  constructor(
    private readonly size = THREADS,
    private readonly script = path.join(projectRoot(), 'dist/libs/ao/src/items/verify-worker.js'),
  ) {}

  /** Whether these bytes are an item signed by its owner. Rejects only when no thread stays alive for it. */
  verify(raw: Buffer): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ raw, tries: 0, resolve, reject });
      // Whoever else comes in this turn of the event loop goes along: waking a thread costs as much as a third of a check.
      if (this.waiting.length === 1) setImmediate(() => this.dispatch());
    });
  }

  private dispatch(): void {
    while (this.waiting.length > 0) {
      const thread = this.freest();
      if (!thread) return;
      thread.send(this.nextBatch());
    }
  }

  /** The thread with the least to do; another is begun before one has a second batch. Null when all have enough. */
  private freest(): Thread | null {
    let least: Thread | null = null;
    for (const thread of this.threads) if (!least || thread.underWay < least.underWay) least = thread;
    if ((!least || least.underWay > 0) && this.threads.size < this.size) return this.begin();
    return least && least.underWay < MAX_UNDER_WAY ? least : null;
  }

  private begin(): Thread {
    const thread: Thread = new Thread(
      this.script,
      () => this.dispatch(),
      (unanswered, reason) => {
        this.threads.delete(thread);
        this.takeBack(unanswered, reason);
      },
    );
    this.threads.add(thread);
    return thread;
  }

  private nextBatch(): Job[] {
    let [count, bytes] = [0, 0];
    for (const { raw } of this.waiting) {
      if (count > 0 && (count === MAX_BATCH || bytes + raw.length > MAX_BATCH_BYTES)) break;
      count += 1;
      bytes += raw.length;
    }
    return this.waiting.splice(0, count);
  }

  /** What a thread that ended left unanswered goes to another, a few times. */
  private takeBack(jobs: readonly Job[], reason: string): void {
    for (const job of jobs) {
      job.tries += 1;
      if (job.tries < MAX_TRIES) this.waiting.push(job);
      else job.reject(new Error(`Signatures cannot be checked: ${reason}`));
    }
    this.dispatch();
  }
}

class Thread {
  private readonly worker: Worker;
  private readonly batches: Job[][] = [];
  private idle: NodeJS.Timeout | undefined;
  private ended = false;

  constructor(
    script: string,
    private readonly onRoom: () => void,
    private readonly onEnd: (unanswered: Job[], reason: string) => void,
  ) {
    this.worker = new Worker(script);
    this.worker.on('message', (good: boolean[]) => this.settle(good));
    this.worker.on('error', (error) => this.end(error.message));
    this.worker.on('exit', () => this.end('the thread ended'));
  }

  get underWay(): number {
    return this.batches.length;
  }

  send(jobs: Job[]): void {
    clearTimeout(this.idle);
    this.worker.ref();
    this.batches.push(jobs);
    // One piece of memory that is handed over: an item may be a view into a much larger one.
    const bytes = new Uint8Array(jobs.reduce((sum, { raw }) => sum + raw.length, 0));
    let at = 0;
    for (const { raw } of jobs) {
      bytes.set(raw, at);
      at += raw.length;
    }
    const batch: VerifyBatch = { bytes, lengths: jobs.map(({ raw }) => raw.length) };
    this.worker.postMessage(batch, [bytes.buffer]);
  }

  private settle(good: boolean[]): void {
    for (const [i, job] of (this.batches.shift() ?? []).entries()) job.resolve(good[i] === true);
    this.onRoom();
    if (this.batches.length > 0) return;
    this.worker.unref(); // it keeps nobody alive who has nothing to check
    this.idle = setTimeout(() => void this.worker.terminate(), IDLE_MS).unref();
  }

  private end(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.idle);
    this.onEnd(this.batches.flat(), reason);
  }
}

const verifier = new Verifier();

/** Whether the item was signed by its owner over exactly these contents. */
export function verifyItem(item: Pick<Item, 'raw'>): Promise<boolean> {
  return verifier.verify(item.raw);
}
