/**
 * The replay as a process of its own: what to do comes from who started it, and what became of it goes there, message by message. It ends with 0 when all is as it was settled, with 1 when something is not, with 2 when it could not be done.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
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
import {
  openDatabase,
  plainMessage,
  runMigrations,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { z } from 'zod';
import { StateStore } from '../state/state-store.js';
import type { ChainSources } from './chain/books.js';
import { ReplayError } from './error.js';
import { rebuild, type Rebuilt } from './rebuild.js';
import { reportOf } from './report.js';
import { openTails } from './tail.js';

const webAddress = z.url({
  protocol: /^https?$/,
  error: 'Write an http or https address, such as https://arweave.net.',
});
/** Logins go to nodes and the database alone: what else is asked is public, and told by its address. */
const isPublic = (address: string): boolean => {
  const { username, password } = URL.canParse(address) ? new URL(address) : { username: '', password: '' };
  return username === '' && password === '';
};
const LOGIN = 'Leave name and password out of the address.';
const databaseAddress = z.url({
  protocol: /^postgres(ql)?$/,
  error: 'Write the database as postgresql://user:password@host:port/name.',
});
const aoId = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/, 'Write an id or address of AO: 43 characters of A-Z, a-z, 0-9, - and _.');
/** `<url>`, or `<chain>=<url>`. */
const source = z.string().transform((text, context) => {
  const [, chain, url = ''] = /^(?:([a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32})=)?(.*)$/.exec(text) ?? [];
  const { data, success } = webAddress.safeParse(url);
  if (success) return { chain, url: data };
  context.addIssue({ code: 'custom', message: 'Write a source as https://host, or <chain>=https://host (CAIP-2).' });
  return z.NEVER;
});
const asking = z.strictObject({
  from: webAddress.refine(isPublic, LOGIN),
  scheduler: aoId,
  processes: z.array(aoId).optional(),
  rpc: z.array(source).max(64).default([]),
  /** Which home chain those of `rpc` are of that name none. */
  chain: z.string().max(64).optional(),
  fromBlock: z.int().min(0).default(0),
  checkpoint: z.boolean().default(false),
  /** Database to rebuild into; one that is gone afterwards unless told. */
  into: databaseAddress.optional(),
  /** Guardians, or files, to have slots from that were not settled. */
  tail: z.array(z.string().min(1).refine(isPublic, LOGIN)).max(16).default([]),
  /** File to write state and index to, line by line. */
  dump: z.string().optional(),
  workers: z.int().min(1).max(64).default(os.availableParallelism()),
  memoryMiB: z.int().min(256).default(1024),
});
/** What the command line calls it, where that is another name. */
const OPTIONS: Readonly<Record<string, string>> = { processes: 'process', fromBlock: 'from-block' };
/** Milliseconds between two words about how far it is. */
const SAY_MS = 200;

async function main(): Promise<number> {
  const asked = requestOf(await request());
  if (asked.dump !== undefined) assertWritable(asked.dump);
  const tails = await openTails(asked.tail);
  const opening = Promise.resolve().then(() => databaseFor(asked.into)); // begins when what ends it is in place
  endWhenInterrupted(opening);
  const { database, close } = await opening;
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
      tails,
      chains: asked.rpc.length > 0 ? { sources: sourcesIn(asked), fromBlock: asked.fromBlock } : undefined,
      onProgress: sometimes(),
    });
    const took = performance.now() - began;
    if (asked.dump !== undefined) await dump(asked.dump, database, rebuilt);
    const peakBytes = process.resourceUsage().maxRSS * 1024;
    tell({ kind: 'done', report: reportOf(asked.scheduler, rebuilt, took, peakBytes) });
    const isJudged = rebuilt.stopped.length === 0 && rebuilt.books.every(({ early }) => early.length === 0);
    return isJudged ? 0 : 2;
  } finally {
    await close();
  }
}

