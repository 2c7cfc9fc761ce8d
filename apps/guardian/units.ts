/**
 * What tests of guardians share, whatever the home chain: AO units over HTTP, PostgreSQL, guardians stepped by hand, and doors at which a test
 * can lie, refuse or hang.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  AoPipeline,
  AoUnitsModule,
  createItem,
  ed25519Signer,
  ethereumSigner,
  parseItem,
  tagOf,
  tagList,
  type Item,
  type WorkerPool,
} from '@isthmus/ao';
import { eventsOf, type BridgeEvent } from '@isthmus/bridge';
import { devKey } from '@isthmus/devnet';
import { gatewayMigrations, guardianMigrations } from '@isthmus/migrations';
import { createLogger, openDatabase, runMigrations, testCluster, type Logger, type TestCluster } from '@isthmus/store';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { keccak256, stringToHex, type Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { SpareThreads } from '../../libs/ao/spare-threads.js';
import { networkOf, settledSlotsOf, type GuardianConfig } from './src/config.js';
import { Guardian } from './src/guardian.js';
import type { CrashPoint } from './src/crash-point.js';
import type { Home } from './src/homes/home.js';
import { openHome } from './src/homes/open.js';
import { Ledger } from './src/ledger.js';
import { Motions } from './src/motions.js';

export const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
export const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));

/** Keys of the stage's guardians, and of those who may join later. */
export const guardianKey = (index: number): Hex => keccak256(stringToHex(`guardian ${index}`));
export const guardianAddress = (index: number): Hex => privateKeyToAccount(guardianKey(index)).address;

export interface Reply {
  status: number;
  body: Uint8Array | string;
}
export interface Passing {
  method: string;
  path: string;
  body: Buffer;
}
export type Intercept = (passing: Passing, forward: () => Promise<Reply>) => Promise<Reply | 'cut'> | Reply | 'cut';

/** Passes HTTP on to a server, unless the test answers in its place; `cut` closes the connection without an answer. */
export class Door {
  intercept: Intercept | null = null;
  private constructor(
    private readonly server: http.Server,
    private readonly target: string,
  ) {}

  static async open(target: string): Promise<Door> {
    const server = http.createServer((request, response) => void door.pass(request, response));
    const door = new Door(server, target);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return door;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  private async pass(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const passing = { method: request.method ?? 'GET', path: request.url ?? '/', body: Buffer.concat(chunks) };
    const { accept = '*/*', 'content-type': type = 'application/octet-stream' } = request.headers;
    const forward = async (): Promise<Reply> => {
      const init = passing.method === 'GET' ? {} : { body: new Uint8Array(passing.body) };
      const headers = { accept, 'content-type': type };
      const answer = await fetch(this.target + passing.path, { method: passing.method, headers, ...init });
      return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) };
    };
    const reply = await (this.intercept ? this.intercept(passing, forward) : forward());
    if (reply === 'cut') response.destroy();
    else response.writeHead(reply.status, { 'content-type': 'application/octet-stream' }).end(reply.body);
  }
}

/** What a test's guardians work on. */
export interface Scenery {
  /** The process most is about. */
  process: string;
  logged: string[];
  /** Gives back the guardians' databases, emptied. */
  close(): Promise<DataSource[]>;
}

export interface UnitParts {
  cluster: TestCluster;
  pipeline: AoPipeline;
  app: INestApplication;
  database: DataSource;
  url: string;
}

/** What a guardian under test lives in. */
export interface Room {
  /** An empty one. */
  database: DataSource;
  threads: SpareThreads;
}

/** The units, databases and threads all tests of a file share. */
export class Units {
  protected readonly scenes: Scenery[] = [];
  private readonly emptied: DataSource[] = [];
  private readonly threads = new SpareThreads();
  private sent = 0;

  readonly cluster: TestCluster;
  readonly pipeline: AoPipeline;
  /** The units' database. */
  readonly database: DataSource;
  readonly unitsUrl: string;

  protected constructor(private readonly units: UnitParts) {
    this.cluster = units.cluster;
    this.pipeline = units.pipeline;
    this.database = units.database;
    this.unitsUrl = units.url;
  }

