/**
 * Guardians for tests, stepped by hand, with real parts around them: anvil with the vault, AO units over HTTP, PostgreSQL. Between a guardian
 * and the rest stands a door at which a test can lie, refuse or hang.
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
  WorkerPool,
  type Item,
  type Tag,
} from '@isthmus/ao';
import { assetId, eventsOf, type BridgeEvent } from '@isthmus/bridge';
import { devAccount, devKey } from '@isthmus/devnet';
import { gatewayMigrations, guardianMigrations } from '@isthmus/migrations';
import {
  createLogger,
  openDatabase,
  runMigrations,
  testCluster,
  tokenSource,
  type Logger,
  type TestCluster,
} from '@isthmus/store';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { keccak256, stringToHex, type Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { COIN, Stage } from '../../contracts/ethereum/stage.js';
import {
  guardianSchema,
  networkOf,
  settledSlotsOf,
  type EthereumHomeConfig,
  type GuardianConfig,
} from './src/config.js';
import { Guardian } from './src/guardian.js';
import { openHome } from './src/homes/open.js';
import { Ledger } from './src/ledger.js';
import { Motions } from './src/motions.js';

export const CHAIN = 'eip155:31337';
export const CONFIRMATIONS = 3;
export const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));

/** Who deposits, and holds tokens on AO. */
export const ALICE = devAccount(5).address;
export const ALICE_KEY = devKey(5);
/** Who is paid on Ethereum. */
export const PAYEE = devAccount(6).address;

/** Keys of the stage's guardians, and of those who may join later. */
export const guardianKey = (index: number): Hex => keccak256(stringToHex(`guardian ${index}`));
export const guardianAddress = (index: number): Hex => privateKeyToAccount(guardianKey(index)).address;

/** A process that reports whatever it is told to: what a hostile module could do. */
const PUPPET = `
function handle(msg)
  if msg.Tags.Action ~= "Emit" then return end
  ao.send({ Tags = { { name = "Action", value = "Isthmus-Events" } }, Data = msg.Data })
end`;

const tagList = (tags: Record<string, string>): Tag[] => Object.entries(tags).map(([name, value]) => ({ name, value }));

export interface Reply {
  status: number;
  body: Uint8Array | string;
}
export interface Passing {
  method: string;
  path: string;
  body: Buffer;
}
type Intercept = (passing: Passing, forward: () => Promise<Reply>) => Promise<Reply | 'cut'> | Reply | 'cut';

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

interface RpcCall {
  method: string;
  params: readonly unknown[];
}

/** An RPC source that changes what it answers to some calls. */
export function lying(change: (call: RpcCall, result: unknown) => unknown): Intercept {
  return async ({ body }, forward) => {
    const call = JSON.parse(body.toString()) as RpcCall;
    const { status, body: answer } = await forward();
    const { result, ...rest } = JSON.parse(Buffer.from(answer).toString()) as { result: unknown };
    return { status, body: JSON.stringify({ ...rest, result: change(call, result) }) };
  };
}

/** The chain, the units and the database all tests of a file share. */
export class World {
  private constructor(
    readonly cluster: TestCluster,
    readonly stage: Stage,
    readonly pipeline: AoPipeline,
    private readonly app: INestApplication,
    /** The units' database. */
    readonly database: DataSource,
    readonly unitsUrl: string,
  ) {}
  private readonly scenes: Scene[] = [];
  private readonly emptied: DataSource[] = [];
  private sent = 0;

  static async open(): Promise<World> {
    const [cluster, stage] = await Promise.all([testCluster(), Stage.open()]);
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
    return new World(cluster, stage, pipeline, app, database, url);
  }

  async close(): Promise<void> {
    await this.clear();
    for (const database of this.emptied) await database.destroy();
    await this.app.close();
    await this.pipeline.stop();
    await this.database.destroy();
    await this.stage.anvil.stop();
    await this.cluster.close();
  }

  /** Ends what one test has started. */
  async clear(): Promise<void> {
    for (const scene of this.scenes.splice(0)) this.emptied.push(...(await scene.close()));
  }

  /** An empty guardian's database: a new one, or one that a test before has left. */
  async guardianDatabase(): Promise<DataSource> {
    const left = this.emptied.pop();
    if (left) return left;
    const url = await this.cluster.fresh(guardianMigrations);
    return openDatabase({ url, migrations: guardianMigrations, applicationName: 'guardian', poolSize: 5 });
  }

