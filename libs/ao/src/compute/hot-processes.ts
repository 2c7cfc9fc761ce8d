/**
 * The processes that are open in workers: opened from their newest checkpoint, brought to where their stored results end, checkpointed so
 * that doing that again stays short, and closed, the least recently used first, when all together hold more memory than they may.
 */
import type { DataSource } from 'typeorm';
import { parseItem } from '../items/index.js';
import { tagOf } from '../items/tags.js';
import type { EvaluationResult, Item, MemoryChange, ProcessEnv, ScheduleEntry } from '../types.js';
import type { CheckpointStore } from './checkpoint-store.js';
import { ComputeError, ProcessStopped } from './error.js';
import { FORMATS } from './machines.js';
import { LeaseLost, type Lease } from './leases.js';
import { environmentOf, messageOf } from './message.js';
import { storedPages } from './stored-schedule.js';
import type { Turns } from './turns.js';
import type { WorkerPool } from './worker-pool.js';

/** What is done again at most when a process is opened: so much work, so many slots and bytes of the schedule to read. About a second. */
export const CHECKPOINT_EVERY = { milliseconds: 1000, slots: 10_000, bytes: 32 * 1024 * 1024 } as const;
/** A memory that changes all over is written less often: about so many bytes for each such stretch, a tenth of the time it stands for. */
const CHECKPOINT_WRITES = 16 * 1024 * 1024;
/** Less than this is done again sooner than a checkpoint is written. */
const TRIFLE_MS = 5;
/** Pause between two looks at the memory in use. */
const TRIM_MS = 100;
/** Memory a process is taken to need before one of its module was seen. */
const FIRST_GUESS_BYTES = 4 * 1024 * 1024;
/** Modules kept parsed, in bytes: many processes share one. */
const MAX_MODULE_BYTES = 64 * 1024 * 1024;
/** Memory all open processes may hold together unless told. */
export const MEMORY_BUDGET_BYTES = 2 * 1024 * 1024 * 1024;

/** An open process. */
export interface Hot {
  readonly process: string;
  readonly env: ProcessEnv;
  readonly module: Item;
  /** The state is the one after this slot. */
  at: number;
  /** Slot of the newest checkpoint that leads to this state, or null. */
  checkpoint: number | null;
  /** The right to go on; null: the state only follows what another stores. */
  lease: Lease | null;
  lastUsed: number;
  /** Messages evaluated since it was opened, to give results. */
  messages: number;
  /** Dry-runs under way: it is not closed meanwhile. */
  reads: number;
  /** Messages sent since it was seen how many of them wait. */
  sent: number;
  /** Since the checkpoint: entries' bytes, and work as of the checkpoint. */
  bytesSince: number;
  spentBefore: number;
  /** Bytes of the pages the last checkpoint wrote. */
  written: number;
  /** A checkpoint taken of it is lost: it must be opened again at the stored one. */
  spoiled: boolean;
}

/** What a checkpoint writes: taken of a process in a moment, written while it goes on. */
interface Taken {
  lease: Lease;
  base: number | null;
  at: number;
  change: MemoryChange;
}

/** What an operator sees of an open process. */
export interface HotStatus {
  process: string;
  module: string;
  /** Its Module-Format. */
  format: string;
  /** Last slot evaluated. */
  evaluated: number;
  /** Slot of the newest checkpoint, or null. */
  checkpoint: number | null;
  /** Whether this gateway computes it, or only follows another that does. */
  leased: boolean;
  /** Memory held, about, with its copy for dry-runs. */
  bytes: number;
  lastUsed: Date;
  /** Messages evaluated since it was opened. */
  messages: number;
  /** Work since it was opened, in milliseconds. */
  computeMs: number;
}

/** Since this compute began. */
export interface HotTotals {
  /** Times a process was opened, from a checkpoint or from nothing. */
  opened: number;
  /** Of those, closed to make room for others. */
  evicted: number;
}

