/** A fresh real database for a test file: its own cluster, gone afterwards. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openDatabase, runMigrations, type Migrations } from './data-source.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';

export interface TestCluster {
  postgres: EmbeddedPostgres;
  /** URL of a new database: empty, or as these migrations leave one. They run once; every further one is a copy. */
  fresh(migrations?: Migrations): Promise<string>;
  close(): Promise<void>;
}

/** Starts a cluster in the system's temporary folder. */
export async function testCluster(): Promise<TestCluster> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-test-'));
  fs.chmodSync(folder, 0o755); // the server's user must reach its folder
  const postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, 'pg'), durable: false });
  let made = 0;
  const create = async (template?: string): Promise<string> => {
    const name = `test_${(made += 1)}`;
    await postgres.createDatabase(name, template);
    return name;
  };
  const templates = new Map<Migrations, Promise<string>>();
  const templateOf = async (migrations: Migrations): Promise<string> => {
    const name = await create();
    const database = await openDatabase({ url: postgres.url(name), migrations, applicationName: 'template' });
    await runMigrations(database);
    await database.destroy(); // nobody may be connected to what is copied
    return name;
  };
  return {
    postgres,
    async fresh(migrations) {
      if (!migrations) return postgres.url(await create());
      const template = templates.get(migrations) ?? templateOf(migrations);
      templates.set(migrations, template);
      return postgres.url(await create(await template));
    },
    async close() {
      await postgres.stop();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}
