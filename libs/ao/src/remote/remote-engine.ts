/**
 * The engine of a gateway whose processes live on a network of others' units. It follows their schedules as a guardian does, every place and
 * signature checked, takes the results from compute units, and keeps both: what was taken once is never taken otherwise.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { readSchedule } from '../compute/replica.js';
import {
  EngineError,
  type AoEngine,
  type AoNetwork,
  type EngineHead,
  type EngineRead,
  type EngineSlot,
} from '../engine.js';
import { parseItem, verifyItem } from '../items/index.js';
import { tagOf } from '../items/tags.js';
import { type ScheduleHead } from '../scheduler/assignment.js';
import type { EvaluationResult, Item, ScheduleEntry } from '../types.js';
import type { ComputeUnits } from './compute-units.js';

/** Entries asked for at once. */
const PAGE = 100;
const MAX_BACKOFF_MS = 30_000;
/** Results read at once take about this much; one is read however large it is. */
const MAX_BYTES = 32 * 1024 * 1024;
/** A read is answered again from memory while the process has not moved on, so long, and so many of them: units give a few a minute. */
const READ_FRESH_MS = 30_000;
const MAX_READS = 500;

export interface RemoteEngineOptions {
  database: DataSource;
  network: AoNetwork;
  compute: Pick<ComputeUnits, 'results' | 'dryRun'>;
  /** Address of the only scheduler whose assignments count. */
  scheduler: string;
  messenger: string;
  /** The processes to follow. */
  processes: readonly string[];
  /** Milliseconds between two looks at a schedule. */
  pollMs: number;
  /** Told why a process is not followed now; it is tried again by itself. */
  onFailure: (process: string, error: unknown) => void;
  /** Told when a process was followed to its end. */
  onSound: (process: string) => void;
}

interface KeptRead {
  slot: number;
  at: number;
  answer: Promise<EvaluationResult>;
}

export class RemoteEngine implements AoEngine {
  private readonly listeners = new Set<(process: string) => void>();
  private readonly stopping = new AbortController();
  private readonly loops: Promise<void>[] = [];
  /** Newest slot seen of each process. */
  private readonly seen = new Map<string, number>();
  private readonly reads = new Map<string, KeptRead>();

  constructor(private readonly options: RemoteEngineOptions) {}

  get scheduler(): string {
    return this.options.scheduler;
  }

  get messenger(): string {
    return this.options.messenger;
  }

  get running(): boolean {
    return this.loops.length > 0 && !this.stopping.signal.aborted;
  }

  async slots(process: string, fromNonce: number, limit: number): Promise<EngineSlot[]> {
    const rows: { nonce: string; message_id: string; timestamp: string; outcome: string }[] =
      await this.options.database.query(
        `select nonce, message_id, timestamp, outcome from (
           select *, row_number() over page as place, sum(octet_length(outcome)) over page as bytes
           from (select * from followed_slot where process = $1 and nonce >= $2 order by nonce limit $3) as first
           window page as (order by nonce)
         ) as sized where bytes <= $4 or place = 1 order by nonce`,
        [process, fromNonce, limit, MAX_BYTES],
      );
    return rows.map((r) => ({
      nonce: Number(r.nonce),
      message: r.message_id,
      timestamp: Number(r.timestamp),
      result: JSON.parse(r.outcome) as EvaluationResult,
    }));
  }

  onSlots(listener: (process: string) => void): void {
    this.listeners.add(listener);
  }

  async head(process: string): Promise<EngineHead> {
    const evaluated = (await this.kept(process))?.nonce ?? -1;
    return { scheduled: Math.max(this.seen.get(process) ?? -1, evaluated), evaluated };
  }

  async spawn(process: string): Promise<Item | null> {
    const rows: { spawn: Buffer }[] = await this.options.database.query(
      'select spawn from followed_process where process = $1',
      [process],
    );
    return rows[0] ? parseItem(rows[0].spawn) : null;
  }

  async message(id: string): Promise<Item | null> {
    const shown = await this.options.network.item(id);
    if (!shown) return null;
    // An id is the hash of a signature: what is signed under it is the one message it names.
    const item = (await verifyItem(shown)) ? shown : ((await this.options.network.asSigned?.(shown)) ?? null);
    if (item?.id === id) return item;
    throw new EngineError('not-as-signed', `Message ${id} is not shown as its author signed it.`);
  }

  send(item: Pick<Item, 'id' | 'raw'>): Promise<void> {
    return this.options.network.send(item);
  }

