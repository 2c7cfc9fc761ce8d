/**
 * Fresh real databases for a test file, gone afterwards. Test files share the one server of their run, which `scripts/jest/postgres.mjs` starts
 * when the first of them asks; what runs outside of Jest (benchmarks) has a server of its own.
 */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openDatabase, runMigrations, type Migrations } from './data-source.js';
import { Databases } from './databases.js';
import { startEmbeddedPostgres } from './embedded-postgres.js';

/** Where the server of the run is asked for. */
const ASK = 'ISTHMUS_TEST_POSTGRES';

export interface TestCluster {
  /** URL of a new database: empty, or as these migrations leave one. They run once on a server; every further one is a copy. */
  fresh(migrations?: Migrations): Promise<string>;
  /** Drops the databases, whoever is connected to them. */
  close(): Promise<void>;
}

export async function testCluster(): Promise<TestCluster> {
  const of = await server();
  const { databases } = of;
  const made: string[] = [];
  return {
    async fresh(migrations) {
      const template = migrations && (await templateOf(databases, migrations));
      const name = newName();
      made.push(name);
      await databases.create(name, template);
      return databases.url(name);
    },
    async close() {
      await databases.drop(made);
      await of.release();
    },
  };
}

interface Server {
  databases: Databases;
  release(): Promise<void>;
}

async function server(): Promise<Server> {
  const ask = process.env[ASK];
  if (ask === undefined) return ownServer();
  const response = await fetch(ask);
  const said = await response.text();
  if (!response.ok) throw new Error(`The tests' PostgreSQL did not start: ${said}`);
  return { databases: new Databases(said), release: () => Promise.resolve() };
}

async function ownServer(): Promise<Server> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-test-'));
  fs.chmodSync(folder, 0o755); // the server's user must reach its folder
  const postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, 'pg'), durable: false });
  return {
    databases: postgres.databases,
    async release() {
      await postgres.stop();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Name of a database as these migrations leave one: whoever comes first makes it, and it gets its name when it is complete. */
async function templateOf(databases: Databases, migrations: Migrations): Promise<string> {
  const text = Object.values(migrations).map(String).join('\n');
  const name = `template_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
  if (await databases.has(name)) return name;
  const making = newName();
  await databases.create(making);
  const database = await openDatabase({ url: databases.url(making), migrations, applicationName: 'template' });
  await runMigrations(database);
  await database.destroy(); // nobody may be connected to what is copied
  if (!(await databases.rename(making, name))) await databases.drop([making]);
  return name;
}

const newName = () => `test_${randomBytes(8).toString('hex')}`;