export interface HotOptions {
  /** Gives back the leases of what was closed. */
  release(leases: readonly Lease[]): Promise<void>;
  /** Told of what failed in the background. */
  onFailure(process: string, error: unknown): void;
  /** Bytes of memory all may hold together. */
  budget?: number | undefined;
  /** Work, slots or bytes after which a checkpoint is due; CHECKPOINT_EVERY unless told. */
  checkpointEvery?: Partial<Record<keyof typeof CHECKPOINT_EVERY, number>> | undefined;
}

export class HotProcesses {
  readonly totals: HotTotals = { opened: 0, evicted: 0 };
  private readonly hot = new Map<string, Hot>();
  /** Checkpoints that are being written; none of them rejects. */
  private readonly writing = new Map<string, Promise<void>>();
  private readonly modules = new Map<string, Item>();
  /** Most memory seen for a process of a module. */
  private readonly sizes = new Map<string, number>();
  private opening = 0;
  private trimmed = 0;
  private stopped = false;
  private waiting: (() => void)[] = [];

  constructor(
    private readonly database: DataSource,
    private readonly workers: WorkerPool,
    private readonly checkpoints: CheckpointStore,
    private readonly turns: Turns,
    private readonly options: HotOptions,
  ) {}

  /** Whether a process waits to be opened until others have ended their turns. */
  get crowded(): boolean {
    return this.waiting.length > 0;
  }

  /** Whether all together hold more memory than they may. */
  get overfull(): boolean {
    return this.excess(0) > 0;
  }

  get(process: string): Hot | null {
    const hot = this.hot.get(process);
    if (hot && !hot.spoiled && this.workers.isOpen(process)) return hot;
    this.hot.delete(process);
    return null;
  }

  /** Opens a process at its newest checkpoint, or at nothing, once there is room. Its turn must be taken. @throws ComputeError `unknown-process`; ProcessStopped; WorkerLost */
  async open(process: string): Promise<Hot> {
    const rows: { item: Buffer; module: string }[] = await this.database.query(
      'select item, module from process where id = $1',
      [process],
    );
    const row = rows[0];
    if (!row) throw new ComputeError('unknown-process', `There is no process ${process} here.`);
    const module = await this.module(row.module);
    const format = tagOf(module, 'Module-Format');
    if (!FORMATS.includes(format))
      throw new ProcessStopped(process, null, 'unknown-format', `no machine here runs the Module-Format ${format}.`);
    await this.makeRoom(this.sizes.get(module.id) ?? FIRST_GUESS_BYTES);
    try {
      const env = environmentOf(parseItem(row.item), module);
      await this.writing.get(process);
      const kept = await this.checkpoints.load(process);
      await this.workers.open(process, module.data, format, env, kept?.image ?? null);
      const hot: Hot = {
        process,
        env,
        module,
        at: kept?.nonce ?? -1,
        checkpoint: kept?.nonce ?? null,
        lease: null,
        lastUsed: Date.now(),
        messages: 0,
        reads: 0,
        sent: 0,
        bytesSince: 0,
        spentBefore: this.workers.spent(process),
        written: 0,
        spoiled: false,
      };
      this.hot.set(process, hot);
      this.totals.opened += 1;
      return hot;
    } finally {
      this.opening -= 1;
    }
  }

  /** Brings the state to what it is after a slot whose results are stored. What failed when it was first evaluated had no effect and is passed over. */
  async bring(hot: Hot, nonce: number): Promise<void> {
    hot.lastUsed = Date.now();
    if (hot.at >= nonce) return;
    for await (const page of storedPages(this.database, hot.process, hot.at + 1, nonce)) {
      await this.workers.replay(hot.process, page.entries);
      hot.at = page.last;
      hot.bytesSince += page.entries.length;
      await this.checkpointIfDue(hot);
    }
  }

  /** Results of the first of these entries, at least one; the state moves on. @throws WorkerLost, and nothing has happened */
  async handle(hot: Hot, entries: readonly ScheduleEntry[]): Promise<EvaluationResult[]> {
    hot.lastUsed = Date.now();
    const results = await this.workers.handleSome(
      hot.process,
      entries.map((e) => messageOf(e, hot.env)),
    );
    hot.at += results.length;
    hot.messages += results.length;
    for (const { message, assignment } of entries.slice(0, results.length))
      hot.bytesSince += message.raw.length + assignment.raw.length;
    return results;
  }

