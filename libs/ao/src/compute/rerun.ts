/**
 * Schedules evaluated again as they come, many processes at once, as fast as this machine does: no leases, no messages sent. What is
 * evaluated must be in the tables already (`process`, `module`, `assignment`): a process that was closed for room, or lost its thread, is
 * opened again from there. Memory is bounded by the budget and by how many bytes wait.
 */
import type { DataSource } from 'typeorm';
import { parseItem } from '../items/item.js';
import { tagOf } from '../items/tags.js';
import type { EvaluationResult, MemoryImage, ScheduleEntry, VmMessage } from '../types.js';
import { CheckpointStore } from './checkpoint-store.js';
import { MEMORY_BUDGET_BYTES } from './hot-processes.js';
import { FORMATS } from './machines.js';
import { environmentOf } from './message.js';
import { PACKED_ENTRY, PackedEntries, type Outcome } from './packed.js';
import { WorkerLost, type WorkerPool } from './worker-pool.js';

/** Bytes of entries that wait at most before whoever gives them waits himself. */
const MAX_WAITING_BYTES = 48 * 1024 * 1024;
/** Processes at work at once for each thread: while one's outcomes are looked at, another one's are made. */
const AT_WORK = 2;
/** Bytes of entries read at once for a process that is brought back. */
const PAGE_BYTES = 8 * 1024 * 1024;
const PAGE_SLOTS = 2000;
/** Times a process is opened again because its thread was lost through another. */
const MAX_TRIES = 5;

export interface RerunOptions {
  database: DataSource;
  workers: WorkerPool;
  /** Bytes of memory open processes may hold together; MEMORY_BUDGET_BYTES unless told. */
  memoryBudget?: number | undefined;
  /** Given the outcomes of every slot once, in order for each process, which goes on when it is done with them. What it throws ends the run. */
  onOutcomes: (
    process: string,
    first: number,
    outcomes: readonly Outcome[],
    messages: readonly string[],
  ) => Promise<void> | void;
}

/** A process that goes no further on this machine. */
export interface RerunStopped {
  process: string;
  /** The slot it does not get past. */
  slot: number;
  reason: string;
}

interface Piece {
  bytes: Buffer;
  /** Ids of its messages. */
  messages: string[];
}

interface Lane {
  process: string;
  /** Last slot evaluated. */
  at: number;
  pieces: Piece[];
  /** Enlisted, at work, or being closed: nobody else begins with it. */
  taken: boolean;
  /** One entry at a time, to see which one ends the thread. */
  alone: boolean;
  tries: number;
  stopped: RerunStopped | null;
}

export class Rerun {
  private readonly lanes = new Map<string, Lane>();
  private readonly checkpoints: CheckpointStore;
  /** Lanes that have something to do and wait for their turn. */
  private ready: Lane[] = [];
  /** Open and idle, the least recently used first. */
  private readonly idle = new Set<string>();
  private working = 0;
  private waitingBytes = 0;
  private failure: { error: unknown } | null = null;
  private wakers: (() => void)[] = [];

  constructor(private readonly options: RerunOptions) {
    this.checkpoints = new CheckpointStore(options.database);
  }

  /** Processes that go no further. */
  get stopped(): RerunStopped[] {
    return [...this.lanes.values()].flatMap(({ stopped }) => stopped ?? []);
  }

  /** Last slot of a process that was evaluated; -1 before the first. */
  at(process: string): number {
    return this.lanes.get(process)?.at ?? -1;
  }

  /** Begins a process after this slot, from a memory that is taken as it is. */
  async begin(process: string, at: number, image: MemoryImage): Promise<void> {
    await this.checkpoints.replace(process, at, image);
    this.lane(process).at = at;
  }

  /** Entries of a process that follow those given before. Resolves when there is room for more. @throws what ended the run */
  async give(process: string, entries: readonly ScheduleEntry[]): Promise<void> {
    await this.givePacked(process, { bytes: PackedEntries.of(entries), messages: entries.map((e) => e.message.id) });
  }

