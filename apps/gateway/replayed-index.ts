/** For tests: what a replay has in its database before it reads the chains, of a gateway that runs. */
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations } from '@isthmus/store';
import type { DataSource } from 'typeorm';

/** Tables that are made of the schedules alone. */
const TABLES = ['module', 'process', 'assignment', 'result', 'progress', 'projection', 'decision', 'asset_total'];
/** Steps that only a chain shows. */
const OF_CHAINS = `('seen', 'final', 'refused', 'refunded', 'mined', 'submitted')`;

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
