/**
 * One PostgreSQL for all tests of a run: a server for each test file cost five seconds of CPU for every one. It starts when a test first asks at
 * ISTHMUS_TEST_POSTGRES, which answers with its URL, and is gone with the run, however that ends.
 */
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

/** Two workers, each with a few gateways and guardians of ten connections, and what is just being closed. */
const MAX_CONNECTIONS = 500;
const FOLDER = /^isthmus-test-postgres-(\d+)$/;

let running = null;
let door = null;

export async function setup() {
  removeAbandoned();
  door = http.createServer(answer);
  await new Promise((resolve) => door.listen(0, '127.0.0.1', resolve));
  door.unref();
  process.env.ISTHMUS_TEST_POSTGRES = `http://127.0.0.1:${door.address().port}/`;
}

export async function teardown() {
  door.closeAllConnections();
  door.close();
  const { server, watchdog, folder } = (await running?.catch(() => null)) ?? {};
  await server?.stop();
  watchdog?.dismiss();
  if (folder) remove(folder);
}

function answer(_, response) {
  running ??= start();
  running
    .then(({ server }) => server.databases.url('postgres'))
    .then(
      (url) => response.end(url),
      (error) => response.writeHead(500).end(error.message),
    );
}

async function start() {
  const { startEmbeddedPostgres } = await import('../../dist/libs/store/src/embedded-postgres.js');
  const { watchOver } = await import('../../dist/libs/devnet/src/watchdog.js');
  const folder = path.join(os.tmpdir(), `isthmus-test-postgres-${process.pid}`);
  fs.mkdirSync(folder);
  fs.chmodSync(folder, 0o755); // the server's user must reach its folder
  const server = await startEmbeddedPostgres({
    dataDir: path.join(folder, 'pg'),
    durable: false,
    maxConnections: MAX_CONNECTIONS,
  });
  return { server, watchdog: watchOver([server.pid]), folder };
}

/** What runs that were killed left behind; their servers are gone, as a watchdog ends them. */
function removeAbandoned() {
  for (const name of fs.readdirSync(os.tmpdir())) {
    const pid = Number(FOLDER.exec(name)?.[1]);
    if (pid === process.pid || (pid && !isAlive(pid))) remove(path.join(os.tmpdir(), name));
  }
}

const remove = (folder) => fs.rmSync(folder, { recursive: true, force: true });

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
