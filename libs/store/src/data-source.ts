/** One way to a database: bounded pool, real migrations, never a schema guessed from entities. */
import { DataSource, type DataSourceOptions } from 'typeorm';
import { ConfigError } from './config.js';

export type Migrations = NonNullable<DataSourceOptions['migrations']>;
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
  /** Milliseconds after which the database ends a session that does nothing in a transaction, and frees what it has locked; never unless told. */
  idleInTransactionMs?: number;
}

/** The database cannot be opened; the message says which and what to do. */
export class DatabaseUnavailable extends Error {
  readonly code = 'database-unavailable';
  constructor(url: string, error: unknown) {
    const { hostname, port, pathname } = new URL(url);
    const { message, code } = error as { message?: string; code?: string };
    super(
      `The database ${pathname.slice(1)} at ${hostname}:${port || 5432} cannot be opened (${message || code || 'no answer'}): start it, or correct databaseUrl.`,
    );
    this.name = 'DatabaseUnavailable';
  }
}

/** The tables in a database are another app's: each app has a database of its own. */
export class ForeignDatabase extends Error {
  readonly code = 'foreign-database';
  constructor(foreign: string) {
    super(`This database holds the tables of another app (${foreign}): give each app an empty one of its own.`);
    this.name = 'ForeignDatabase';
  }
}

/** One line for the person who started the app, when the error is one of those that are theirs to mend; null for any other. */
export function plainMessage(error: unknown): string | null {
  const plain =
    error instanceof ConfigError || error instanceof DatabaseUnavailable || error instanceof ForeignDatabase;
  if (plain) return error.message;
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (code === 'EADDRINUSE') return `${String(message)}: free the port, or set another "port" in the configuration.`;
  return null;
}

/** Opens the database. @throws DatabaseUnavailable */
export function openDatabase({
  url,
  migrations,
  entities,
  poolSize,
  applicationName,
  idleInTransactionMs,
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
    extra: { idle_in_transaction_session_timeout: idleInTransactionMs ?? false },
  })
    .initialize()
    .catch((error: unknown) => {
      throw new DatabaseUnavailable(url, error);
    });
}

/** Runs what migrations are missing; several processes may call it at once. Returns the names of those it ran. @throws ForeignDatabase */
export async function runMigrations(database: DataSource): Promise<string[]> {
  const lock = database.createQueryRunner();
  await lock.connect();
  try {
    await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await refuseForeign(database);
    const ran = await database.runMigrations();
    return ran.map((m) => m.name);
  } finally {
    await lock.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    await lock.release();
  }
}

async function refuseForeign(database: DataSource): Promise<void> {
  const [kept]: { is: string | null }[] = await database.query("select to_regclass('migrations')::text as is");
  if (kept?.is === null) return;
  const known = new Set(database.migrations.map((m) => m.name ?? m.constructor.name));
  const rows: { name: string }[] = await database.query('select name from migrations order by id');
  const foreign = rows.find((r) => !known.has(r.name));
  if (foreign) throw new ForeignDatabase(foreign.name);
}
