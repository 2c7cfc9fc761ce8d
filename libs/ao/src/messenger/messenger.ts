/**
 * The messenger: what a process sends, spawns and assigns is put into an outbox in the transaction that stores the result, and delivered
 * until the scheduler has it. A pushed item is signed deterministically, so a repeat is the same item and is scheduled once.
 */
import type { DataSource, EntityManager } from 'typeorm';
import type { ResultBatch, ResultSink } from '../compute/result-sink.js';
import { ScheduleError, type Placed, type Scheduler } from '../scheduler/scheduler.js';
import { NOBODY_IS_TOLD, type OnStep } from '../steps.js';
import type { Signer } from '../types.js';
import { DeadLetters, type DeadLetter, type DeadLetterFilter, type DeadLetterGroup } from './dead-letters.js';
import {
  Dispatch,
  MAX_ANSWERS,
  MAX_PUSHES_OF_ROOT,
  MAX_SPAWNS_OF_PROCESS,
  MAX_SPAWNS_OF_ROOT,
  type DispatchBounds,
} from './dispatch.js';
import { Outbox, type Due, type Failure } from './outbox.js';
import { recoverSent } from './recovery.js';

/** Tries before a delivery is set aside for the operator: the last ones are minutes apart. */
const MAX_ATTEMPTS = 12;
/** Tries of an assignment whose message is not known: it may be on its way here, but not for long. */
const ATTEMPTS_UNKNOWN = 4;
const FIRST_DELAY_MS = 250;

/** Undelivered things at which their sender waits before it is evaluated further. */
const MAX_UNDELIVERED = 5000;
const LOOK_AGAIN_MS = 100;

export class Messenger implements ResultSink {
  private readonly letters: DeadLetters;
  private readonly outbox: Outbox;
  private readonly dispatch: Dispatch;
  /** Results that have put something into the outbox. */
  private readonly sending = new WeakSet<ResultBatch>();
  private running: Promise<void> | null = null;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  private readonly listeners = new Set<(done: number, failed: number) => void>();
  private readonly failureListeners = new Set<(process: string, error: unknown) => void>();

  constructor(
    private readonly database: DataSource,
    private readonly scheduler: Scheduler,
    private readonly signer: Signer,
    bounds: Partial<DispatchBounds> = {},
    private readonly onStep: OnStep = NOBODY_IS_TOLD,
  ) {
    this.outbox = new Outbox(database);
    this.dispatch = new Dispatch({
      outbox: this.outbox,
      signer,
      scheduler: scheduler.address,
      answers: MAX_ANSWERS,
      pushesOfRoot: MAX_PUSHES_OF_ROOT,
      spawnsOfRoot: MAX_SPAWNS_OF_ROOT,
      spawnsOfProcess: MAX_SPAWNS_OF_PROCESS,
      ...bounds,
    });
    this.letters = new DeadLetters(database, scheduler, this.dispatch);
  }

  get address(): string {
    return this.signer.address;
  }

  /** Puts what results send to processes of this scheduler, spawn and assign into the outbox, in the caller's transaction. */
  async take(manager: EntityManager, batches: readonly ResultBatch[]): Promise<void> {
    const sending = await this.dispatch.take(manager, batches);
    for (const batch of batches) if (sending.has(batch.process)) this.sending.add(batch);
  }

  /** Looks at what results ask to be sent that were rebuilt rather than made here; before anything is evaluated. */
  recover(): Promise<number> {
    return recoverSent(this.database, this.dispatch);
  }

  /** Delivers what these results have put into the outbox, once they are stored; most put nothing there. */
  async deliverFrom(batch: ResultBatch): Promise<void> {
    if (this.sending.has(batch)) await this.deliver();
  }