  /** Whether replaying from the last checkpoint would take too long, and a new one is worth its cost. */
  checkpointDue(hot: Hot): boolean {
    const every = { ...CHECKPOINT_EVERY, ...this.options.checkpointEvery };
    const stretches = Math.max(
      this.unkept(hot) / every.milliseconds,
      (hot.at - (hot.checkpoint ?? -1)) / every.slots,
      hot.bytesSince / every.bytes,
    );
    return stretches >= 1 && stretches * CHECKPOINT_WRITES >= hot.written;
  }

  /** Writes a checkpoint when one is due. All results up to here must be stored. */
  async checkpointIfDue(hot: Hot): Promise<void> {
    if (this.checkpointDue(hot)) await this.checkpoint(hot);
  }

  /**
   * Takes a checkpoint when one is due, and writes it while the process goes on, once all results up to here are `stored`: writing takes tens of
   * milliseconds, for which nobody's message should wait. One at a time; when it fails, that is told, and the process is opened again.
   */
  async checkpointBehind(hot: Hot, stored: Promise<void>): Promise<void> {
    const { process } = hot;
    if (this.writing.has(process) || !this.checkpointDue(hot)) return;
    const taken = await this.take(hot);
    if (!taken) return;
    const writing = stored
      .then(
        () => this.write(hot, taken),
        () => void (hot.spoiled = true), // told to who waits for the results
      )
      .catch((error: unknown) => {
        if (!(error instanceof LeaseLost)) this.options.onFailure(process, error); // no failure: another has gone on
      })
      .finally(() => this.writing.delete(process));
    this.writing.set(process, writing);
  }

  /** Closes a process without a word; its state is made again from what is stored. */
  async close(process: string): Promise<void> {
    this.hot.delete(process);
    await this.workers.close(process).catch(() => undefined);
    this.leave();
  }

  /** To be called when a process has ended its turn: others may have its place. */
  leave(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }

  /** Checkpoints and closes idle processes until the rest keeps within the budget; looks only so often. */
  async trim(): Promise<void> {
    if (Date.now() - this.trimmed < TRIM_MS) return;
    this.trimmed = Date.now();
    for (let victim = this.victim(0); victim && !this.stopped; victim = this.victim(0)) await this.evict(victim);
  }

  /** Makes room for so much more, as far as idle processes can: waits for nobody. */
  async spare(bytes: number): Promise<void> {
    if (bytes === 0) return;
    for (let victim = this.victim(bytes); victim && !this.stopped; victim = this.victim(bytes))
      await this.evict(victim);
  }

  /** Nobody waits for room any more, and nobody is closed to make some. */
  stop(): void {
    this.stopped = true;
    this.leave();
  }