/** The first message of who started it; whoever is gone before it wants nothing. @throws ReplayError when nobody could send one */
async function request(): Promise<unknown> {
  if (!process.send) throw new ReplayError('bad-request', 'A replay is started with "isthmus replay".');
  const gone = (): never => process.exit(2);
  process.once('disconnect', gone);
  const [told] = (await once(process, 'message')) as unknown[];
  process.off('disconnect', gone);
  return told;
}

/** @throws ReplayError that names each option that cannot be, and never its value: an address may hold a password */
function requestOf(told: unknown): z.output<typeof asking> {
  const { success, data, error } = asking.safeParse(told);
  if (success) return data;
  const words = error.issues.map(({ path: at, message }) => `--${OPTIONS[String(at[0])] ?? String(at[0])}: ${message}`);
  throw new ReplayError('bad-request', words.join('\n'));
}

const sourcesIn = ({ rpc, chain: otherwise }: z.output<typeof asking>): ChainSources[] =>
  rpc.map(({ chain = otherwise, url }) => ({ chain, urls: [url] }));

/** Before hours of work, not after them. @throws ReplayError */
function assertWritable(file: string): void {
  try {
    fs.closeSync(fs.openSync(file, 'a'));
  } catch {
    throw new ReplayError('bad-request', `--dump: ${file} cannot be written: name a file in a folder that is there.`);
  }
}

interface Opened {
  database: DataSource;
  close: () => Promise<void>;
  /** Leaves nothing running and no file, whatever is under way; a database that was given is its owner's. */
  abandon: () => Promise<void>;
}

/** Told to stop, or who started it is gone: so is whoever wanted to know. Only a server that stands can be stopped, so one that starts is waited for. */
function endWhenInterrupted(opening: Promise<Opened>): void {
  let told = false;
  const end = (): void => {
    if (told) return;
    told = true;
    void opening.then(({ abandon }) => abandon()).finally(() => process.exit(2));
  };
  for (const sign of ['SIGINT', 'SIGTERM', 'disconnect']) process.on(sign, end);
}

async function databaseFor(into: string | undefined): Promise<Opened> {
  if (into !== undefined) {
    const database = await opened(into);
    return { database, close: () => database.destroy(), abandon: () => Promise.resolve() };
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-replay-'));
  const remove = (): void => fs.rmSync(folder, { recursive: true, force: true });
  let postgres: EmbeddedPostgres | null = null;
  const abandon = async (): Promise<void> => {
    await postgres?.stop();
    remove();
  };
  try {
    fs.chmodSync(folder, 0o755); // the server's user must reach its folder
    postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, 'postgres'), durable: false });
    await postgres.databases.create('replay');
    const database = await opened(postgres.databases.url('replay'));
    return { database, close: () => database.destroy().then(abandon), abandon };
  } catch (error) {
    await abandon();
    throw error;
  }
}

async function opened(url: string): Promise<DataSource> {
  const database = await openDatabase({ url, migrations: gatewayMigrations, applicationName: 'isthmus-replay' });
  await runMigrations(database);
  return database;
}

async function dump(file: string, database: DataSource, rebuilt: Rebuilt): Promise<void> {
  await pipeline(dumpLines(database, rebuilt), fs.createWriteStream(file));
}

/** State and index as they are hashed. */
async function* dumpLines(database: DataSource, { state }: Rebuilt): AsyncGenerator<string> {
  for (const line of stateLines(state.processes, state.assets)) yield `${line}\n`;
  const slots = new Map(state.processes.map((p) => [p.process, p.slot]));
  const assets = new Map(state.assets.map((a) => [a.process, slots.get(a.process) ?? -1]));
  for await (const transfer of new StateStore(database).transfers(assets)) yield `${indexLine(transfer)}\n`;
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

process.exitCode = await main().catch(failed);
for (const sign of ['SIGINT', 'SIGTERM', 'disconnect']) process.removeAllListeners(sign); // nothing is left to be cleared away
process.disconnect?.();
