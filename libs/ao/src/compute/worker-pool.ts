/**
 * Processes over threads. A process lives in one thread; one that hangs a thread ends it, and what lived there is opened again. Those whose
 * messages take long live apart from the others, in a thread that stands back: a message that turns out to is given up, and done there. Those that make a thread
 * busier than the others move. One that
 * has ended its thread lives in another one with its like, so that it does so to nobody else again.
 * Workers always run the built code (`dist/`), since Node runs no TypeScript.
 */
import path from 'node:path';
import { projectRoot } from '@isthmus/store';
import type { EvaluationResult, MemoryChange, MemoryImage, ProcessEnv, VmMessage } from '../types.js';
import { ComputeThreads, WorkerLost, type ComputeThread } from './compute-thread.js';
import { laterChange } from './image.js';
import { machineFor } from './machines.js';
import { PackedEntries, PackedOutcomes, type Outcome } from './packed.js';
import type { Ask, Evaluated, Handled, Hurried, Replayed } from './protocol.js';
import { ReadingCopies } from './reading-copies.js';
import { Suspects } from './suspects.js';

export { WorkerLost, type Fault } from './compute-thread.js';
export { TooManyReads } from './reading-copies.js';

/**
 * Time one request may take before its worker is ended. Machines have ended every message in an Error at the same step everywhere before: the slowest
 * code that was found (loads from a memory of 512 MiB in an order no cache foresees) takes 98 s for all its steps on the machine of docs/bench.md, where
 * ordinary code takes two. Only who lives with its like waits for such a one.
 */
const REQUEST_TIMEOUT_MS = 180_000;
/** Time a dry-run may take. */
const READ_TIMEOUT_MS = 5000;

/** Packed entries given to a thread at once: enough to keep it at work, and soon another's turn. */
const PIECE_BYTES = 256 * 1024;
/** A process whose messages take this long, about, lives apart; one of them that take less than this has come back. */
const SLOW_MS = 50;
const QUICK_MS = 10;
/** How much one message counts among those before it, for how long they take. */
const PACE = 0.2;
/** A process stays where it is for so long: moving costs tens of milliseconds. */
const STAY_MS = 5000;
/** How often loads are compared, and how much busier than the least busy thread one is that gives a process away. */
const BALANCE_MS = 1000;
const IMBALANCE = 0.3;
/** How far the threads of slow processes stand back: they have a tenth of a core that others want too, and all that nobody wants. */
const STAND_BACK = 10;

/** Among which others a process lives: see `WorkerPool`. */
type Place = 'quick' | 'slow' | 'apart';

/** Whether what takes long is given up there: others wait behind it. */
const hurries = (place: Place, yields: boolean): boolean => place === 'quick' && yields;

/** A process and where it lives. */
interface Opened {
  module: Uint8Array;
  format: string;
  env: ProcessEnv;
  yields: boolean;
  thread: ComputeThread;
  place: Place;
  /** Since when it lives where it does. */
  since: number;
  moving: Promise<void> | null;
  /** What has changed since its last checkpoint in the threads it has left. */
  unsaved: MemoryChange | null;
  /** Milliseconds of work it has had; as of the last comparison of loads; and for a message, of late. */
  spent: number;
  compared: number;
  pace: number;
}

export class WorkerPool {
  private readonly quick: ComputeThreads;
  /** For machines that cannot give up what takes long: it can only hold up its like. */
  private readonly unyielding: ComputeThreads;
  private readonly slow: ComputeThreads;
  /** For who has ended a thread. */
  private readonly apart: ComputeThreads;
  private readonly suspects = new Suspects();
  private readonly readers: ReadingCopies;
  private readonly opened = new Map<string, Opened>();
  private balanced = performance.now();
  private readonly compared = new Map<ComputeThread, number>();

  /**
   * @param size number of threads of each kind @param timeoutMs bound on one request @param readTimeoutMs bound on one dry-run
   * @param script what a thread runs: answers `Request`s with `Response`s
   */
  constructor(
    readonly size: number,
    private readonly timeoutMs = REQUEST_TIMEOUT_MS,
    readTimeoutMs = READ_TIMEOUT_MS,
    script = path.join(projectRoot(), 'dist/libs/ao/src/compute/worker.js'),
  ) {
    this.quick = new ComputeThreads(size, script);
    this.unyielding = new ComputeThreads(size, script);
    this.slow = new ComputeThreads(1, script, STAND_BACK);
    this.apart = new ComputeThreads(1, script, STAND_BACK);
    this.readers = new ReadingCopies(script, timeoutMs, readTimeoutMs);
  }

