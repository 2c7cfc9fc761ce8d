/**
 * Copies of processes for dry-runs, in threads of their own: the processes go on meanwhile. A copy follows its process by the messages that had
 * an effect there; when these are too many it is made anew when it is next needed. What a dry-run did is undone when its answer is out.
 */
import type { EvaluationResult, MemoryImage, ProcessEnv, VmMessage } from '../types.js';
import { ComputeThreads, type ComputeThread } from './compute-thread.js';
import type { Read } from './protocol.js';

/** More dry-runs wait than may: ask again in a moment. */
export class TooManyReads extends Error {
  constructor() {
    super('Too many dry-runs are waiting: ask again in a moment.');
    this.name = 'TooManyReads';
  }
}

/** Dry-runs under way or waiting, in all and of one process. */
const MAX_READS = 256;
const MAX_READS_OF_ONE = 64;
/** Processes a reading thread keeps a copy of. */
const MAX_COPIES = 8;
/** Messages, and bytes of theirs, a copy is behind at most: beyond that it costs less to copy the state. */
const MAX_BEHIND = 32;
const MAX_BEHIND_BYTES = 1024 * 1024;
/** A copy follows at once, rather than when it is next needed, if it was read lately and few messages came. */
const LATELY_MS = 2000;
const FEW = 4;
/** Dry-runs of a process that take this long, about, are done apart from the others; how much one counts among those before it. */
const SLOW_MS = 50;
const PACE = 0.2;

/** What is read. */
export interface Source {
  process: string;
  module: Uint8Array;
  format: string;
  env: ProcessEnv;
  counted: boolean;
  /** The state as it is when all that was asked of the process before is done. */
  snapshot(): Promise<MemoryImage>;
}

interface Copy {
  thread: ComputeThread;
  /** Whether it is open in its thread. */
  open: boolean;
  /** How much of what its process has handled it has. */
  version: number;
  /** What its process has handled beyond that; null when that is too much to follow. */
  behind: VmMessage[] | null;
  bytesBehind: number;
  /** Rejected when it could not follow: then it is no copy any more. */
  following: Promise<unknown>;
}

interface Reads {
  /** Messages its process has handled since it is read. */
  version: number;
  count: number;
  last: number;
  pace: number;
  copy: Copy | null;
  copying: Promise<void> | null;
}

export class ReadingCopies {
  private readonly counted: ComputeThreads;
  private readonly slow: ComputeThreads;
  private readonly uncounted: ComputeThreads;
  private readonly reads = new Map<string, Reads>();
  private total = 0;

  constructor(
    script: string,
    private readonly timeoutMs: number,
    private readonly readTimeoutMs: number,
  ) {
    this.counted = new ComputeThreads(1, script);
    this.slow = new ComputeThreads(1, script);
    this.uncounted = new ComputeThreads(1, script);
  }

  get threads(): number {
    return [this.counted, this.slow, this.uncounted].reduce((sum, kind) => sum + kind.all().length, 0);
  }

  /** @throws WorkerLost, TooManyReads */
  async dryRun(source: Source, message: VmMessage): Promise<EvaluationResult> {
    const reads = this.of(source.process);
    if (this.total >= MAX_READS || reads.count >= MAX_READS_OF_ONE) throw new TooManyReads();
    this.total += 1;
    reads.count += 1;
    reads.last = performance.now();
    try {
      return await this.read(source, reads, message);
    } finally {
      this.total -= 1;
      reads.count -= 1;
      if (reads.count === 0 && !reads.copy && this.reads.get(source.process) === reads)
        this.reads.delete(source.process);
    }
  }

  /** The process has handled these messages, and each had its effect. */
  follow(process: string, messages: readonly VmMessage[]): void {
    const reads = this.reads.get(process);
    if (!reads) return;
    reads.version += messages.length;
    const copy = reads.copy;
    if (!copy?.behind) return;
    copy.behind.push(...messages);
    for (const { Data } of messages) copy.bytesBehind += Data.length;
    const few = copy.behind.length <= FEW && performance.now() - reads.last < LATELY_MS;
    if (copy.behind.length > MAX_BEHIND || copy.bytesBehind > MAX_BEHIND_BYTES) copy.behind = null;
    else if (copy.open && few && copy.thread.idle) this.catchUp(process, copy);
  }

  /** The process' state is another one from now on. */
  forget(process: string): void {
    const copy = this.reads.get(process)?.copy;
    if (copy) this.drop(process, copy);
  }

  async stop(): Promise<void> {
    await Promise.all([this.counted, this.slow, this.uncounted].map((t) => t.stop()));
  }

  /** On a copy that has all the process had handled when this was asked. */
  private async read(source: Source, reads: Reads, message: VmMessage): Promise<EvaluationResult> {
    const { process } = source;
    const wanted = reads.version;
    for (;;) {
      const copy = reads.copy;
      if (copy?.open) this.catchUp(process, copy);
      if (!copy?.open || copy.version < wanted || copy.thread !== this.threadFor(source, reads)) {
        await (reads.copying ??= this.copy(source, reads).finally(() => (reads.copying = null)));
        continue;
      }
      const { following } = copy;
      const answer = copy.thread.ask({ op: 'dry-run', process, message }, this.readTimeoutMs) as Promise<Read>;
      const [followed, read] = await Promise.allSettled([following, answer]);
      if (followed.status === 'rejected' && !copy.thread.lost) continue;
      if (read.status === 'rejected') throw read.reason as Error;
      reads.pace += PACE * (read.value.milliseconds - reads.pace);
      return read.value.result;
    }
  }

  private catchUp(process: string, copy: Copy): void {
    if (!copy.behind?.length) return;
    const messages = copy.behind.splice(0);
    copy.bytesBehind = 0;
    copy.version += messages.length;
    copy.following = copy.thread.ask({ op: 'follow', process, messages }, this.timeoutMs);
    copy.following.catch(() => this.drop(process, copy));
  }

  private threadFor({ counted }: Source, { pace }: Reads): ComputeThread {
    return (counted ? (pace < SLOW_MS ? this.counted : this.slow) : this.uncounted).roomiest();
  }

  private async copy(source: Source, reads: Reads): Promise<void> {
    const { process, module, format, env } = source;
    const image = await source.snapshot();
    if (reads.copy) this.drop(process, reads.copy);
    // From here on what the process handles is not in the image.
    const thread = this.threadFor(source, reads);
    const { version } = reads;
    const copy: Copy = { thread, open: false, version, behind: [], bytesBehind: 0, following: Promise.resolve() };
    reads.copy = copy;
    thread.processes.delete(process);
    thread.processes.set(process, 0); // the newest last
    try {
      await thread.ask({ op: 'open', process, module, format, env, image }, this.timeoutMs);
    } catch (error) {
      this.drop(process, copy);
      throw error;
    }
    copy.open = reads.copy === copy;
    for (const [old] of [...thread.processes].slice(0, -MAX_COPIES)) this.forget(old);
  }

  private drop(process: string, copy: Copy): void {
    const reads = this.reads.get(process);
    if (reads?.copy === copy) reads.copy = null;
    if (reads?.count === 0) this.reads.delete(process);
    copy.open = false;
    copy.behind = null;
    if (copy.thread.lost || !copy.thread.processes.has(process)) return;
    copy.thread.leave(process);
    copy.thread.ask({ op: 'close', process }, this.timeoutMs).catch(() => undefined);
  }

  private of(process: string): Reads {
    const reads = this.reads.get(process) ?? { version: 0, count: 0, last: 0, pace: 0, copy: null, copying: null };
    this.reads.set(process, reads);
    return reads;
  }
}