  protected static async begin(): Promise<UnitParts> {
    const cluster = await testCluster();
    const database = await openDatabase({
      url: await cluster.fresh(),
      migrations: gatewayMigrations,
      applicationName: 'units',
    });
    await runMigrations(database);
    const pipeline = new AoPipeline({
      database,
      schedulerSigner: SCHEDULER,
      messengerSigner: MESSENGER,
      workers: 1,
      onFailure: () => undefined, // a guardian computes for itself
    });
    await pipeline.start();
    const app = await NestFactory.create(AoUnitsModule.register(pipeline), { logger: false });
    await app.listen(0, '127.0.0.1');
    const url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
    return { cluster, pipeline, app, database, url };
  }

  async close(): Promise<void> {
    await this.clear();
    for (const database of this.emptied) await database.destroy();
    await this.threads.stop();
    await this.units.app.close();
    await this.pipeline.stop();
    await this.database.destroy();
    await this.cluster.close();
  }

  /** Ends what one test has started. */
  async clear(): Promise<void> {
    for (const scene of this.scenes.splice(0)) this.emptied.push(...(await scene.close()));
  }

  /** With a new database, or one that a test before has left. */
  async room(): Promise<Room> {
    const { threads } = this;
    const left = this.emptied.pop();
    if (left) return { database: left, threads };
    const url = await this.cluster.fresh(guardianMigrations);
    const options = { url, migrations: guardianMigrations, applicationName: 'guardian', poolSize: 5 };
    return { database: await openDatabase(options), threads };
  }