  /** Opens a process, from an image of its state or from nothing. @throws WorkerLost; Error when its module does not load */
  async open(
    process: string,
    module: Uint8Array,
    format: string,
    env: ProcessEnv,
    image: MemoryImage | null,
  ): Promise<void> {
    const before = await this.settled(process);
    const yields = machineFor(format)?.yields ?? false;
    const alive = before && !before.thread.lost ? before : null;
    const place = this.suspects.has(process) ? 'apart' : (alive?.place ?? 'quick');
    if (alive && alive.place !== place) await this.close(process);
    const stays = alive?.place === place;
    const load = { op: 'open', process, module, format, env, image } as const;
    this.readers.forget(process);
    let lives = { place, thread: stays ? alive.thread : this.threadsFor(place, yields).roomiest() };
    try {
      if (await this.takesLong(lives.thread, { ...load, inHurry: hurries(place, yields) })) {
        lives = { place: 'slow', thread: this.slow.roomiest() };
        await this.takesLong(lives.thread, { ...load, inHurry: false });
      }
    } catch (error) {
      this.opened.delete(process);
      this.blame(process, error);
      throw error;
    }
    const { spent = 0, pace = 0 } = before ?? {};
    const since = stays ? alive.since : lives.place === place ? -STAY_MS : performance.now();
    const state = { ...lives, since, moving: null, unsaved: null };
    this.opened.set(process, { module, format, env, yields, ...state, spent, compared: spent, pace });
  }

  /** Opens a process in a thread. @returns whether it was given up, since it takes long @throws WorkerLost; Error when it does not load */
  private async takesLong(thread: ComputeThread, load: Extract<Ask, { op: 'open' }>): Promise<boolean> {
    const { process } = load;
    const held = thread.processes.get(process) ?? 0;
    thread.processes.set(process, held);
    try {
      const { takesLong } = (await thread.ask(load, this.timeoutMs)) as Hurried;
      if (takesLong) thread.leave(process);
      return takesLong;
    } catch (error) {
      thread.leave(process);
      throw error;
    }
  }

  isOpen(process: string): boolean {
    const opened = this.opened.get(process);
    return opened !== undefined && !opened.thread.lost;
  }

  /** Evaluates all these messages in order. @throws WorkerLost */
  async handle(process: string, messages: VmMessage[]): Promise<EvaluationResult[]> {
    const results: EvaluationResult[] = [];
    while (results.length < messages.length)
      results.push(...(await this.handleSome(process, messages.slice(results.length))));
    return results;
  }

  /**
   * Evaluates the first of these messages, at least one, as far as their results stay within about 32 MiB and a second; less when other
   * processes wait. @throws WorkerLost
   */
  async handleSome(process: string, messages: VmMessage[]): Promise<EvaluationResult[]> {
    if (messages.length === 0) return [];
    const { results } = await this.turn<Handled>(
      (inHurry) => ({ op: 'handle', process, messages, inHurry }),
      (h) => h.results.length,
    );
    this.readers.follow(
      process,
      messages.filter((_, i) => results[i] && results[i].Error === undefined),
    );
    return results;
  }

  /** Evaluates all these packed entries (see `PackedEntries`), whose results are known. @throws WorkerLost */
  async replay(process: string, entries: Buffer): Promise<void> {
    for (let at = 0; at < entries.length;) {
      const piece = new Uint8Array(entries.subarray(at, PackedEntries.end(entries, at, PIECE_BYTES)));
      const { bytes } = await this.turn<Replayed>(
        (inHurry) => ({ op: 'replay', process, entries: piece, inHurry }),
        (r) => r.count,
      );
      this.readers.forget(process);
      at += bytes;
    }
  }

  /**
   * Evaluates the first of these packed entries, at least one, for their outcomes as they are stored: as far as `handleSome` does. Says how
   * many bytes of the entries that were. @throws WorkerLost
   */
  async evaluateSome(process: string, entries: Buffer): Promise<{ bytes: number; outcomes: Outcome[] }> {
    const piece = new Uint8Array(entries.subarray(0, PackedEntries.end(entries, 0, PIECE_BYTES)));
    const { bytes, outcomes } = await this.turn<Evaluated>(
      (inHurry) => ({ op: 'evaluate', process, entries: piece, inHurry }),
      (e) => e.count,
    );
    this.readers.forget(process);
    return { bytes, outcomes: PackedOutcomes.read(outcomes) };
  }

