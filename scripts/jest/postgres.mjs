/**
 * One PostgreSQL for all tests of a run: a server for each test file cost five seconds of CPU for every one. It starts when a test first asks at
 * ISTHMUS_TEST_POSTGRES, which answers with its URL, and is gone with the run, however that ends. It and all temporary files of the run are in
 * memory where there is room: on a busy disk the databases of one local stack alone took it fifteen seconds to make.
 */
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

/** Two workers, each with a few gateways and guardians of ten connections, and what is just being closed. */
const MAX_CONNECTIONS = 500;
const FOLDER = /^isthmus-tests-(\d+)$/;
const MEMORY = '/dev/shm';
/** Many times what the tests of a run hold at once. */
const ROOM_BYTES = 4 * 1024 ** 3;

let running = null;
let door = null;
let folder = null;

export async function setup() {
  for (const place of [os.tmpdir(), MEMORY]) removeAbandoned(place);
  folder = path.join(hasRoom(MEMORY) ? MEMORY : os.tmpdir(), `isthmus-tests-${process.pid}`);
  fs.mkdirSync(folder);
  fs.chmodSync(folder, 0o755); // the server's user must reach its folder
  process.env.TMPDIR = folder;
  door = http.createServer(answer);
  await new Promise((resolve) => door.listen(0, '127.0.0.1', resolve));
  door.unref();
  process.env.ISTHMUS_TEST_POSTGRES = `http://127.0.0.1:${door.address().port}/`;
}

export async function teardown() {
  door.closeAllConnections();
  door.close();
  const { server, watchdog } = (await running?.catch(() => null)) ?? {};
  await server?.stop();
  watchdog?.dismiss();
  remove(folder);
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
  const server = await startEmbeddedPostgres({
    dataDir: path.join(folder, 'pg'),
    durable: false,
    maxConnections: MAX_CONNECTIONS,
  });
  return { server, watchdog: watchOver([server.pid]) };
}

/** Whether files may be kept there, and programs run from there, as PostgreSQL's may be. */
function hasRoom(memory) {
  try {
    fs.accessSync(memory, fs.constants.W_OK);
    const { bavail, bsize } = fs.statfsSync(memory);
    const mounted = fs.readFileSync('/proc/mounts', 'utf8').split('\n').map((line) => line.split(' '));
    const options = mounted.find(([, at]) => at === memory)?.[3]?.split(',') ?? [];
    return Math.min(bavail * bsize, os.freemem()) >= ROOM_BYTES && !options.includes('noexec');
  } catch {
    return false; // no such place on this system
  }
}

/** What runs that were killed left behind; their servers are gone, as a watchdog ends them. */
function removeAbandoned(place) {
  if (!fs.existsSync(place)) return;
  for (const name of fs.readdirSync(place)) {
    const pid = Number(FOLDER.exec(name)?.[1]);
    if (pid === process.pid || (pid && !isAlive(pid))) remove(path.join(place, name));
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