  /** As `give`, with what is stored of a process after the slot it has come to. */
  async giveStored(process: string): Promise<void> {
    for (let next = this.at(process) + 1; ;) {
      const piece = await this.stored(process, next, Number.MAX_SAFE_INTEGER);
      if (!piece) return;
      next += piece.messages.length;
      await this.givePacked(process, piece);
    }
  }

  /** Resolves when all that was given is evaluated. @throws what ended the run */
  async finish(): Promise<void> {
    while (!this.failure && (this.working > 0 || this.ready.length > 0)) await this.woken();
    this.check();
  }

  /** Ends it, however far it has come: resolves when nothing of it is under way any more. */
  async end(): Promise<void> {
    this.failure ??= { error: new Error('The run was ended.') };
    while (this.working > 0) await this.woken();
  }

  /** Evaluates a message on the state a process has come to, without effect; null when it goes no further. */
  async read(process: string, message: VmMessage): Promise<EvaluationResult | null> {
    const lane = this.lane(process);
    if (lane.stopped || lane.at < 0) return null;
    await this.open(lane);
    this.idle.add(process);
    return this.options.workers.dryRun(process, message);
  }

  /** Keeps the memory of every process that is open, so that a gateway need not evaluate it all again. */
  async keepAll(): Promise<void> {
    for (const process of Array.from(this.idle)) await this.keep(this.lane(process));
  }

  private lane(process: string): Lane {
    const lane = this.lanes.get(process) ?? {
      process,
      at: -1,
      pieces: [],
      taken: false,
      alone: false,
      tries: 0,
      stopped: null,
    };
    this.lanes.set(process, lane);
    return lane;
  }

  private async givePacked(process: string, piece: Piece): Promise<void> {
    this.check();
    const lane = this.lane(process);
    if (lane.stopped) return;
    lane.pieces.push(piece);
    this.waitingBytes += piece.bytes.length;
    this.enlist(lane);
    this.dispatch();
    while (!this.failure && this.waitingBytes > MAX_WAITING_BYTES) await this.woken();
    this.check();
  }

  private check(): void {
    if (this.failure) throw this.failure.error;
  }

  /** A process that is taken is enlisted when it is let go. */
  private enlist(lane: Lane): void {
    if (lane.taken || lane.pieces.length === 0) return;
    lane.taken = true;
    this.ready.push(lane);
  }

  private dispatch(): void {
    while (!this.failure && this.working < AT_WORK * this.options.workers.size) {
      const lane = this.ready.shift();
      if (!lane) break;
      this.working += 1;
      void this.work(lane)
        .catch((error: unknown) => (this.failure ??= { error }))
        .finally(() => {
          this.working -= 1;
          this.dispatch();
          this.wake();
        });
    }
  }

  /** One process until nothing of it waits. */
  private async work(lane: Lane): Promise<void> {
    this.idle.delete(lane.process);
    while (lane.pieces.length > 0 && !lane.stopped && !this.failure) {
      try {
        await this.open(lane);
        await this.evaluate(lane);
      } catch (error) {
        if (!(error instanceof WorkerLost)) throw error;
        await this.lost(lane, error);
      }
    }
    lane.taken = false;
    if (this.options.workers.isOpen(lane.process)) this.idle.add(lane.process);
    await this.trim();
  }

  /** The next piece is under way while the outcomes of the last one are looked at. */
  private async evaluate(lane: Lane): Promise<void> {
    let piece = lane.pieces[0];
    let asked = piece && this.ask(lane, piece);
    while (piece && asked) {
      const { bytes, outcomes } = await asked;
      const done = outcomes.length;
      const [first, messages] = [lane.at + 1, piece.messages.splice(0, done)];
      piece.bytes = piece.bytes.subarray(bytes);
      lane.at += done;
      lane.tries = 0;
      this.waitingBytes -= bytes;
      if (piece.bytes.length === 0) lane.pieces.shift();
      piece = lane.alone || this.failure ? undefined : lane.pieces[0];
      asked = piece && this.ask(lane, piece);
      asked?.catch(() => undefined); // met when it is waited for
      await new Promise(setImmediate); // the thread has it before this one is at work again
      await this.options.onOutcomes(lane.process, first, outcomes, messages);
      this.wake();
    }
    lane.alone = false;
  }

