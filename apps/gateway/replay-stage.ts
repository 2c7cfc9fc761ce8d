/** For tests: a live pipeline with its index, settled to a local Arweave of its own; and empty databases to rebuild it in. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  AoPipeline,
  arweaveSigner,
  CheckpointStore,
  createItem,
  ed25519Signer,
  EmbeddedEngine,
  ethereumSigner,
  tagList,
  type Item,
} from '@isthmus/ao';
import {
  ArweaveClient,
  ArweaveSource,
  BaseLayerPoster,
  SettlementStore,
  Settler,
  type SettlerPolicy,
} from '@isthmus/arweave';
import { assetId, depositId, depositReference, encodeDepositLine, encodeReleaseLine } from '@isthmus/bridge';
import { addressOfWallet, devKey, startArweave, type LocalArweave } from '@isthmus/devnet';
import { gatewayMigrations } from '@isthmus/migrations';
import {
  openDatabase,
  runMigrations,
  testCluster,
  testWallet,
  type TestCluster,
  type TestWallet,
} from '@isthmus/store';
import type { DataSource } from 'typeorm';
import type { Hex } from 'viem';
import { CHAIN, SPAWN_TAGS, TOKEN, tokenSource, VAULT } from '../../contracts/ao/harness.js';
import { SpareThreads } from '../../libs/ao/spare-threads.js';
import { rebuild, type Rebuilt, type RebuildOptions } from './src/replay/rebuild.js';
import { publishAssets } from './src/state/asset-notices.js';
import { StateStore } from './src/state/state-store.js';
import { DecisionStore } from './src/transfers/decision-store.js';
import { Projector } from './src/transfers/projector.js';
import { TransferStore } from './src/transfers/transfer-store.js';

export const SCHEDULER = ed25519Signer(Buffer.alloc(32, 0x11));
export const MESSENGER = ed25519Signer(Buffer.alloc(32, 0x22));
export const ASSET = assetId(CHAIN, TOKEN);
const GUARDIANS = [1, 2, 3].map((i) => ethereumSigner(`0x${String(i).repeat(64)}`));
const PATIENCE_MS = 120_000;

const POLICY: SettlerPolicy = {
  bundleBytes: 256 * 1024,
  bundleMs: 0,
  confirmations: 1,
  finalConfirmations: 3,
  dropMs: 60_000,
  checkpointSlots: 20,
  minBalance: 0n,
  minDays: 0,
  indexMs: 0,
  spotCheckMs: 0,
  behindMs: 3_600_000,
};

/** A pipeline on a database, with the index of one asset. */
export class Live {
  readonly state: StateStore;
  readonly settler: Settler;
  private readonly projector: Projector;

  private constructor(
    readonly database: DataSource,
    readonly pipeline: AoPipeline,
    readonly store: SettlementStore,
    stage: ReplayStage,
    readonly token: string,
  ) {
    this.state = new StateStore(database);
    this.projector = new Projector(
      new EmbeddedEngine(pipeline, database),
      new TransferStore(database),
      new DecisionStore(database),
      [{ id: ASSET, process: token }],
      () => undefined,
      (error) => {
        throw error;
      },
    );
    const client = new ArweaveClient(stage.arweave.url);
    this.settler = new Settler({
      database,
      store,
      signer: SCHEDULER,
      client,
      source: new ArweaveSource(stage.arweave.url),
      poster: new BaseLayerPoster(client, arweaveSigner(stage.jwk)),
      policy: POLICY,
    });
  }

  /** @param token process whose transfers are shown @param url of its database; a new one unless told */
  static async open(stage: ReplayStage, token: string, url?: string): Promise<Live> {
    const database = await stage.database(url);
    const pipeline = new AoPipeline({
      database,
      schedulerSigner: SCHEDULER,
      messengerSigner: MESSENGER,
      workers: 2,
      onFailure: (_, error) => {
        throw error;
      },
    });
    const live = new Live(database, pipeline, new SettlementStore(database), stage, token);
    await publishAssets(pipeline, database, [{ id: ASSET, process: token }]);
    await pipeline.start();
    await live.projector.start();
    return live;
  }

  async send(item: Item): Promise<void> {
    await this.pipeline.scheduler.schedule(item.raw);
  }

  /** Has the gateway keep the memory of a process as it is now, where nothing of it waits. */
  async checkpoint(process: string): Promise<void> {
    await this.pipeline.compute.advance(process);
    const [row]: { evaluated: string }[] = await this.database.query(
      'select evaluated from progress where process = $1',
      [process],
    );
    const image = await this.pipeline.workers.snapshot(process);
    await new CheckpointStore(this.database).replace(process, Number(row?.evaluated), image);
  }

  /** Everything evaluated, delivered, projected, and on Arweave. */
  async settled(stage: ReplayStage): Promise<void> {
    await this.atRest();
    await this.sealed(stage);
  }

  private async atRest(): Promise<void> {
    for (const end = Date.now() + PATIENCE_MS; ;) {
      await this.pipeline.messenger.deliver();
      const rows: { id: string; nonce: string; evaluated: string }[] = await this.database.query(
        'select id, nonce, evaluated from computed_process',
      );
      await Promise.all(rows.map((r) => this.pipeline.compute.advance(r.id)));
      const [left]: { n: number }[] = await this.database.query(
        `select (select count(*) from computed_process where evaluated < nonce)::int
           + (select count(*) from outbox where state in ('waiting', 'held'))::int
           + (select count(*) from projection p join progress g on g.process = p.process where p.nonce < g.evaluated)::int as n`,
      );
      if (left?.n === 0) return;
      if (Date.now() > end) throw new Error('It never came to rest.');
    }
  }