  /** A new vault with its processes: one test's own. */
  async scene(options: SceneOptions = {}): Promise<Scene> {
    const scene = await Scene.open(this, options);
    this.scenes.push(scene);
    return scene;
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
}

export interface SceneOptions {
  /** Assets besides the coin. */
  tokens?: readonly Hex[];
  /** Run the coin's process from a module that reports whatever it is told to. */
  puppet?: boolean;
  /** Tags of the coin's process that differ. */
  spawn?: Record<string, string>;
  /** Run the coin's process on this module of aos, with its source in the spawn. */
  aos?: { format: string; module: Buffer; source: string };
}

export class Scene {
  private constructor(
    readonly world: World,
    readonly vault: Hex,
    readonly deployBlock: number,
    readonly assets: EthereumHomeConfig['assets'],
    /** What its processes run. */
    readonly modules: readonly string[],
    readonly gateway: Door,
    readonly source: Door,
  ) {}
  private readonly subjects: Subject[] = [];
  private readonly doors: Door[] = [];
  readonly logged: string[] = [];

  static async open(world: World, { tokens = [], puppet = false, spawn = {}, aos }: SceneOptions): Promise<Scene> {
    const { stage } = world;
    const guardians = stage.guardians.map((g) => g.address);
    stage.vault = await stage.deploy('Vault', [guardians, 2, 1]);
    stage.epoch = 1n;
    const deployBlock = Number(await stage.client.getBlockNumber());
    const assets: EthereumHomeConfig['assets'] = [];
    const modules: string[] = [];
    for (const address of [COIN, ...tokens]) {
      await stage.list(address);
      const source = puppet && address === COIN ? PUPPET : tokenSource().toString();
      const id = assetId(CHAIN, address);
      const more = address === COIN ? spawn : {};
      const own = { 'Isthmus-Asset': id, 'Isthmus-Vault': stage.vault, ...more };
      const { process, module } = await spawnProcess(world, own, address === COIN && aos ? aos : lean(source));
      assets.push({ id, address, process });
      modules.push(module);
    }
    const [gateway, source] = [await Door.open(world.unitsUrl), await Door.open(stage.anvil.url)];
    return new Scene(world, stage.vault, deployBlock, assets, modules, gateway, source);
  }

  get coin(): EthereumHomeConfig['assets'][number] {
    return this.assets[0] as EthereumHomeConfig['assets'][number];
  }

  get process(): string {
    return this.coin.process;
  }

  /** Gives back the guardians' databases, emptied. */
  async close(): Promise<DataSource[]> {
    await Promise.all([this.gateway, this.source, ...this.doors].map((d) => d.close()));
    return Promise.all(this.subjects.map((s) => s.close()));
  }

  /** Another RPC source of the same chain. */
  async anotherSource(): Promise<Door> {
    const door = await Door.open(this.world.stage.anvil.url);
    this.doors.push(door);
    return door;
  }

  /** A guardian of this scene, by its index in the set, with a database of its own. */
  async guardian(index: number, change: Record<string, unknown> = {}): Promise<Subject> {
    const subject = await Subject.open(this, index, change, await this.world.guardianDatabase());
    this.subjects.push(subject);
    return subject;
  }

  /** Blocks enough that what was mined before them is final. */
  async finalize(): Promise<void> {
    await this.world.stage.chain.mine({ blocks: CONFIRMATIONS - 1 });
  }

  /** A deposit of coin for Alice, final. */
  async deposited(amount: bigint, recipient: Hex = ALICE): Promise<Hex> {
    const { transactionHash } = await this.world.stage.deposit(amount, recipient);
    await this.finalize();
    return transactionHash;
  }

  /** A deposit of a token for Alice, not final yet; the stage's account holds enough of it. */
  async depositedToken(token: Hex, amount: bigint): Promise<void> {
    const { stage } = this.world;
    await stage.call('TestToken', token, 'approve', [this.vault, amount]);
    await stage.call('Vault', this.vault, 'deposit', [token, amount, ALICE, '0x']);
  }

  /** Alice burns and queues a withdrawal of the coin. */
  async withdraw(amount: bigint, maxFee = 10n, process = this.process): Promise<void> {
    const tags = { Action: 'Withdraw', Quantity: String(amount), Recipient: PAYEE, 'Max-Fee': String(maxFee) };
    await this.world.message(ALICE_KEY, process, tags);
  }

