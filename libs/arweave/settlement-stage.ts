/** For tests: a settler over a database of its own and a local Arweave, stepped by hand, at a time the test sets. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { arweaveSigner, createItem, tagOf, type Item, type ScheduleEntry, type Signer } from '@isthmus/ao';
import { addressOfWallet, startArweave, type LocalArweave } from '@isthmus/devnet';
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
import { sampleOutcome, sampleSigner } from './harness.js';
import {
  ArweaveClient,
  ArweaveSource,
  BaseLayerPoster,
  readBundles,
  SettlementStore,
  Settler,
  type Poster,
  type ReadBundle,
  type SettlementStep,
  type SettlerPolicy,
} from './src/index.js';

export const SECOND = 1000;
const START = Date.parse('2026-01-01T00:00:00Z');

const POLICY: SettlerPolicy = {
  bundleBytes: 8 * 1024 * 1024,
  bundleMs: 60 * SECOND,
  confirmations: 2,
  finalConfirmations: 10,
  dropMs: 60 * SECOND,
  checkpointSlots: 1000,
  minBalance: 0n,
  minDays: 0,
  indexMs: 0,
  spotCheckMs: 0,
  behindMs: 3600 * SECOND,
};

export class SettlementStage {
  now = START;
  readonly store: SettlementStore;
  /** Called at each durable step of every settler. */
  onStep: (step: SettlementStep) => void = () => undefined;
  /** Another for each test: what one has put on Arweave stays there. */
  scheduler: Signer = sampleSigner('scheduler 0');
  private readonly settlers: Settler[] = [];
  private tests = 0;

  private constructor(
    readonly database: DataSource,
    readonly url: string,
    readonly arweave: LocalArweave,
    readonly jwk: TestWallet,
    readonly client: ArweaveClient,
    private readonly cluster: TestCluster,
    private readonly folder: string,
  ) {
    this.store = new SettlementStore(database);
  }

  static async open(): Promise<SettlementStage> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-settlement-'));
    const [cluster, jwk] = [await testCluster(), testWallet()];
    const url = await cluster.fresh();
    const database = await openDatabase({ url, migrations: gatewayMigrations, applicationName: 'test' });
    await runMigrations(database);
    const arweave = await startArweave({ dir: path.join(folder, 'arweave') });
    await arweave.mint(addressOfWallet(jwk), 10n ** 16n);
    return new SettlementStage(database, url, arweave, jwk, new ArweaveClient(arweave.url), cluster, folder);
  }

  async close(): Promise<void> {
    for (const settler of this.settlers) await settler.stop();
    await this.arweave.stop();
    await this.database.destroy();
    await this.cluster.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  /** A settler like those of a gateway. */
  settler(policy: Partial<SettlerPolicy> = {}, poster: Poster | null = null, random?: () => number): Settler {
    const { client, database, store } = this;
    const made = new Settler({
      database,
      store,
      signer: this.scheduler,
      client,
      source: new ArweaveSource(this.arweave.url),
      poster: poster ?? new BaseLayerPoster(client, arweaveSigner(this.jwk)),
      policy: { ...POLICY, ...policy },
      onStep: (step) => this.onStep(step),
      now: () => this.now,
      ...(random ? { random } : {}),
    });
    this.settlers.push(made);
    return made;
  }

  /** Empties all tables of the pipeline and of settlement; Arweave keeps what it has. */
  async clear(): Promise<void> {
    for (const settler of this.settlers.splice(0)) await settler.stop();
    await this.database.query(
      'truncate module, process, assignment, result, progress, item, checkpoint, checkpoint_page, settlement_bundle, settlement_range, settlement_item, settlement_progress, settlement_checkpoint cascade',
    );
    this.onStep = () => undefined;
    this.arweave.faults.heal();
    this.now = START;
    this.tests += 1;
    this.scheduler = sampleSigner(`scheduler ${this.tests}`);
  }

  /** Keeps what the database has of settlement. @returns what has it restored, with a pipeline that has nothing */
  async backup(): Promise<() => Promise<void>> {
    const tables = ['settlement_bundle', 'settlement_item', 'settlement_range', 'settlement_progress'];
    for (const table of tables) {
      await this.database.query(`drop table if exists backup_${table}`);
      await this.database.query(`create table backup_${table} as table ${table}`);
    }
    return async () => {
      await this.database.query(
        `truncate ${tables.join(', ')}, process, assignment, result, progress, module, item cascade`,
      );
      for (const table of tables) await this.database.query(`insert into ${table} table backup_${table}`);
    };
  }

  /** All that is on Arweave of this test's scheduler, checked as a stranger would. */
  async settled(): Promise<ReadBundle[]> {
    const bundles: ReadBundle[] = [];
    for await (const bundle of readBundles({
      source: new ArweaveSource(this.arweave.url),
      scheduler: this.scheduler.address,
    }))
      bundles.push(bundle);
    return bundles;
  }

  /** Stores a module, or what is in no schedule. */
  async keep(item: Item): Promise<void> {
    const [sql, values] =
      tagOf(item, 'Type') === 'Module'
        ? ['insert into module (id, format, item) values ($1, $3, $2) on conflict do nothing', [item.id, item.raw, 'f']]
        : ['insert into item (id, item) values ($1, $2)', [item.id, item.raw]];
    await this.database.query(sql, values);
  }

  /** Stores slots as the scheduler does, placed now; `evaluated`: with their results up to this slot. */
  async place(
    entries: readonly ScheduleEntry[],
    evaluated: number = Infinity,
    module: Item | null = null,
  ): Promise<void> {
    const [first, last] = [entries[0], entries.at(-1)];
    if (!first || !last) return;
    const of =
      module ?? (await createItem({ tags: [{ name: 'Type', value: 'Module' }], data: '' }, sampleSigner('author')));
    if (!module) await this.keep(of);
    await this.database.query(
      `insert into process (id, module, item, nonce, assignment_id, hash_chain, timestamp) values ($1, $2, $3, $4, $5, $6, $7)
       on conflict (id) do update set nonce = excluded.nonce, assignment_id = excluded.assignment_id, hash_chain = excluded.hash_chain`,
      [
        first.process,
        of.id,
        first.message.raw,
        last.nonce,
        last.assignment.id,
        tagOf(last.assignment, 'Hash-Chain'),
        this.now,
      ],
    );
    const column = <T>(pick: (e: ScheduleEntry) => T): T[] => entries.map(pick);
    await this.database.query(
      `insert into assignment (process, nonce, id, message_id, timestamp, item, message)
       select $1, e.nonce, e.id, e.message_id, $6, e.item, e.message from unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[], $7::bytea[]) as e(nonce, id, message_id, item, message)`,
      [
        first.process,
        column((e) => e.nonce),
        column((e) => e.assignment.id),
        column((e) => e.message.id),
        column((e) => e.assignment.raw),
        this.now,
        column((e) => e.message.raw),
      ],
    );
    await this.evaluate(entries.filter((e) => e.nonce <= evaluated));
  }

  /** Stores the results of slots. */
  async evaluate(entries: readonly ScheduleEntry[]): Promise<void> {
    const last = entries.at(-1);
    if (!last) return;
    await this.database.query(
      'insert into result (process, nonce, message_id, outcome) select $1, * from unnest($2::bigint[], $3::text[], $4::text[])',
      [last.process, entries.map((e) => e.nonce), entries.map((e) => e.message.id), entries.map(sampleOutcome)],
    );
    await this.database.query(
      'insert into progress (process, evaluated) values ($1, $2) on conflict (process) do update set evaluated = excluded.evaluated',
      [last.process, last.nonce],
    );
  }
}
