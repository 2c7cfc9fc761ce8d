/**
 * A replica: one's own copy of a process, for those who trust no gateway. It takes a schedule only as the pinned scheduler signed it,
 * slot after slot, and evaluates it itself. What it has accepted it never unlearns: another history for a known slot is a fork, and stops it.
 */
import { decodeBundle, ItemError, parseItem, verifyItem } from '../items/index.js';
import { firstHash, nextHash, tagOf, type ScheduleHead } from '../scheduler/assignment.js';
import type { EvaluationResult, Item, ScheduleEntry, VmMessage } from '../types.js';
import { environmentOf, messageOf } from './message.js';
import { fetchBounded } from './fetch-bounded.js';
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
  /** Base URL of the gateway: schedule under /su, items under /raw. */
  gatewayUrl: string;
  /** Called once for each slot, in order, from slot 0 at every start. */
  onResult: (entry: ScheduleEntry, result: EvaluationResult) => Promise<void> | void;
}

const PAGE = 500;
/** A page of the schedule takes about 32 MiB at most, a module a few. */
const MAX_RESPONSE_BYTES = 128 * 1024 * 1024;

export class Replica {
  private evaluated = -1;
  private module: Item | null = null;

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
    if (!this.module) throw new ReplicaError('unreachable', 'Nothing of the process is known yet.');
    return this.options.workers.dryRun(this.options.process, {
      ...message,
      Module: this.module.id,
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
      const module = (this.module ??= await this.open(first));
      const results = await this.options.workers.handleSome(
        this.options.process,
        entries.map((e) => messageOf(e, module.id)),
      );
      for (const [i, result] of results.entries()) {
        const entry = entries[i] as ScheduleEntry;
        await this.options.onResult(entry, result);
        this.evaluated = entry.nonce;
        count += 1;
      }
    }
  }

  /** The process, opened from its spawn: the id names the spawn, the spawn names the module, each by the hash of its signature. */
  private async open(spawn: ScheduleEntry): Promise<Item> {
    const id = tagOf(spawn.message, 'Module');
    const raw = (await this.options.store.module(id)) ?? (await this.fetchModule(id));
    const module = parseItem(raw);
    const { process, workers } = this.options;
    await workers.open(
      process,
      module.data,
      tagOf(module, 'Module-Format'),
      environmentOf(spawn.message, module),
      null,
    );
    return module;
  }

  private async fetchModule(id: string): Promise<Buffer> {
    const raw = await this.get(`/raw/${id}`);
    const module = read(() => parseItem(raw));
    if (module.id !== id || !(await verifyItem(module)))
      throw new ReplicaError('wrong-module', `The gateway gave other bytes for module ${id}.`);
    await this.options.store.saveModule(id, raw);
    return raw;
  }

  /** The next page, checked whole. Asks from the head itself on, so that another history for a known slot is seen. */
  private async fetchEntries(head: ScheduleHead | null): Promise<ScheduleEntry[]> {
    const { process } = this.options;
    const from = head?.nonce ?? 0;
    const bytes = await this.get(`/su/${process}?process-id=${process}&from-nonce=${from}&limit=${PAGE}`);
    const items = read(() => decodeBundle(bytes));
    if (items.length % 2 !== 0)
      throw new ReplicaError('malformed', 'The schedule has an assignment without its message.');
    const entries: ScheduleEntry[] = [];
    let previous: ScheduleHead | null = null;
    for (let i = 0; i < items.length; i += 2) {
      const [assignment, message] = [items[i] as Item, items[i + 1] as Item];
      if (i === 0 && head) {
        if (assignment.id !== head.assignmentId)
          throw new ReplicaError(
            'fork',
            `Slot ${head.nonce} of ${process} is now ${assignment.id}; it was ${head.assignmentId}. The scheduler has shown two histories.`,
          );
        previous = head;
        continue;
      }
      previous = checkPlace(process, this.options.scheduler, assignment, message, previous);
      entries.push({ process, nonce: previous.nonce, assignment, message });
    }
    if (head && items.length === 0)
      throw new ReplicaError('fork', `Slot ${head.nonce} of ${process} is gone from the schedule.`);
    await this.checkNew(entries);
    await checkSignatures(entries);
    return entries;
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

  private async get(path: string): Promise<Buffer> {
    try {
      const { status, body } = await fetchBounded(`${this.options.gatewayUrl}${path}`, MAX_RESPONSE_BYTES);
      if (status !== 200) throw new Error(`HTTP ${status}`);
      return body;
    } catch (error) {
      throw new ReplicaError(
        'unreachable',
        `The gateway does not answer ${path}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
}

function read<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ItemError) throw new ReplicaError('malformed', error.message);
    throw error;
  }
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
    Message: message.id,
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

async function checkSignatures(entries: readonly ScheduleEntry[]): Promise<void> {
  const good = await Promise.all(entries.flatMap((e) => [verifyItem(e.assignment), verifyItem(e.message)]));
  const bad = good.indexOf(false);
  if (bad >= 0) {
    const entry = entries[Math.floor(bad / 2)];
    throw new ReplicaError(
      'bad-signature',
      `Slot ${entry?.nonce} of ${entry?.process}: the ${bad % 2 === 0 ? 'assignment' : 'message'} is not signed by its owner.`,
    );
  }
}
