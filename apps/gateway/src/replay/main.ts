/**
 * The replay as a process of its own: what to do comes as JSON in the first argument, what became of it goes to who started it, message by
 * message. It ends with 0 when all is as it was settled, with 1 when something is not, with 2 when it could not be done.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArweaveSource,
  indexLine,
  SettlementFinding,
  SourceError,
  stateLines,
  type ReplayMessage,
  type ReplayProgress,
} from '@isthmus/arweave';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, plainMessage, runMigrations, startEmbeddedPostgres } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { z } from 'zod';
import { StateStore } from '../state/state-store.js';
import { ReplayError } from './error.js';
import { rebuild, type Rebuilt } from './rebuild.js';
import { reportOf } from './report.js';

const request = z.strictObject({
  from: z.url(),
  scheduler: z.string(),
  processes: z.array(z.string()).optional(),
  rpc: z.array(z.url()).max(16).default([]),
  fromBlock: z.int().min(0).default(0),
  checkpoint: z.boolean().default(false),
  /** Database to rebuild into; one that is gone afterwards unless told. */
  into: z.string().optional(),
  /** File to write state and index to, line by line. */
  dump: z.string().optional(),
  workers: z.int().min(1).max(64).default(os.availableParallelism()),
  memoryMiB: z.int().min(256).default(1024),
});
/** Milliseconds between two words about how far it is. */
const SAY_MS = 200;

async function main(): Promise<number> {
  const asked = request.parse(JSON.parse(process.argv[2] ?? '{}'));
  const { database, close } = await databaseFor(asked.into);
  const began = performance.now();
  try {
    const rebuilt = await rebuild({
      source: new ArweaveSource(asked.from),
      scheduler: asked.scheduler,
      database,
      workers: asked.workers,
      memoryBudget: asked.memoryMiB * 1024 * 1024,
      checkpoint: asked.checkpoint,
      goOn: asked.into !== undefined,
      processes: asked.processes,
      chain: asked.rpc.length > 0 ? { urls: asked.rpc, fromBlock: asked.fromBlock } : undefined,
      onProgress: sometimes(),
    });
    const took = performance.now() - began;
    if (asked.dump !== undefined) await dump(asked.dump, database, rebuilt);
    const peakBytes = process.resourceUsage().maxRSS * 1024;
    tell({ kind: 'done', report: reportOf(asked.scheduler, rebuilt, took, peakBytes) });
    return rebuilt.stopped.length > 0 ? 2 : 0;
  } finally {
    await close();
  }
}

interface Opened {
  database: DataSource;
  close: () => Promise<void>;
}

async function databaseFor(into: string | undefined): Promise<Opened> {
  if (into !== undefined) {
    const database = await opened(into);
    return { database, close: () => database.destroy() };
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-replay-'));
  fs.chmodSync(folder, 0o755); // the server's user must reach its folder
  const postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, 'postgres') });
  const gone = async (): Promise<void> => {
    await postgres.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  };
  try {
    await postgres.createDatabase('replay');
    const database = await opened(postgres.url('replay'));
    return { database, close: () => database.destroy().then(gone) };
  } catch (error) {
    await gone();
    throw error;
  }
}

async function opened(url: string): Promise<DataSource> {
  const database = await openDatabase({ url, migrations: gatewayMigrations, applicationName: 'isthmus-replay' });
  await runMigrations(database);
  return database;
}

/** State and index as they are hashed. */
async function dump(file: string, database: DataSource, { state }: Rebuilt): Promise<void> {
  const out = fs.createWriteStream(file);
  for (const line of stateLines(state.processes, state.assets)) out.write(`${line}\n`);
  const slots = new Map(state.processes.map((p) => [p.process, p.slot]));
  const assets = new Map(state.assets.map((a) => [a.process, slots.get(a.process) ?? -1]));
  for await (const transfer of new StateStore(database).transfers(assets)) out.write(`${indexLine(transfer)}\n`);
  await new Promise<void>((resolve, reject) => out.end((error?: Error | null) => (error ? reject(error) : resolve())));
}

function sometimes(): (progress: ReplayProgress) => void {
  let said = { at: -Infinity, phase: '' };
  return (progress) => {
    if (progress.phase === said.phase && performance.now() - said.at < SAY_MS) return;
    said = { at: performance.now(), phase: progress.phase };
    tell({ kind: 'progress', ...progress });
  };
}

function tell(message: ReplayMessage): void {
  if (process.send) process.send(message);
  else console.log(JSON.stringify(message));
}

function failed(error: unknown): number {
  if (error instanceof SettlementFinding) {
    tell({ kind: 'finding', finding: error.finding });
    return 1;
  }
  const own = error instanceof ReplayError || error instanceof SourceError;
  const message = own
    ? error.message
    : (plainMessage(error) ?? (error instanceof Error ? error.message : String(error)));
  tell({ kind: 'failed', message });
  if (!own && process.env['ISTHMUS_DEBUG'] !== undefined) console.error(error);
  return 2;
}

// Who started it is gone: so is whoever wanted to know.
process.on('disconnect', () => process.exit(2));
process.exitCode = await main().catch(failed);
process.disconnect?.();
