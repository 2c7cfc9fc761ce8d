/**
 * The proof that what is stored of a process is what its schedule gives: it is evaluated again from nothing, and every result and the
 * memory of the newest checkpoint are compared. Nothing is written.
 */
import type { DataSource } from 'typeorm';
import { parseItem } from '../items/index.js';
import { tagOf } from '../items/tags.js';
import type { Scheduler } from '../scheduler/scheduler.js';
import type { EvaluationResult, ScheduleEntry } from '../types.js';
import { CheckpointStore, hashOf } from './checkpoint-store.js';
import { ComputeError } from './error.js';
import { environmentOf, messageOf } from './message.js';
import type { WorkerPool } from './worker-pool.js';

const PAGE = 200;

/** Where a replay differs first. */
export interface ReplayDifference {
  nonce: number;
  stored: EvaluationResult;
  computed: EvaluationResult;
}

export interface ReplayReport {
  process: string;
  /** Slots evaluated, all that had a result when this began. */
  slots: number;
  /** The first slot whose stored result is another than evaluating gives; nothing after it was evaluated. */
  difference: ReplayDifference | null;
  /** SHA-256 of the memory after the last slot evaluated (see `hashOf`). */
  memory: string;
  /** The newest checkpoint, and whether its memory is what evaluating gives; null when there is none so far. */
  checkpoint: { nonce: number; stored: string; computed: string; equal: boolean } | null;
  equal: boolean;
}

export interface ReplayOptions {
  database: DataSource;
  scheduler: Pick<Scheduler, 'entries'>;
  /** A pool in which the process is not open. */
  workers: WorkerPool;
  process: string;
  /** Told how far it is. */
  onProgress?: (done: number, of: number) => void;
}

/** Replays a process from slot 0 to its last stored result. @throws ComputeError `unknown-process`; WorkerLost */
export async function replayFromNothing(options: ReplayOptions): Promise<ReplayReport> {
  const { database, workers, process } = options;
  const rows: { item: Buffer; module: Buffer; evaluated: string }[] = await database.query(
    'select p.item, m.item as module, p.evaluated from computed_process p join module m on m.id = p.module where p.id = $1',
    [process],
  );
  const row = rows[0];
  if (!row) throw new ComputeError('unknown-process', `There is no process ${process} here.`);
  const [module, end] = [parseItem(row.module), Number(row.evaluated)];
  const format = tagOf(module, 'Module-Format');
  const env = environmentOf(parseItem(row.item), module);
  await workers.open(process, module.data, format, env, null);
  try {
    const replay = new Replay(options, env);
    const kept = await new CheckpointStore(database).load(process);
    const within = kept && kept.nonce <= end ? kept : null;
    let checkpoint: ReplayReport['checkpoint'] = null;
    if (within) {
      await replay.to(within.nonce, end);
      const [stored, computed] = [hashOf(within.image), hashOf(await workers.snapshot(process))];
      checkpoint = { nonce: within.nonce, stored, computed, equal: stored === computed };
    }
    await replay.to(end, end);
    const { difference, at } = replay;
    const memory = hashOf(await workers.snapshot(process));
    const equal = difference === null && (checkpoint?.equal ?? true);
    return { process, slots: at + 1, difference, memory, checkpoint, equal };
  } finally {
    await workers.close(process);
  }
}

class Replay {
  at = -1;
  difference: ReplayDifference | null = null;

  constructor(
    private readonly options: ReplayOptions,
    private readonly env: ReturnType<typeof environmentOf>,
  ) {}

  /** Evaluates up to a slot, or to the first difference. */
  async to(nonce: number, end: number): Promise<void> {
    const { scheduler, process, onProgress } = this.options;
    while (this.at < nonce && !this.difference) {
      const limit = Math.min(PAGE, nonce - this.at);
      const entries = (await scheduler.entries(process, this.at + 1, limit)).slice(0, limit);
      const stored = await this.stored(this.at + 1, this.at + entries.length);
      if (entries.length === 0 || stored.length !== entries.length)
        throw new Error(`The schedule or the results of process ${process} end at slot ${this.at} of ${end}.`);
      await this.compare(entries, stored);
      onProgress?.(this.at + 1, end + 1);
    }
  }

  private async compare(entries: readonly ScheduleEntry[], stored: readonly EvaluationResult[]): Promise<void> {
    const messages = entries.map((entry) => messageOf(entry, this.env));
    for (let done = 0; done < messages.length;) {
      const results = await this.options.workers.handleSome(this.options.process, messages.slice(done));
      for (const [i, computed] of results.entries()) {
        const before = stored[done + i] as EvaluationResult;
        // Both as they are written down: what has no form there is no difference.
        if (JSON.stringify(computed) !== JSON.stringify(before)) {
          this.difference = { nonce: this.at + 1, stored: before, computed };
          return;
        }
        this.at += 1;
      }
      done += results.length;
    }
  }

  private async stored(from: number, to: number): Promise<EvaluationResult[]> {
    const rows: { outcome: string }[] = await this.options.database.query(
      'select outcome from result where process = $1 and nonce between $2 and $3 order by nonce',
      [this.options.process, from, to],
    );
    return rows.map((r) => JSON.parse(r.outcome) as EvaluationResult);
  }
}
