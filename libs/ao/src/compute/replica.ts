/**
 * A replica: one's own copy of a process, for those who trust no gateway. It takes a schedule only as the pinned scheduler signed it,
 * slot after slot, and evaluates it itself. What it has accepted it never unlearns: another history for a known slot is a fork, and stops it.
 */
import { EngineError, type AoNetwork, type ShownEntry } from '../engine.js';
import { ItemError, parseItem, verifyItem } from '../items/index.js';
import { TickCheck } from '../messenger/cron.js';
import { tagOf } from '../items/tags.js';
import { firstHash, nextHash, type ScheduleHead } from '../scheduler/assignment.js';
import type { EvaluationResult, Item, ProcessEnv, ScheduleEntry, VmMessage } from '../types.js';
import { environmentOf, messageOf } from './message.js';
import type { WorkerPool } from './worker-pool.js';

export type ReplicaErrorCode =
  | 'wrong-scheduler'
  | 'bad-signature'
  | 'wrong-place'
  | 'broken-chain'
  | 'fork'
  | 'repeated'
  | 'unreachable'
  | 'wrong-module'
  | 'malformed';

/** What is wrong with the schedule one was given; nothing of it was evaluated. */
export class ReplicaError extends Error {
  constructor(
    readonly code: ReplicaErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ReplicaError';
  }
}

/** Where a replica keeps what it has accepted. */
export interface ReplicaStore {
  /** Head of what was accepted, or null before slot 0. */
  head(process: string): Promise<ScheduleHead | null>;
  /** Accepted entries from a slot on, in order, at most `limit`. */
  entries(process: string, fromNonce: number, limit: number): Promise<ScheduleEntry[]>;
  /** Which of these messages are among the accepted entries. */
  has(process: string, messageIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** Makes entries durable; they follow the head. */
  append(process: string, entries: readonly ScheduleEntry[]): Promise<void>;
  module(id: string): Promise<Buffer | null>;
  saveModule(id: string, raw: Buffer): Promise<void>;
}

export interface ReplicaOptions {
  process: string;
  /** Address of the only scheduler whose assignments count. */
  scheduler: string;
  store: ReplicaStore;
  workers: WorkerPool;
  /** Where the schedule and the module are read. */
  network: AoNetwork;
  /** Called once for each slot, in order, from slot 0 at every start. */
  onResult: (entry: ScheduleEntry, result: EvaluationResult) => Promise<void> | void;
}

const PAGE = 500;

export class Replica {
  private evaluated = -1;
  private env: ProcessEnv | null = null;
  /** Of what was evaluated. */
  private ticks: TickCheck | null = null;

  constructor(private readonly options: ReplicaOptions) {}

  /** Last slot this replica has evaluated; -1 before the first. */
  get nonce(): number {
    return this.evaluated;
  }

  /**
   * Takes what the gateway has beyond what was accepted, checks, keeps and evaluates it. Returns the number of new slots evaluated.
   * @throws ReplicaError
   */
  async sync(): Promise<number> {
    let count = await this.evaluateAccepted();
    for (;;) {
      const head = await this.options.store.head(this.options.process);
      const entries = await this.fetchEntries(head);
      if (entries.length === 0) return count;
      await this.options.store.append(this.options.process, entries);
      count += await this.evaluateAccepted();
    }
  }

  /** Evaluates without effect on the state as of `nonce`. */
  async dryRun(
    message: Omit<VmMessage, 'Module' | 'Epoch' | 'Nonce' | 'Hash-Chain' | 'Cron'>,
  ): Promise<EvaluationResult> {
    if (!this.env) throw new ReplicaError('unreachable', 'Nothing of the process is known yet.');
    return this.options.workers.dryRun(this.options.process, {
      ...message,
      Module: this.env.Module.Id,
      Epoch: 0,
      Nonce: this.evaluated,
      'Hash-Chain': '',
      Cron: false,
    });
  }

