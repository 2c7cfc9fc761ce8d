/** A fresh real database for a test file: its own cluster, gone afterwards. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';

export interface TestCluster {
  postgres: EmbeddedPostgres;
  /** URL of a new, empty database. */
  fresh(): Promise<string>;
  close(): Promise<void>;
}

/** Starts a cluster in the system's temporary folder. */
export async function testCluster(): Promise<TestCluster> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-test-'));
  fs.chmodSync(folder, 0o755); // the server's user must reach its folder
  const postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, 'pg'), durable: false });
  let made = 0;
  return {
    postgres,
    async fresh() {
      const name = `test_${(made += 1)}`;
      await postgres.createDatabase(name);
      return postgres.url(name);
    },
    async close() {
      await postgres.stop();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}