  /** Every slot there is on Arweave, whatever waits to be delivered. */
  async sealed(stage: ReplayStage): Promise<void> {
    for (let i = 0; i < 50; i += 1) {
      await this.settler.step();
      await stage.arweave.mine(2);
      const [open]: { n: number }[] = await this.database.query(
        `select (select count(*) from settlement_bundle where state <> 'final')::int
           + (select count(*) from process p left join settlement_progress s on s.process = p.id where coalesce(s.next, 0) <= p.nonce)::int as n`,
      );
      if (open?.n === 0 && this.settler.status.backlog.slots === 0) return;
    }
    throw new Error('It never settled.');
  }

  async stop(): Promise<void> {
    await this.settler.stop();
    await this.projector.stop();
    await this.pipeline.stop();
    await this.database.destroy();
  }
}

/** What a token's spawn says of itself. */
export const tokenTags = (): Record<string, string> => ({
  ...SPAWN_TAGS,
  'Isthmus-Guardians': GUARDIANS.map((g) => g.address).join(','),
});

export class ReplayStage {
  private sent = 0;
  private deposits = 0;
  private readonly databases: DataSource[] = [];
  private readonly threads = new SpareThreads(2);

  private constructor(
    readonly cluster: TestCluster,
    readonly arweave: LocalArweave,
    readonly jwk: TestWallet,
    /** Gone when the stage is. */
    readonly folder: string,
  ) {}

  static async open(): Promise<ReplayStage> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-replay-'));
    const [cluster, jwk] = [await testCluster(), testWallet()];
    const arweave = await startArweave({ dir: path.join(folder, 'arweave') });
    await arweave.mint(addressOfWallet(jwk), 10n ** 16n);
    return new ReplayStage(cluster, arweave, jwk, folder);
  }

  async close(): Promise<void> {
    for (const database of this.databases) if (database.isInitialized) await database.destroy();
    await this.threads.stop();
    await this.arweave.stop();
    await this.cluster.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  /** A database with a gateway's tables; a new one unless told. */
  async database(url?: string): Promise<DataSource> {
    const database = await openDatabase({
      url: url ?? (await this.cluster.fresh()),
      migrations: gatewayMigrations,
      applicationName: 'test',
    });
    await runMigrations(database);
    this.databases.push(database);
    return database;
  }

  /** What is on Arweave, in an empty database. */
  async rebuilt(more: Partial<RebuildOptions> = {}): Promise<Rebuilt & { database: DataSource }> {
    const database = more.database ?? (await this.database());
    return { ...(await this.rebuild({ scheduler: SCHEDULER.address, ...more, database })), database };
  }

  /** What a scheduler has settled to Arweave, by threads that others had before. */
  async rebuild(options: Partial<RebuildOptions> & Pick<RebuildOptions, 'scheduler' | 'database'>): Promise<Rebuilt> {
    const workers = this.threads.take();
    try {
      return await rebuild({ source: new ArweaveSource(this.arweave.url), workers, ...options });
    } finally {
      await this.threads.give(workers);
    }
  }

  module(data: Buffer | string, format = 'isthmus-lua-5.4'): Promise<Item> {
    return this.item({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': format }, 0, { data });
  }

  /** The token's module and spawn. */
  async token(): Promise<{ module: Item; spawn: Item }> {
    const module = await this.module(tokenSource());
    const own = { Module: module.id, Scheduler: SCHEDULER.address, Authority: MESSENGER.address };
    const spawn = await this.item({ ...tokenTags(), ...own }, 0);
    return { module, spawn };
  }

  /** An item of one of anvil's accounts. */
  item(all: Readonly<Record<string, string>>, account: number, more: { target?: string; data?: Buffer | string } = {}) {
    this.sent += 1;
    const anchor = String(this.sent).padStart(32, '0');
    return createItem({ anchor, tags: tagList(all), data: '', ...more }, ethereumSigner(devKey(account)));
  }

  message(target: string, all: Readonly<Record<string, string>>, account = 1, data = 'x'): Promise<Item> {
    return this.item({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', ...all }, account, { target, data });
  }

  /** Attestations of these guardians that so much was deposited for someone, the same by each. */
  async deposited(target: string, recipient: string, amount: bigint, guardians = [0, 1]): Promise<Item[]> {
    this.deposits += 1;
    const reference = depositReference({ chain: CHAIN, vault: VAULT, sequence: BigInt(this.deposits) });
    const line = encodeDepositLine({
      id: depositId(reference),
      reference,
      txHash: `0x${this.deposits.toString(16).padStart(64, '0')}`,
      sender: VAULT,
      recipient,
      amount,
      tags: '-',
    });
    return Promise.all(guardians.map((g) => this.said(target, g, 'Attest-Deposits', line)));
  }

  /** Signatures and attestations that a withdrawal was paid. */
  async released(target: string, number: bigint): Promise<Item[]> {
    const txHash: Hex = `0x${(1000n + number).toString(16).padStart(64, '0')}`;
    const line = encodeReleaseLine({ number, txHash, fee: 1n, outcome: 'paid' });
    const signature = (g: number) => `${number} 1 0x0${g}${'cd'.repeat(64)}`;
    return Promise.all([
      ...[0, 1].map((g) => this.said(target, g, 'Sign-Release', signature(g))),
      ...[0, 1].map((g) => this.said(target, g, 'Attest-Release', line)),
    ]);
  }

  private said(target: string, guardian: number, action: string, data: string): Promise<Item> {
    this.sent += 1;
    const own = { 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', Action: action };
    const anchor = String(this.sent).padStart(32, '0');
    return createItem({ target, anchor, tags: tagList(own), data }, GUARDIANS[guardian] as (typeof GUARDIANS)[0]);
  }
}