  private async evaluateAccepted(): Promise<number> {
    let count = 0;
    for (;;) {
      const entries = await this.options.store.entries(this.options.process, this.evaluated + 1, PAGE);
      const first = entries[0];
      if (!first) return count;
      const env = (this.env ??= await this.open(first));
      const results = await this.options.workers.handleSome(
        this.options.process,
        entries.map((e) => messageOf(e, env)),
      );
      for (const [i, result] of results.entries()) {
        const entry = entries[i] as ScheduleEntry;
        await this.options.onResult(entry, result);
        this.evaluated = entry.nonce;
        this.ticks ??= TickCheck.of(entry);
        this.ticks.next(entry);
        count += 1;
      }
    }
  }

  /** The process, opened from its spawn: the id names the spawn, the spawn names the module, each by the hash of its signature. */
  private async open(spawn: ScheduleEntry): Promise<ProcessEnv> {
    const id = tagOf(spawn.message, 'Module');
    const raw = (await this.options.store.module(id)) ?? (await this.fetchModule(id));
    const module = parseItem(raw);
    const env = environmentOf(spawn.message, module);
    const { process, workers } = this.options;
    await workers.open(process, module.data, tagOf(module, 'Module-Format'), env, null);
    return env;
  }

  private async fetchModule(id: string): Promise<Buffer> {
    const { network, store } = this.options;
    const shown = await reached(() => network.item(id));
    const module = shown && (await asSigned(network, shown));
    if (!module || module.id !== id)
      throw new ReplicaError('wrong-module', `Nobody shows module ${id} as it was signed.`);
    await store.saveModule(id, module.raw);
    return module.raw;
  }

  private async fetchEntries(head: ScheduleHead | null): Promise<ScheduleEntry[]> {
    const { process, scheduler, network } = this.options;
    const entries = await readSchedule({ network, process, scheduler }, head, PAGE);
    await this.checkNew(entries);
    this.checkTicks(entries);
    return entries;
  }

  /** The process' clock strikes when its spawn says, once. @throws ReplicaError `wrong-place` */
  private checkTicks(entries: readonly ScheduleEntry[]): void {
    const [first] = entries;
    if (!first) return;
    const ticks = this.ticks?.copy() ?? TickCheck.of(first);
    for (const entry of entries) {
      const wrong = ticks.next(entry);
      if (wrong !== null)
        throw new ReplicaError('wrong-place', `Slot ${entry.nonce} of ${this.options.process} ${wrong}.`);
    }
  }

  /** A message has one place, for good: its author signed it once. @throws ReplicaError `repeated` */
  private async checkNew(entries: readonly ScheduleEntry[]): Promise<void> {
    const { process, store } = this.options;
    const ids = entries.map((e) => e.message.id);
    const known = new Set(ids.length > 0 ? await store.has(process, ids) : []);
    for (const { nonce, message } of entries) {
      if (known.has(message.id))
        throw new ReplicaError(
          'repeated',
          `Slot ${nonce} of ${process} holds message ${message.id} again, which has its place already.`,
        );
      known.add(message.id);
    }
  }
}

/** A schedule to be read: of which process, signed by whom, shown where. */
export interface ScheduleSource {
  network: AoNetwork;
  process: string;
  scheduler: string;
}

/**
 * What comes after `head` in a schedule, every place and signature checked. Asks from the head itself on, so that another history for a
 * known slot is seen. @throws ReplicaError
 */
export async function readSchedule(
  { network, process, scheduler }: ScheduleSource,
  head: ScheduleHead | null,
  limit: number,
): Promise<ScheduleEntry[]> {
  const shown = await reached(() => network.schedule(process, head, limit));
  if (head) checkHead(process, head, shown[0]);
  const entries: ScheduleEntry[] = [];
  let previous = head;
  // As signed first: what is then looked at is what its author wrote, not what somebody shows of it.
  for (const { assignment, message } of await allSigned(network, process, shown.slice(head ? 1 : 0))) {
    previous = checkPlace(process, scheduler, assignment, message, previous);
    entries.push({ process, nonce: previous.nonce, assignment, message });
  }
  return entries;
}

function checkHead(process: string, head: ScheduleHead, shown: ShownEntry | undefined): void {
  if (!shown) throw new ReplicaError('fork', `Slot ${head.nonce} of ${process} is gone from the schedule.`);
  if (shown.assignment.id !== head.assignmentId)
    throw new ReplicaError(
      'fork',
      `Slot ${head.nonce} of ${process} is now ${shown.assignment.id}; it was ${head.assignmentId}. The scheduler has shown two histories.`,
    );
}

/** What a network gives, its errors as those of a replica. */
async function reached<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof ItemError) throw new ReplicaError('malformed', error.message);
    if (!(error instanceof EngineError)) throw error;
    throw new ReplicaError(error.code === 'malformed' ? 'malformed' : 'unreachable', error.message);
  }
}

