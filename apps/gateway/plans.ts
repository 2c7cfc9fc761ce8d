/** How PostgreSQL answers what a gateway asks of tables that grow, when nearly all in them is done. */
import { AbstractLogger, type DataSource } from 'typeorm';
import { until } from './harness.js';

/** So many that reading them all costs more than any index. */
export const DONE = 20_000;
/** Above all numbers that a test's own withdrawals have. */
const FIRST = 1_000_000;

/** Keeps what is asked. */
class Asked extends AbstractLogger {
  readonly queries = new Map<string, readonly unknown[]>();
  override logQuery(sql: string, values: readonly unknown[] = []): void {
    this.queries.set(sql, values);
  }
  protected writeLog(): void {
    // Nothing else is of interest.
  }
}

/** Rounds of a gateway: its own, or those that a test makes. */
export interface Rounds {
  /** What they ask, in part: it has been asked when they are looked at. */
  ask: readonly string[];
  make?: () => Promise<unknown>;
  /** Further tables that a test has filled. */
  tables?: readonly string[];
}

/** What rounds ask and PostgreSQL answers by reading all transfers there are, or all of another table, where many of this process are done. */
export async function scansOf(
  database: DataSource,
  process: string,
  { ask, make, tables = [] }: Rounds,
): Promise<string[]> {
  const names = ['transfer', ...tables].join('|');
  const asked = new Asked('all');
  const { logger } = database;
  try {
    await database.query(
      `insert into transfer (id, direction, asset, process, state, sender, recipient, amount, max_fee, number, created_at, updated_at)
       select 'done' || i, case when i % 2 = 0 then 'deposit' else 'withdrawal' end, '-', $1, case when i % 2 = 0 then 'minted' else 'released' end,
         '-', '-', 1, 1, case when i % 2 = 1 then ${FIRST} + i end, now(), now() from generate_series(1, ${DONE}) i`,
      [process],
    );
    await database.query('analyze');
    database.logger = asked;
    await until('all of it is asked', async () => {
      await make?.();
      const queries = [...asked.queries.keys()];
      return ask.every((part) => queries.some((sql) => sql.includes(part)));
    });
    database.logger = logger;
    const scans: string[] = [];
    for (const [sql, values] of asked.queries) if (await readsAll(database, names, sql, values)) scans.push(sql);
    return scans;
  } finally {
    database.logger = logger;
    await database.query(`delete from transfer where id like 'done%'`);
  }
}

async function readsAll(
  database: DataSource,
  names: string,
  sql: string,
  values: readonly unknown[],
): Promise<boolean> {
  if (!new RegExp(`\\b(?:${names})\\b`).test(sql) || !/^\s*(?:select|update|with)\b/.test(sql)) return false;
  const plan: { 'QUERY PLAN': string }[] = await database.query(`explain ${sql}`, [...values]);
  return plan.some((line) => new RegExp(`Seq Scan on (?:${names})\\b`).test(line['QUERY PLAN']));
}