  /** What an authority says in somebody's name. */
  async push(sender: string, tags: Record<string, string>): Promise<void> {
    const all = { 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', 'From-Process': sender, ...tags };
    await this.world.post(await createItem({ target: this.process, tags: tagList(all), data: '' }, MESSENGER));
  }

  /** What a guardian says by hand. */
  async say(
    index: number,
    action: string,
    data: string,
    more: Record<string, string> = {},
    process = this.process,
  ): Promise<void> {
    await this.world.message(guardianKey(index), process, { Action: action, ...more }, data);
  }

  /** Decides by two guardians' voices, on AO. */
  async decide(nonce: number, line: string): Promise<void> {
    for (const index of [0, 1]) await this.say(index, 'Attest-Decision', line, { 'Decision-Nonce': String(nonce) });
  }

  /** Makes the puppet report these events. */
  async emit(...lines: string[]): Promise<void> {
    await this.world.message(ALICE_KEY, this.process, { Action: 'Emit' }, lines.join('\n'));
  }
}

/** One guardian under test. */
export class Subject {
  private constructor(
    readonly scene: Scene,
    readonly index: number,
    readonly config: GuardianConfig,
    readonly database: DataSource,
    readonly ledger: Ledger,
    readonly motions: Motions,
    readonly log: Logger,
  ) {}
  workers!: WorkerPool;
  guardian!: Guardian;

  static async open(
    scene: Scene,
    index: number,
    change: Record<string, unknown>,
    database: DataSource,
  ): Promise<Subject> {
    const config = configOf(scene, index, change);
    const log = createLogger(config.name, { write: (line: string) => void scene.logged.push(line) });
    const subject = new Subject(scene, index, config, database, new Ledger(database), new Motions(database), log);
    await subject.start();
    return subject;
  }

  /** As after a restart: nothing but the database is left of what it knew. `change` when its configuration was changed meanwhile. */
  async restart(change?: Record<string, unknown>): Promise<void> {
    await this.workers.stop();
    await this.start(change ? configOf(this.scene, this.index, change) : this.config);
  }

  /** Gives back its database, emptied. */
  async close(): Promise<DataSource> {
    await this.workers.stop();
    await this.database.query(
      'truncate vault_cursor, observed_deposit, observed_release, module, schedule_entry, signed_release, outbox, motion, signed_rotation, own_proposal, signed_proposal, signed_anchor, solana_cursor, solana_payment, solana_refused',
    );
    return this.database;
  }

  /** One round, step by step. */
  async round(): Promise<void> {
    await this.guardian.watch();
    await this.guardian.follow();
    await this.guardian.attest();
    await this.guardian.sign();
    await this.guardian.decide();
    await this.guardian.send();
  }

  /** Sees the chain and follows AO, and says nothing. */
  async look(): Promise<void> {
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

  private async start(config: GuardianConfig = this.config): Promise<void> {
    const [own] = config.homes;
    if (!own) throw new Error('A guardian has a home chain.');
    const key = guardianKey(this.index);
    this.workers = new WorkerPool(1);
    const { home } = await openHome(own, {
      database: this.database,
      ledger: this.ledger,
      self: guardianAddress(this.index),
      log: this.log,
    });
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
    });
  }
}

/** A guardian's configuration; `chain` and `assets` of a change are its home's. */
function configOf(scene: Scene, index: number, change: Record<string, unknown>): GuardianConfig {
  const { chain = {}, assets = scene.assets, ...others } = change;
  const home = {
    chain: {
      id: CHAIN,
      rpcUrls: [scene.source.url],
      agreement: 1,
      finality: { confirmations: CONFIRMATIONS },
      vault: scene.vault,
      deployBlock: scene.deployBlock,
      ...(chain as object),
    },
    assets,
  };
  return guardianSchema.parse({
    name: `guardian ${index}`,
    keyFile: '/nowhere',
    databaseUrl: 'postgres://nowhere',
    port: 0,
    gatewayUrl: scene.gateway.url,
    scheduler: SCHEDULER.address,
    homes: [home],
    modules: scene.modules,
    ...others,
  });
}

const lean = (source: string) => ({ format: 'isthmus-lua-5.4', module: source, source: '' });

async function spawnProcess(
  world: World,
  own: Record<string, string>,
  machine: { format: string; module: Buffer | string; source: string },
): Promise<{ process: string; module: string }> {
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
    'Isthmus-Chain': CHAIN,
    'Isthmus-Guardians': world.stage.guardians.map((g) => g.address).join(','),
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
  await world.post(module);
  await world.post(spawn);
  return { process: spawn.id, module: module.id };
}
