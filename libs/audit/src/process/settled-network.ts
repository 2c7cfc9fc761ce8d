/**
 * Schedules as they were settled on Arweave, for who audits without any gateway: bundles in order, checked as they are read, of which the audited
 * processes' slots are shown. Each piece is let go when its process has gone beyond it, so that memory does not grow with history.
 */
import { parseItem, tagOf, type Item, type ScheduleHead, type ShownEntry } from '@isthmus/ao';
import {
  Follower,
  readBundles,
  SettlementFinding,
  SourceError,
  type BundleSource,
  type LastSeal,
  type ReadBundle,
} from '@isthmus/arweave';
import { AuditError } from '../domain/error.js';
import type { ShownSchedules } from './process-reader.js';

/** Bytes of modules kept until their spawn is met: a scheduler's processes share few. */
const MODULE_BYTES = 256 * 1024 * 1024;

export class SettledNetwork implements ShownSchedules {
  private readonly shown = new Map<string, ShownEntry[]>();
  private readonly modules = new Map<string, Buffer>();
  private moduleBytes = 0;
  private readonly follower: Follower;
  private bundles: AsyncGenerator<ReadBundle> | null = null;
  private tx: string | null = null;

  /** @param source a gateway of Arweave */
  constructor(
    private readonly source: BundleSource,
    private readonly scheduler: string,
    processes: readonly string[],
  ) {
    for (const process of processes) this.shown.set(process, []);
    this.follower = new Follower(scheduler);
  }

  /** The seal read last, and what carries it. */
  get last(): (LastSeal & { tx: string }) | null {
    const { last } = this.follower;
    return last && this.tx !== null ? { ...last, tx: this.tx } : null;
  }

  /** Reads one more bundle; false when there is none now. @throws AuditError */
  async advance(): Promise<boolean> {
    try {
      const { source, follower, scheduler } = this;
      this.bundles ??= readBundles({ source, scheduler, follower });
      const next = await this.bundles.next();
      if (next.done) this.bundles = null; // asked again, it goes on behind the last
      else this.take(next.value);
      return !next.done;
    } catch (error) {
      if (error instanceof SettlementFinding) throw new AuditError('bad-schedule', wordsOf(error));
      if (error instanceof SourceError) throw new AuditError('unreachable', error.message);
      throw error;
    }
  }

  schedule(process: string, head: ScheduleHead | null, limit: number): Promise<ShownEntry[]> {
    const shown = this.shown.get(process) ?? [];
    const from = head === null ? 0 : shown.findIndex((e) => e.assignment.id === head.assignmentId);
    // What is before the head will not be asked for again.
    if (from > 0) shown.splice(0, from);
    return Promise.resolve(from < 0 ? [] : shown.slice(0, limit + 1));
  }

  item(id: string): Promise<Item | null> {
    const raw = this.modules.get(id);
    return Promise.resolve(raw ? parseItem(raw) : null);
  }

  send(): Promise<void> {
    return Promise.reject(new Error('An auditor says nothing.'));
  }

  private take({ others, ranges, tx }: ReadBundle): void {
    this.tx = tx;
    for (const item of others) if (tagOf(item, 'Type') === 'Module') this.keep(item);
    for (const { process, entries } of ranges)
      this.shown.get(process)?.push(...entries.map(({ assignment, message }) => ({ assignment, message })));
  }

  private keep({ id, raw }: Item): void {
    this.moduleBytes += raw.length;
    if (this.moduleBytes > MODULE_BYTES)
      throw new AuditError(
        'bad-request',
        'This scheduler has settled more modules than can be kept: audit it from its gateway.',
      );
    this.modules.set(id, Buffer.from(raw));
  }
}

function wordsOf({ finding: { kind, message, bundle, tx } }: SettlementFinding): string {
  return `What was settled is not sound (${kind}${bundle === null ? '' : `, bundle ${bundle}`}${tx === null ? '' : `, ${tx}`}): ${message}`;
}