  /**
   * Evaluates without effect, in a thread of its own kind, on a copy of the newest state: the process goes on meanwhile.
   * @throws WorkerLost, TooManyReads
   */
  async dryRun(process: string, message: VmMessage): Promise<EvaluationResult> {
    const opened = this.opened.get(process);
    if (!opened || opened.thread.lost) throw new WorkerLost(`Process ${process} is not open.`, 'other');
    const { module, format, env, yields } = opened;
    const [bytes, snapshot] = [() => this.sizeOf(process), () => this.snapshot(process)];
    return this.readers.dryRun({ process, module, format, env, yields, bytes, snapshot }, message);
  }

  /** Image of a process' state. @throws WorkerLost */
  snapshot(process: string): Promise<MemoryImage> {
    return this.ask({ op: 'snapshot', process }) as Promise<MemoryImage>;
  }

  /**
   * What has changed since the process was opened or this was last asked; everything, the first time, when it was opened from nothing.
   * Each change is given once: who loses one opens the process again. @throws WorkerLost
   */
  async checkpoint(process: string): Promise<MemoryChange> {
    const change = (await this.ask({ op: 'checkpoint', process })) as MemoryChange;
    const opened = this.opened.get(process);
    const whole = laterChange(opened?.unsaved ?? null, change);
    if (opened) opened.unsaved = null;
    return whole;
  }

  /** Bytes of memory that each open process holds, about, as of its last request, with its copy for dry-runs. */
  usage(): ReadonlyMap<string, number> {
    const usage = new Map<string, number>();
    for (const [process, { thread }] of this.opened)
      if (!thread.lost) usage.set(process, this.sizeOf(process) + this.readers.bytesOf(process));
    return usage;
  }

  /** Bytes of memory that an open process holds itself. */
  sizeOf(process: string): number {
    return this.opened.get(process)?.thread.processes.get(process) ?? 0;
  }

  /** Gives up the copy for dry-runs of a process: the next one makes another. */
  forgetCopy(process: string): void {
    this.readers.forget(process);
  }

  /** Bytes that a copy of an open process would take: none when it has one. */
  missingCopy(process: string): number {
    return this.readers.bytesOf(process) > 0 ? 0 : this.sizeOf(process);
  }

  /** Most bytes of memory that all copies for dry-runs hold together, but for a single one that is larger. */
  boundCopies(bytes: number): void {
    this.readers.mostBytes = bytes;
  }

  /** Milliseconds that evaluating an open process' messages has taken its thread so far; waiting and dry-runs are not counted. */
  spent(process: string): number {
    return this.opened.get(process)?.spent ?? 0;
  }

  /** Threads that run now: of each place, of machines that cannot give up what takes long, and for dry-runs. */
  threads(): Record<Place | 'unyielding' | 'reading', number> {
    const { quick, unyielding, slow, apart } = this;
    const count = (threads: ComputeThreads): number => threads.all().length;
    return {
      quick: count(quick),
      slow: count(slow),
      apart: count(apart),
      unyielding: count(unyielding),
      reading: this.readers.threads,
    };
  }

  /** Closes a process; opening it again starts from an image or from nothing. */
  async close(process: string): Promise<void> {
    const opened = await this.settled(process);
    this.opened.delete(process);
    this.readers.forget(process);
    if (!opened || opened.thread.lost) return;
    await opened.thread.ask({ op: 'close', process }, this.timeoutMs);
    // It may have been opened again meanwhile.
    if (this.opened.get(process)?.thread !== opened.thread) opened.thread.leave(process);
  }

  async stop(): Promise<void> {
    await Promise.all([this.quick, this.unyielding, this.slow, this.apart, this.readers].map((t) => t.stop()));
  }

  /** A turn in which something is done: what takes long where others wait goes where nobody does, and is asked for again. */
  private async turn<T extends Hurried & { milliseconds: number }>(
    askFor: (inHurry: boolean) => Ask,
    count: (done: T) => number,
  ): Promise<T> {
    const { process } = askFor(false);
    try {
      for (let mayHurry = true; ; mayHurry = false) {
        const opened = await this.settled(process);
        const inHurry = mayHurry && opened !== undefined && hurries(opened.place, opened.yields);
        const done = (await this.ask(askFor(inHurry))) as T;
        if (!opened) return done;
        if (done.takesLong) this.giveWay(process, opened);
        if (count(done) > 0) {
          this.account(process, opened, count(done), done.milliseconds);
          return done;
        }
        opened.spent += done.milliseconds; // where it is now it is done however long it takes
      }
    } catch (error) {
      this.readers.forget(process); // nobody knows how far it came
      throw error;
    }
  }

  /** What has a message that takes long goes to its like before it does it. */
  private giveWay(process: string, opened: Opened): void {
    if (opened.place === 'quick' && !opened.moving) this.move(process, opened, this.slow.roomiest(), 'slow');
  }