  /** Resolves when not too much of what a process sent is undelivered: a process that floods waits for itself, nobody waits for it. */
  async makeRoom(process: string): Promise<void> {
    while (!this.stopped && (await this.outbox.waiting(process, MAX_UNDELIVERED)) >= MAX_UNDELIVERED) {
      await this.deliver();
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  /** Calls `listener` after each round of deliveries, with how many were delivered and how many were tried in vain. */
  onDeliveries(listener: (done: number, failed: number) => void): void {
    this.listeners.add(listener);
  }

  /** Calls `listener` with what went wrong here, for the log: dead letters, which anyone may read, say only that it did. */
  onFailure(listener: (process: string, error: unknown) => void): void {
    this.failureListeners.add(listener);
  }

  /** Delivers what is due; called again while it runs, it goes once more. */
  async deliver(): Promise<void> {
    if (this.stopped) return;
    this.again = true;
    this.running ??= this.work();
    await this.running;
  }

  /** Ends after the deliveries under way; what is left waits in the outbox. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.running?.catch(() => undefined);
    clearTimeout(this.timer);
  }

  /** What could not be delivered, newest first, at most `limit` (500), after `cursor`: the id of the last one of the page before. */
  deadLetters(
    filter?: DeadLetterFilter,
    cursor?: string,
    limit?: number,
  ): Promise<{ letters: DeadLetter[]; next: string | null }> {
    return this.letters.list(filter, cursor, limit);
  }

  /** How many dead letters there are, by reason. */
  deadLetterCounts(): Promise<{ reason: string; count: number }[]> {
    return this.letters.counts();
  }

  /**
   * Lets a dead letter go: it is delivered like any other again, from its first try. What was too much goes out together with what
   * followed it in its slot. @throws DeadLetterError
   */
  async release(id: string): Promise<void> {
    await this.letters.release(id);
    this.deliverSoon();
  }

  /** Lets everything of one sender go that can be; how many letters that were. */
  async releaseAll(process: string): Promise<number> {
    const count = await this.letters.releaseAll(process);
    if (count > 0) this.deliverSoon();
    return count;
  }

  /** Of which process, why and how many, the most first; at most 500. */
  deadLetterGroups(limit?: number): Promise<DeadLetterGroup[]> {
    return this.letters.groups(limit);
  }

  /** Gives a dead letter up: it is never sent, and forgotten like what was delivered. @throws DeadLetterError */
  discard(id: string): Promise<void> {
    return this.letters.discard(id);
  }

  /** Gives up all of one sender, or those set aside for one reason; how many those were. */
  discardAll(process: string, reason: string | null = null): Promise<number> {
    return this.letters.discardAll(process, reason);
  }

  /**
   * Has the n-th message of a result delivered if it is not yet: also to a process that has come since. What waits goes on waiting, what was
   * tried in vain has one try more, and what was set aside for good, or by the bounds, stays so. @throws DeadLetterError
   */
  async deliverAgain(process: string, nonce: number, n: number): Promise<void> {
    await this.letters.deliverAgain(process, nonce, n);
    this.deliverSoon();
  }

  /** A delivery that fails is tried again by itself; a failure of the database itself shows where the next result is stored. */
  private deliverSoon(): void {
    void this.deliver().catch(() => undefined);
  }

  private async work(): Promise<void> {
    try {
      do {
        this.again = false;
        await this.deliverDue();
        await this.sleepUntilNext();
        // Who called meanwhile may have something that is not yet in what was just read.
      } while (this.again && !this.stopped);
    } finally {
      this.running = null; // at once: whoever calls from here on begins anew
    }
  }

  /** Round after round until nothing is due; one round is marked while the next is placed. */
  private async deliverDue(): Promise<void> {
    let marked: { due: readonly Due[]; done: Promise<void> } = { due: [], done: Promise.resolve() };
    try {
      for (;;) {
        const due = await this.outbox.due(marked.due);
        if (this.stopped || (due.length === 0 && marked.due.length === 0)) return;
        const failures = await this.placeAll(due);
        await marked.done;
        marked = { due, done: this.mark(due, failures) };
        marked.done.catch(() => undefined); // seen when it is waited for
      }
    } finally {
      await marked.done;
    }
  }

  /** Places all of these together; what is assigned comes after what is sent, for that may be what is assigned. Those that failed. */
  private async placeAll(due: readonly Due[]): Promise<Map<Due, Failure>> {
    const failures = new Map<Due, Failure>();
    const place = async (some: readonly Due[]) => {
      const outcomes = await Promise.allSettled(some.map((d) => this.place(d)));
      for (const [i, outcome] of outcomes.entries()) {
        const delivery = some[i] as Due;
        if (outcome.status === 'fulfilled') continue;
        failures.set(delivery, failureOf(delivery, outcome.reason));
        if (outcome.reason instanceof ScheduleError) continue;
        for (const listener of this.failureListeners) listener(delivery.process, outcome.reason);
      }
    };
    await place(due.filter((d) => d.kind !== 'assignment'));
    await place(due.filter((d) => d.kind === 'assignment'));
    return failures;
  }

  private async mark(due: readonly Due[], failures: ReadonlyMap<Due, Failure>): Promise<void> {
    if (due.some((d) => d.kind === 'spawn' && !failures.has(d))) this.onStep('spawn.before-mark');
    if (failures.size < due.length) this.onStep('delivery.before-mark');
    await this.outbox.delivered(due.filter((d) => !failures.has(d)));
    await this.outbox.failed([...failures.values()]);
    if (failures.size < due.length) this.onStep('delivery.after-mark');
    for (const listener of this.listeners) listener(due.length - failures.size, failures.size);
  }

  private place({ kind, item, item_id: id, target }: Due): Promise<Placed> {
    return kind === 'assignment' ? this.scheduler.assign(target, id) : this.scheduler.schedulePushed(item);
  }

  private async sleepUntilNext(): Promise<void> {
    const wait = await this.outbox.untilNext();
    clearTimeout(this.timer);
    if (wait !== null && !this.stopped) this.timer = setTimeout(() => this.deliverSoon(), Math.max(wait, 1));
  }
}

const FAILED = 'The gateway could not place it: its log says why. It can be let go again.';

/** The scheduler's refusals are final, unless it has no room or what is to be assigned may still come; any other failure is tried again. */
function failureOf({ id, attempts }: Due, error: unknown): Failure {
  const [code, text] = error instanceof ScheduleError ? [error.code, error.message] : ['failed', FAILED];
  const most =
    { failed: MAX_ATTEMPTS, overloaded: MAX_ATTEMPTS, 'unknown-message': ATTEMPTS_UNKNOWN }[code as string] ?? 1;
  const delay = attempts + 1 >= most ? null : FIRST_DELAY_MS * 2 ** attempts;
  return { id, delay, reason: code, error: text };
}