/** The item as its owner signed it, or null. */
async function asSigned(network: AoNetwork, item: Item): Promise<Item | null> {
  if (await verifyItem(item)) return item;
  return reached(async () => (await network.asSigned?.(item)) ?? null);
}

/** Everything about one entry but the signatures. Returns the head after it. @throws ReplicaError */
export function checkPlace(
  process: string,
  scheduler: string,
  assignment: Item,
  message: Item,
  previous: ScheduleHead | null,
): ScheduleHead {
  const nonce = previous ? previous.nonce + 1 : 0;
  const expected = {
    Process: process,
    Nonce: String(nonce),
    'Data-Protocol': 'ao',
    Type: 'Assignment',
    // AO's own scheduler units name no message where a process is assigned to itself.
    ...(nonce === 0 && tagOf(assignment, 'Message') === '' ? {} : { Message: message.id }),
  };
  if (assignment.ownerAddress !== scheduler)
    throw new ReplicaError(
      'wrong-scheduler',
      `Slot ${nonce} is signed by ${assignment.ownerAddress}, not by the scheduler ${scheduler}.`,
    );
  for (const [name, value] of Object.entries(expected)) {
    if (tagOf(assignment, name) !== value)
      throw new ReplicaError(
        'wrong-place',
        `Slot ${nonce} of ${process}: ${name} is ${tagOf(assignment, name)}, not ${value}.`,
      );
  }
  // Later slots may hold what was said to another process: assigned, which the process sees by its Target.
  if (nonce === 0 && message.id !== process)
    throw new ReplicaError('wrong-place', `Slot 0 of ${process} holds ${message.id}, not its spawn.`);
  const hashChain = tagOf(assignment, 'Hash-Chain');
  if (hashChain !== (previous ? nextHash(previous) : firstHash(process)))
    throw new ReplicaError('broken-chain', `The hash chain of ${process} breaks at slot ${nonce}.`);
  const timestamp = Number(tagOf(assignment, 'Timestamp'));
  if (!Number.isSafeInteger(timestamp) || timestamp < (previous?.timestamp ?? 0))
    throw new ReplicaError('wrong-place', `Time runs backwards at slot ${nonce} of ${process}.`);
  return { nonce, assignmentId: assignment.id, hashChain, timestamp };
}

async function allSigned(network: AoNetwork, process: string, shown: readonly ShownEntry[]): Promise<ShownEntry[]> {
  return Promise.all(
    shown.map(async (entry) => {
      const [assignment, message] = await Promise.all([
        asSigned(network, entry.assignment),
        asSigned(network, entry.message),
      ]);
      if (assignment && message) return { assignment, message };
      throw new ReplicaError(
        'bad-signature',
        `Slot ${tagOf(entry.assignment, 'Nonce')} of ${process}: the ${assignment ? 'message' : 'assignment'} is not signed by its owner.`,
      );
    }),
  );
}
