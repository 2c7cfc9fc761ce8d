/**
 * Copies of processes for dry-runs, in threads of their own: the processes go on meanwhile. A copy follows its process by the messages that had
 * an effect there; when these are too many it is made anew when it is next needed. What a dry-run did is undone when its answer is out. All copies
 * together, and images on their way to become some, hold so many bytes at most: the least recently read make room.
 */
import type { EvaluationResult, MemoryImage, ProcessEnv, VmMessage } from '../types.js';
import { ComputeThreads, WorkerLost, type ComputeThread } from './compute-thread.js';
import type { Read } from './protocol.js';
import { Suspects } from './suspects.js';

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
/** Bytes of memory all copies hold together, unless told. */
const COPY_BYTES = 512 * 1024 * 1024;
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
  yields: boolean;
  /** Bytes of memory it holds: its copy will hold about as many. */
  bytes(): number;
  /** The state as it is when all that was asked of the process before is done. */
  snapshot(): Promise<MemoryImage>;
}

interface Copy {
  thread: ComputeThread;
  /** What it counts for until its thread says how much it holds. */
  expected: number;
  /** Whether it is open in its thread. */
  open: boolean;
  /** Whether it was read: one that is made for a dry-run serves it before it makes room, or all would make copies and none would read. */
  used: boolean;
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
  private readonly quick: ComputeThreads;
  private readonly slow: ComputeThreads;
  private readonly unyielding: ComputeThreads;
  private readonly reads = new Map<string, Reads>();
  /** Bytes all copies may hold together; a single one may be larger. */
  mostBytes = COPY_BYTES;
  private readonly suspects = new Suspects();
  private total = 0;
  /** Who waits for room, which comes when a copy is made or gone. */
  private waiting: (() => void)[] = [];
  /** Bytes of copies that are being made, and of those that are being closed. */
  private making = 0;
  private closing = 0;

  constructor(
    script: string,
    private readonly timeoutMs: number,
    private readonly readTimeoutMs: number,
  ) {
    this.quick = new ComputeThreads(1, script);
    this.slow = new ComputeThreads(1, script);
    this.unyielding = new ComputeThreads(1, script);
  }

  get threads(): number {
    return [this.quick, this.slow, this.unyielding].reduce((sum, kind) => sum + kind.all().length, 0);
  }

  /** Bytes of memory that the copy of a process holds, about. */
  bytesOf(process: string): number {
    const copy = this.reads.get(process)?.copy;
    return copy ? heldBy(process, copy) : 0;
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
      this.wake();
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
    await Promise.all([this.quick, this.slow, this.unyielding].map((t) => t.stop()));
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
      copy.used = true;
      this.wake();
      const [followed, read] = await Promise.allSettled([following, answer]);
      if (followed.status === 'rejected' && !copy.thread.lost) continue;
      if (read.status === 'rejected') throw this.blamed(process, read.reason as Error);
      reads.pace += PACE * (read.value.milliseconds - reads.pace);
      this.trim();
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

  /** One whose reading has ended a thread is read among the slow ones. */
  private threadFor({ process, yields }: Source, { pace }: Reads): ComputeThread {
    const slow = pace >= SLOW_MS || this.suspects.has(process);
    return (slow ? this.slow : yields ? this.quick : this.unyielding).roomiest();
  }

  private blamed(process: string, error: Error): Error {
    if (error instanceof WorkerLost && error.fault !== 'other') this.suspects.add(process);
    return error;
  }

  private async copy(source: Source, reads: Reads): Promise<void> {
    if (reads.copy) this.drop(source.process, reads.copy);
    const expected = source.bytes();
    await this.makeRoom(expected);
    try {
      await this.openCopy(source, reads, expected);
    } finally {
      this.making -= expected;
      this.wake();
    }
  }

  private async openCopy(source: Source, reads: Reads, expected: number): Promise<void> {
    const { process, module, format, env } = source;
    const image = await source.snapshot();
    // From here on what the process handles is not in the image.
    const thread = this.threadFor(source, reads);
    const following = Promise.resolve();
    const copy: Copy = {
      thread,
      expected: 0,
      open: false,
      used: false,
      version: reads.version,
      behind: [],
      bytesBehind: 0,
      following,
    };
    reads.copy = copy;
    thread.processes.set(process, 0);
    try {
      await thread.ask({ op: 'open', process, module, format, env, image, inHurry: false }, this.timeoutMs);
    } catch (error) {
      this.drop(process, copy);
      throw this.blamed(process, error as Error);
    }
    copy.expected = expected;
    copy.open = reads.copy === copy;
  }

  /** Until a copy of this size, which is taken to be made from then on, fits in beside the others, or there is no other. */
  private async makeRoom(bytes: number): Promise<void> {
    for (;;) {
      const { held, oldest } = this.open();
      const all = held + this.making + bytes;
      const alone = all + this.closing === bytes;
      if (alone || all + this.closing <= this.mostBytes) break;
      if (oldest && all > this.mostBytes) this.drop(...oldest);
      else await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.making += bytes;
  }

  /** Copies grow as what they follow does. */
  private trim(): void {
    for (let now = this.open(); now.oldest && now.count > 1 && now.held > this.mostBytes; now = this.open())
      this.drop(...now.oldest);
  }

  /** Bytes that open copies hold, and which of them is to go first: one nobody reads, the least recently read. */
  private open(): { held: number; count: number; oldest: [string, Copy] | null } {
    let [held, count] = [0, 0];
    let first: { process: string; reads: Reads; copy: Copy } | null = null;
    for (const [process, reads] of this.reads) {
      const { copy } = reads;
      if (!copy?.open) continue;
      held += heldBy(process, copy);
      count += 1;
      if (!copy.used && reads.count > 0) continue;
      if (!first || sooner(reads, first.reads)) first = { process, reads, copy };
    }
    return { held, count, oldest: first && [first.process, first.copy] };
  }

  private wake(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }

  private drop(process: string, copy: Copy): void {
    const reads = this.reads.get(process);
    if (reads?.copy === copy) reads.copy = null;
    if (reads?.count === 0) this.reads.delete(process);
    const held = copy.open ? heldBy(process, copy) : 0;
    copy.open = false;
    copy.behind = null;
    if (copy.thread.lost || !copy.thread.processes.has(process)) return;
    copy.thread.leave(process);
    this.closing += held;
    copy.thread
      .ask({ op: 'close', process }, this.timeoutMs)
      .catch(() => undefined)
      .finally(() => {
        this.closing -= held;
        this.wake();
      });
  }

  private of(process: string): Reads {
    const reads = this.reads.get(process) ?? { version: 0, count: 0, last: 0, pace: 0, copy: null, copying: null };
    this.reads.set(process, reads);
    return reads;
  }
}

/** Bytes of memory of an open copy. */
function heldBy(process: string, { thread, expected, open }: Copy): number {
  if (!open || thread.lost) return 0;
  return thread.processes.get(process) || expected;
}

/** Whether of two copies the first is to go before the second. */
function sooner(a: Reads, b: Reads): boolean {
  const [idle, other] = [a.count === 0, b.count === 0];
  return idle === other ? a.last < b.last : idle;
}
