/** For tests: what a replay has in its database before it reads the chains, of a gateway that runs. */
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import type { ReplayedBooks } from './src/replay/chain/asset-books.js';
import { checkBooks, type ChainSources } from './src/replay/chain/books.js';

/** Tables that are made of the schedules alone. */
const TABLES = ['module', 'process', 'assignment', 'result', 'progress', 'projection', 'decision', 'asset_total'];
/** Steps that only a chain shows. */
const OF_CHAINS = `('seen', 'final', 'refused', 'refunded', 'mined', 'submitted')`;

/** A gateway that runs, and where its home chain is read. */
export interface ReplayedOf {
  live: DataSource;
  /** URL of an empty database. */
  url: string;
  /** Asset by token process. */
  assets: ReadonlyMap<string, string>;
  source: ChainSources;
}

/** The books a fresh machine comes to; `damage` is done to what the schedules came to. */
export async function replayedBooks(
  { live, url, assets, source }: ReplayedOf,
  damage = 'select 1',
): Promise<ReplayedBooks[]> {
  const database = await replayedIndex(live, url);
  try {
    await database.query(damage);
    return await checkBooks(database, assets, { sources: [source], fromBlock: 0 });
  } finally {
    await database.destroy();
  }
}

/** What is found wrong with books. */
export const foundIn = (books: Promise<ReplayedBooks[]>): Promise<string> =>
  books.then(
    () => 'nothing',
    (error: Error) => error.message,
  );

/** What a gateway and a replay both say of an asset's books, as text. */
export const toldOf = ({ asset, locked, supply, inFlight, releasedUnattested }: Record<keyof ReplayedBooks, unknown>) =>
  [asset, locked, supply, inFlight, releasedUnattested].map(String);

/** @param url of an empty database */
export async function replayedIndex(live: DataSource, url: string): Promise<DataSource> {
  const database = await openDatabase({ url, migrations: gatewayMigrations, applicationName: 'test' });
  await runMigrations(database);
  for (const table of TABLES) await copy(live, database, table, 'true');
  await copy(live, database, 'transfer', `direction = 'withdrawal' or state = 'minted'`);
  await copy(
    live,
    database,
    'transfer_step',
    `kind not in ${OF_CHAINS} and transfer in (select id from transfer where direction = 'withdrawal' or state = 'minted')`,
  );
  return database;
}

async function copy(from: DataSource, to: DataSource, table: string, which: string): Promise<void> {
  const [{ rows } = { rows: [] }]: { rows: unknown[] }[] = await from.query(
    `select coalesce(json_agg(to_json(t)), '[]') as rows from (select * from ${table} where ${which}) t`,
  );
  await to.query(
    `insert into ${table} overriding system value select * from json_populate_recordset(null::${table}, $1)`,
    [JSON.stringify(rows)],
  );
}