  /**
   * Checkpoints what is ahead of its checkpoint, most work first, so that the next run need not do it again; what is not done by then is. No
   * turn may be taken, and none is taken any more.
   */
  async keep(withinMs: number): Promise<void> {
    const behind = [...this.hot.values()]
      .filter(
        (hot) => this.workers.isOpen(hot.process) && (this.unkept(hot) > TRIFLE_MS || this.writing.has(hot.process)),
      )
      .toSorted((a, b) => this.unkept(b) - this.unkept(a));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), withinMs)));
    for (const hot of behind) {
      const done = this.checkpoint(hot).catch((error: unknown) => this.options.onFailure(hot.process, error));
      if ((await Promise.race([done, late])) === 'late') break;
    }
    clearTimeout(timer);
  }

  status(): HotStatus[] {
    const usage = this.workers.usage();
    return [...this.hot.values()]
      .filter(({ process }) => this.workers.isOpen(process))
      .map((hot) => ({
        process: hot.process,
        module: hot.module.id,
        format: tagOf(hot.module, 'Module-Format'),
        evaluated: hot.at,
        checkpoint: hot.checkpoint,
        leased: hot.lease !== null,
        bytes: usage.get(hot.process) ?? 0,
        lastUsed: new Date(hot.lastUsed),
        messages: hot.messages,
        computeMs: this.workers.spent(hot.process),
      }));
  }

  forgetLeases(): void {
    for (const hot of this.hot.values()) hot.lease = null;
  }

  /** Milliseconds of work since the last checkpoint. */
  private unkept({ process, spentBefore }: Hot): number {
    return this.workers.spent(process) - spentBefore;
  }

  private async checkpoint(hot: Hot): Promise<void> {
    await this.writing.get(hot.process);
    const taken = await this.take(hot);
    if (taken) await this.write(hot, taken);
  }

  private async take(hot: Hot): Promise<Taken | null> {
    const { process, lease, checkpoint: base, at } = hot;
    if (!lease || hot.spoiled || at === base) return null;
    try {
      const change = await this.workers.checkpoint(process);
      hot.bytesSince = 0;
      hot.spentBefore = this.workers.spent(process);
      return { lease, base, at, change };
    } catch (error) {
      hot.spoiled = true;
      throw error;
    }
  }

  private async write(hot: Hot, { lease, base, at, change }: Taken): Promise<void> {
    try {
      await this.checkpoints.save(lease, base, at, change);
    } catch (error) {
      // The change is told once: who loses it begins again at the stored checkpoint.
      hot.spoiled = true;
      throw error;
    }
    hot.checkpoint = at;
    hot.written = change.changed.reduce((sum, [, bytes]) => sum + (bytes?.length ?? 0), 0);
  }

  /**
   * Waits until a process of this size may be opened as well: idle ones make room at once, those at work when they have ended their turn. From
   * then on it is being opened: who else waits must see that before it looks.
   */
  private async makeRoom(bytes: number): Promise<void> {
    for (;;) {
      if (this.stopped) throw new ComputeError('not-ready', 'The compute unit is stopping.');
      const victim = this.victim(bytes);
      if (victim) await this.evict(victim);
      else if (this.hot.size + this.opening === 0 || this.excess(bytes) <= 0) break;
      else await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.opening += 1;
  }

  private excess(bytes: number): number {
    let held = this.opening * FIRST_GUESS_BYTES + bytes;
    for (const [process, all] of this.workers.usage()) {
      held += all;
      const used = this.workers.sizeOf(process);
      const module = this.hot.get(process)?.module.id;
      if (module !== undefined && used > (this.sizes.get(module) ?? 0)) this.sizes.set(module, used);
    }
    return held - (this.options.budget ?? MEMORY_BUDGET_BYTES);
  }

  /** The least recently used process that is idle, when there is too much. */
  private victim(bytes: number): Hot | null {
    if (this.excess(bytes) <= 0) return null;
    let oldest: Hot | null = null;
    for (const hot of this.hot.values()) {
      if (this.turns.taken(hot.process) || hot.reads > 0) continue;
      if (!oldest || hot.lastUsed < oldest.lastUsed) oldest = hot;
    }
    return oldest;
  }

  private evict(hot: Hot): Promise<void> {
    return this.turns.take(hot.process, async () => {
      const { process, lease } = hot;
      this.totals.evicted += 1;
      try {
        await this.writing.get(process);
        if (this.get(process) && this.unkept(hot) > TRIFLE_MS) await this.checkpoint(hot);
      } catch (error) {
        this.options.onFailure(process, error);
      }
      await this.close(process);
      if (lease) await this.options.release([lease]).catch((error: unknown) => this.options.onFailure(process, error));
    });
  }

  private async module(id: string): Promise<Item> {
    const known = this.modules.get(id);
    if (known) return known;
    const rows: { item: Buffer }[] = await this.database.query('select item from module where id = $1', [id]);
    const module = parseItem(rows[0]?.item ?? Buffer.alloc(0));
    this.modules.set(id, module);
    let bytes = 0;
    for (const [old, item] of [...this.modules].toReversed()) {
      bytes += item.raw.length;
      if (bytes > MAX_MODULE_BYTES && old !== id) {
        this.modules.delete(old);
        this.sizes.delete(old);
      }
    }
    return module;
  }
}