  async post(item: Item): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    const response = await fetch(`${this.unitsUrl}/mu`, { method: 'POST', headers, body: new Uint8Array(item.raw) });
    if (!response.ok) throw new Error(`/mu answered ${response.status}: ${await response.text()}`);
  }

  async message(key: Hex, process: string, tags: Record<string, string>, data = ''): Promise<Item> {
    this.sent += 1;
    const all = tagList({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', ...tags });
    const anchor = String(this.sent).padStart(32, '0');
    const item = await createItem({ target: process, anchor, tags: all, data }, ethereumSigner(key));
    await this.post(item);
    return item;
  }

  /** Everything a process has reported so far. */
  async events(process: string): Promise<BridgeEvent[]> {
    await this.pipeline.compute.advance(process);
    const results = await this.pipeline.compute.results(process, 0, 1000);
    return results.flatMap((r) => eventsOf(r.result.Messages));
  }

  /** A token process with these tags, on this machine. */
  async spawnProcess(own: Record<string, string>, machine: Machine): Promise<{ process: string; module: string }> {
    const deployer = ethereumSigner(devKey(0));
    const moduleTags = { 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': machine.format };
    const module = await createItem({ tags: tagList(moduleTags), data: machine.module }, deployer);
    const tags = {
      'Data-Protocol': 'ao',
      Variant: 'ao.TN.1',
      Type: 'Process',
      Module: module.id,
      Scheduler: SCHEDULER.address,
      Authority: MESSENGER.address,
      Name: 'On AO',
      Ticker: 'aX',
      Denomination: '18',
      'Isthmus-Threshold': '2',
      'Isthmus-Pause-Threshold': '1',
      'Isthmus-Epoch': '1',
      'Isthmus-Min-Withdrawal': '1000',
      'Isthmus-Limit': String(10n ** 24n),
      'Isthmus-Limit-Window': '3600000',
      ...(machine.source ? { 'On-Boot': 'Data' } : {}),
      ...own,
    };
    const spawn = await createItem({ tags: tagList(tags), data: machine.source }, deployer);
    await this.post(module);
    await this.post(spawn);
    return { process: spawn.id, module: module.id };
  }
}

export interface Machine {
  format: string;
  module: Buffer | string;
  source: string;
}

export const lean = (source: string): Machine => ({ format: 'isthmus-lua-5.4', module: source, source: '' });

/** The subject's configuration, and as a test changes it. */
export type Configure = (change?: Record<string, unknown>) => GuardianConfig;

/** A guardian under test has stopped between two durable steps. */
export class Stopped extends Error {}

/** Fail-stop of one guardian: once it has stopped nothing durable is done any more, until it is begun again. */
class FailStop {
  private plan: { point: CrashPoint; left: number } | null = null;
  stopped = false;

  /** It stops the `nth` time it comes by this point. */
  at(point: CrashPoint, nth: number): void {
    this.plan = { point, left: nth };
  }

  revive(): void {
    this.plan = null;
    this.stopped = false;
  }

  readonly onStep = (point: CrashPoint): void => {
    if (this.plan?.point === point) this.plan.left -= 1;
    this.stopped ||= this.plan?.left === 0;
    if (this.stopped) throw new Stopped(`It has stopped at ${point}.`);
  };
}

/** One guardian under test. */
export class Subject {
  private constructor(
    readonly scene: Pick<Scenery, 'process' | 'logged'>,
    readonly index: number,
    private readonly configure: Configure,
    readonly database: DataSource,
    private readonly threads: SpareThreads,
    readonly ledger: Ledger,
    readonly motions: Motions,
    readonly log: Logger,
    private readonly failStop: FailStop,
  ) {}
  config!: GuardianConfig;
  workers!: WorkerPool;
  guardian!: Guardian;
  home!: Home;
  /** Its clock of turns: each look at the world is a turn, however long one takes on this machine. */
  private clock = 0;

  static async open(
    scene: Pick<Scenery, 'process' | 'logged'>,
    index: number,
    configure: Configure,
    { database, threads }: Room,
  ): Promise<Subject> {
    const config = configure();
    const log = createLogger(config.name, { write: (line: string) => void scene.logged.push(line) });
    const failStop = new FailStop();
    const [ledger, motions] = [new Ledger(database, failStop.onStep), new Motions(database)];
    const subject = new Subject(scene, index, configure, database, threads, ledger, motions, log, failStop);
    await subject.start(config);
    return subject;
  }

  /** As after a restart: nothing but the database is left of what it knew. `change` when its configuration was changed meanwhile. */
  async restart(change?: Record<string, unknown>): Promise<void> {
    await this.threads.give(this.workers);
    this.failStop.revive();
    await this.start(change ? this.configure(change) : this.config);
  }

  /** It will stop, as by a power cut, the `nth` time it comes by this point from now on. */
  stopAt(point: CrashPoint, nth = 1): void {
    this.failStop.at(point, nth);
  }

  /** Whether it has stopped so; only `restart` helps. */
  get stopped(): boolean {
    return this.failStop.stopped;
  }

  /** Gives back its database, emptied. */
  async close(): Promise<DataSource> {
    await this.threads.give(this.workers);
    const tables: { name: string }[] = await this.database.query(
      `select quote_ident(tablename) as name from pg_tables where schemaname = 'public' and tablename <> 'migrations'`,
    );
    await this.database.query(`truncate ${tables.map((t) => t.name).join(', ')}`);
    return this.database;
  }

  /** One round, step by step. */
  async round(): Promise<void> {
    await this.look();
    await this.guardian.attest();
    await this.guardian.sign();
    await this.guardian.decide();
    await this.guardian.send();
  }

  /** Sees the chain and follows AO, and says nothing. */
  async look(): Promise<void> {
    this.clock += this.config.turnMs;
    await this.guardian.watch();
    await this.guardian.follow();
  }

  get view() {
    const view = this.guardian.viewOf(this.scene.process);
    if (!view) throw new Error('Nothing is known of the process.');
    return view;
  }

  /** Data of the messages it has decided to send, oldest first, of one action. */
  async said(action: string, process?: string): Promise<string[]> {
    const rows: { item: Buffer }[] = await this.database.query(
      'select item from outbox where process = coalesce($1, process) order by ctid',
      [process ?? null],
    );
    const items = rows.map((r) => parseItem(r.item));
    return items.filter((i) => tagOf(i, 'Action') === action).map((i) => i.data.toString());
  }

  /** Numbers of the withdrawals it has signed, with the epoch. */
  async signed(process = this.scene.process): Promise<string[]> {
    const rows: { number: string; epoch: string }[] = await this.database.query(
      'select number, epoch from signed_release where process = $1 order by epoch, number',
      [process],
    );
    return rows.map((r) => `${r.number}@${r.epoch}`);
  }

  private async start(config: GuardianConfig): Promise<void> {
    this.config = config;
    const [own] = config.homes;
    if (!own) throw new Error('A guardian has a home chain.');
    const key = guardianKey(this.index);
    this.workers = this.threads.take();
    const { home } = await openHome(own, {
      ledger: this.ledger,
      database: this.database,
      self: guardianAddress(this.index),
      log: this.log,
      now: () => this.clock,
    });
    this.home = home;
    this.guardian = new Guardian({
      config,
      chain: own.chain.id,
      assets: own.assets,
      ledger: this.ledger,
      motions: this.motions,
      home,
      network: networkOf(config),
      workers: this.workers,
      settled: settledSlotsOf(config),
      signer: ethereumSigner(key),
      account: privateKeyToAccount(key),
      log: this.log,
      now: () => this.clock,
    });
  }
}