  private ask(lane: Lane, { bytes }: Piece): Promise<{ bytes: number; outcomes: Outcome[] }> {
    const some = lane.alone ? bytes.subarray(0, PackedEntries.end(bytes, 0, 1)) : bytes;
    return this.options.workers.evaluateSome(lane.process, some);
  }

  /** Who ended its thread is tried again entry by entry; the entry that does so alone stops the process. */
  private async lost(lane: Lane, { fault, message }: WorkerLost): Promise<void> {
    lane.tries += 1;
    const own = fault !== 'other';
    if ((own && lane.alone) || lane.tries > MAX_TRIES) this.stop(lane, message);
    else if (own) lane.alone = true;
    await this.options.workers.close(lane.process).catch(() => undefined);
  }

  private stop(lane: Lane, reason: string): void {
    lane.stopped = { process: lane.process, slot: lane.at + 1, reason };
    this.waitingBytes -= lane.pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
    lane.pieces = [];
  }

  /** Opens a process unless it is, at the slot it has come to: from its kept memory, or from nothing. */
  private async open(lane: Lane): Promise<void> {
    const { database, workers } = this.options;
    const { process } = lane;
    if (workers.isOpen(process)) return;
    const [row]: { item: Buffer; module: Buffer }[] = await database.query(
      'select p.item, m.item as module from process p join module m on m.id = p.module where p.id = $1',
      [process],
    );
    if (!row) throw new Error(`Process ${process} is not in the tables.`);
    const module = parseItem(row.module);
    const format = tagOf(module, 'Module-Format');
    if (!FORMATS.includes(format)) {
      this.stop(lane, `no machine here runs the Module-Format ${format}.`);
      return;
    }
    const kept = await this.checkpoints.load(process);
    await workers.open(process, module.data, format, environmentOf(parseItem(row.item), module), kept?.image ?? null);
    for (let next = (kept?.nonce ?? -1) + 1; next <= lane.at;) {
      const piece = await this.stored(process, next, lane.at);
      if (!piece) throw new Error(`Slot ${next} of process ${process} is not in the tables.`);
      await workers.replay(process, piece.bytes);
      next += piece.messages.length;
    }
  }

  private async stored(process: string, first: number, last: number): Promise<Piece | null> {
    const rows: { entries: Buffer | null; messages: string[] | null }[] = await this.options.database.query(
      `select string_agg(${PACKED_ENTRY}, ''::bytea order by nonce) as entries, array_agg(message_id order by nonce) as messages
       from (
         select nonce, message_id, item, message,
           coalesce(sum(octet_length(message)) over (order by nonce rows between unbounded preceding and 1 preceding), 0) as before
         from assignment where process = $1 and nonce between $2 and $3
       ) as sized where before < ${PAGE_BYTES}`,
      [process, first, Math.min(last, first + PAGE_SLOTS - 1)],
    );
    const { entries, messages } = rows[0] ?? { entries: null, messages: null };
    return entries && messages ? { bytes: entries, messages } : null;
  }

  /** Closes idle processes, the least recently used first, while all together hold too much. */
  private async trim(): Promise<void> {
    const budget = this.options.memoryBudget ?? MEMORY_BUDGET_BYTES;
    for (const process of Array.from(this.idle)) {
      const held = [...this.options.workers.usage().values()].reduce((sum, bytes) => sum + bytes, 0);
      if (held <= budget) return;
      const lane = this.lane(process);
      if (lane.taken || !this.idle.delete(process)) continue;
      lane.taken = true;
      await this.keep(lane);
      await this.options.workers.close(process);
      lane.taken = false;
      this.enlist(lane);
    }
  }

  private async keep(lane: Lane): Promise<void> {
    const { process, at } = lane;
    const image = await this.options.workers.snapshot(process).catch((error: unknown) => {
      if (error instanceof WorkerLost) return null; // it is evaluated again from what is kept
      throw error;
    });
    if (image) await this.checkpoints.replace(process, at, image);
  }

  private woken(): Promise<void> {
    return new Promise((resolve) => this.wakers.push(resolve));
  }

  private wake(): void {
    for (const wake of this.wakers.splice(0)) wake();
  }
}