  private account(process: string, opened: Opened, count: number, milliseconds: number): void {
    opened.spent += milliseconds;
    const weight = 1 - (1 - PACE) ** count;
    opened.pace += weight * (milliseconds / count - opened.pace);
    this.settleIn(process, opened);
    this.balance();
  }

  /** A process that has become slow, or quick again, moves to its like, unless it lives alone. */
  private settleIn(process: string, opened: Opened): void {
    const { place, thread, yields, since } = opened;
    if (!yields || opened.moving || performance.now() - since < STAY_MS) return;
    const like = this.placeFor(process, opened);
    if (like === place || (like === 'slow' && place === 'quick' && thread.processes.size === 1)) return;
    this.move(process, opened, this.threadsFor(like, yields).roomiest(), like);
  }

  private placeFor(process: string, { place, pace }: Opened): Place {
    if (this.suspects.has(process)) return 'apart';
    return pace < (place === 'quick' ? SLOW_MS : QUICK_MS) ? 'quick' : 'slow';
  }

  private threadsFor(place: Place, yields: boolean): ComputeThreads {
    return place === 'quick' && !yields ? this.unyielding : this[place];
  }

  /** Who ended its thread lives apart from then on. */
  private blame(process: string, error: unknown): void {
    if (error instanceof WorkerLost && error.fault !== 'other') this.suspects.add(process);
  }

  /** Now and then the busiest thread gives a process to the least busy one, when that makes them more equal. */
  private balance(): void {
    const now = performance.now();
    const stretch = now - this.balanced;
    if (stretch < BALANCE_MS || this.size === 1) return;
    this.balanced = now;
    const loads = this.quick.all().map((thread) => {
      const load = thread.worked - (this.compared.get(thread) ?? 0);
      this.compared.set(thread, thread.worked);
      return { thread, load };
    });
    for (const thread of this.compared.keys()) if (thread.lost) this.compared.delete(thread);
    loads.sort((a, b) => a.load - b.load);
    const [least, most] = [loads[0], loads.at(-1)];
    const gap = (most?.load ?? 0) - (least?.load ?? 0);
    let chosen: [string, Opened, number] | null = null;
    for (const [process, opened] of this.opened) {
      const load = opened.spent - opened.compared;
      opened.compared = opened.spent;
      if (opened.thread !== most?.thread || opened.moving || now - opened.since < STAY_MS) continue;
      // What is moved must leave the busier one busier still: else the same is to do the other way round.
      if (load > gap / 2 || load <= (chosen?.[2] ?? 0)) continue;
      chosen = [process, opened, load];
    }
    if (least && chosen && gap > IMBALANCE * stretch) this.move(chosen[0], chosen[1], least.thread, 'quick');
  }

  /** Requests of the process wait meanwhile. When it cannot be opened there, it stays. */
  private move(process: string, opened: Opened, to: ComputeThread, place: Place): void {
    opened.since = performance.now();
    opened.moving = this.carry(process, opened, to)
      .then(
        () => void Object.assign(opened, { thread: to, place }),
        (error: unknown) => this.blame(process, error),
      )
      .finally(() => (opened.moving = null));
  }

  private async carry(process: string, opened: Opened, to: ComputeThread): Promise<void> {
    const { module, format, env, thread: from } = opened;
    const change = (await from.ask({ op: 'checkpoint', process }, this.timeoutMs)) as MemoryChange;
    opened.unsaved = laterChange(opened.unsaved, change);
    const image = (await from.ask({ op: 'snapshot', process }, this.timeoutMs)) as MemoryImage;
    to.processes.set(process, from.processes.get(process) ?? 0);
    try {
      await to.ask({ op: 'open', process, module, format, env, image, inHurry: false }, this.timeoutMs);
    } catch (error) {
      to.leave(process);
      throw error;
    }
    from.leave(process);
    await from.ask({ op: 'close', process }, this.timeoutMs).catch(() => undefined);
  }

  private async ask(ask: Ask): Promise<unknown> {
    const opened = await this.settled(ask.process);
    if (!opened || opened.thread.lost) throw new WorkerLost(`Process ${ask.process} is not open.`, 'other');
    try {
      return await opened.thread.ask(ask, this.timeoutMs);
    } catch (error) {
      this.blame(ask.process, error);
      throw error;
    }
  }

  /** The process when it does not move: it may begin to move again before who waited has its turn. */
  private async settled(process: string): Promise<Opened | undefined> {
    for (;;) {
      const opened = this.opened.get(process);
      if (!opened?.moving) return opened;
      await opened.moving;
    }
  }
}
