/** One way to a database: bounded pool, real migrations, never a schema guessed from entities. */
import { DataSource, type DataSourceOptions } from 'typeorm';

type Migrations = NonNullable<DataSourceOptions['migrations']>;
type Entities = NonNullable<DataSourceOptions['entities']>;

/** Any constant will do, as long as every Isthmus uses the same. */
const MIGRATION_LOCK = 4_953_168;

export interface DatabaseOptions {
  url: string;
  migrations: Migrations;
  entities?: Entities;
  /** Most connections of this process; 10 unless told. */
  poolSize?: number;
  /** Shown in pg_stat_activity. */
  applicationName: string;
}

/** Opens the database. @throws when it cannot be reached. */
export function openDatabase({
  url,
  migrations,
  entities,
  poolSize,
  applicationName,
}: DatabaseOptions): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    url,
    migrations,
    entities: entities ?? [],
    applicationName,
    synchronize: false,
    migrationsRun: false,
    migrationsTransactionMode: 'each',
    poolSize: poolSize ?? 10,
    connectTimeoutMS: 10_000,
    parseInt8: false,
  }).initialize();
}

/** Runs what migrations are missing; several processes may call it at once. Returns the names of those it ran. */
export async function runMigrations(database: DataSource): Promise<string[]> {
  const lock = database.createQueryRunner();
  await lock.connect();
  try {
    await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const ran = await database.runMigrations();
    return ran.map((m) => m.name);
  } finally {
    await lock.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    await lock.release();
  }
}