  /** The answer on the newest state the units have; the same question of a process that has not moved on is asked once. @throws EngineError */
  async dryRun(process: string, query: EngineRead): Promise<EvaluationResult> {
    const key = JSON.stringify([process, query]);
    const { scheduled: slot } = await this.head(process);
    const known = this.reads.get(key);
    if (known && known.slot === slot && Date.now() - known.at < READ_FRESH_MS) return known.answer;
    const answer = this.options.compute.dryRun(process, query);
    const kept = { slot, at: Date.now(), answer };
    this.reads.delete(key);
    this.reads.set(key, kept); // the newest last
    for (const old of [...this.reads.keys()].slice(0, -MAX_READS)) this.reads.delete(old);
    answer.catch(() => this.reads.get(key) === kept && this.reads.delete(key));
    return answer;
  }

  /** Begins to follow every process; what is away now is asked again until it is there. */
  start(): Promise<void> {
    for (const process of this.options.processes) this.loops.push(this.follow(process));
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.loops);
  }

  /** Takes what is new of a process, to the end of its schedule. @throws ReplicaError, EngineError; nothing wrong was kept */
  async sync(process: string): Promise<void> {
    const { network, compute, scheduler } = this.options;
    while (!this.stopping.signal.aborted) {
      const head = await this.kept(process);
      const entries = await readSchedule({ network, process, scheduler }, head, PAGE);
      this.seen.set(process, entries.at(-1)?.nonce ?? head?.nonce ?? -1);
      if (entries.length === 0) return;
      const results = await compute.results(entries);
      await this.keep(process, head, entries.slice(0, results.length), results);
      for (const listener of this.listeners) listener(process);
    }
  }

  private async follow(process: string): Promise<void> {
    const { pollMs, onFailure, onSound } = this.options;
    let failures = 0;
    while (!this.stopping.signal.aborted) {
      try {
        await this.sync(process);
        failures = 0;
        onSound(process);
      } catch (error) {
        failures += 1;
        onFailure(process, error);
      }
      const wait = Math.min(pollMs * 2 ** Math.min(failures, 20), Math.max(pollMs, MAX_BACKOFF_MS));
      await delay(wait, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
  }

  private async kept(process: string): Promise<ScheduleHead | null> {
    const rows: { nonce: string; assignment_id: string; hash_chain: string; timestamp: string }[] =
      await this.options.database.query(
        'select nonce, assignment_id, hash_chain, timestamp from followed_process where process = $1',
        [process],
      );
    const [row] = rows;
    if (!row) return null;
    const { assignment_id: assignmentId, hash_chain: hashChain } = row;
    return { nonce: Number(row.nonce), assignmentId, hashChain, timestamp: Number(row.timestamp) };
  }

  /** Slots and the head they lead to, in one transaction that only who stood at the head before can make. */
  private async keep(
    process: string,
    before: ScheduleHead | null,
    entries: readonly ScheduleEntry[],
    results: readonly EvaluationResult[],
  ): Promise<void> {
    const [first, last] = [entries[0], entries.at(-1)];
    if (!first || !last) throw new EngineError('unreachable', `No compute unit has a result of ${process} yet.`);
    const head = [last.nonce, last.assignment.id, tagOf(last.assignment, 'Hash-Chain'), timeOf(last)];
    await this.options.database.transaction(async (manager) => {
      const moved: unknown[] = before
        ? (
            (await manager.query(
              'update followed_process set nonce = $3, assignment_id = $4, hash_chain = $5, timestamp = $6 where process = $1 and nonce = $2 returning process',
              [process, before.nonce, ...head],
            )) as [unknown[], number]
          )[0]
        : await manager.query(
            'insert into followed_process (process, spawn, nonce, assignment_id, hash_chain, timestamp) values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning process',
            [process, first.message.raw, ...head],
          );
      if (moved.length !== 1)
        throw new EngineError('overtaken', `Another gateway on this database has gone on with process ${process}.`);
      await manager.query(
        'insert into followed_slot (process, nonce, message_id, timestamp, outcome) select $1, * from unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[])',
        [
          process,
          entries.map((e) => e.nonce),
          entries.map((e) => e.message.id),
          entries.map(timeOf),
          results.map((r) => JSON.stringify(r)),
        ],
      );
    });
  }
}

const timeOf = ({ assignment }: ScheduleEntry): number => Number(tagOf(assignment, 'Timestamp'));
