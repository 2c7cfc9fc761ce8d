/** The launcher against the real server: starts, keeps what it acknowledged through kill -9, and says plainly why it cannot start. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';

let folder: string;
const running: EmbeddedPostgres[] = [];

async function start(port?: number): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({
    dataDir: path.join(folder, 'pg'),
    ...(port === undefined ? {} : { port }),
  });
  running.push(server);
  return server;
}

async function query(server: EmbeddedPostgres, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: server.databases.url('books') });
  client.on('error', () => undefined); // the server is killed under it
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-pg-'));
  fs.chmodSync(folder, 0o755);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
  fs.rmSync(folder, { recursive: true, force: true });
});

it('I12 keeps every acknowledged row through kill -9, and starts again over what the killed server left', async () => {
  const first = await start();
  await first.databases.create('books');
  await first.databases.create('books'); // asking twice is fine
  await query(first, 'create table rows (id int primary key)');
  for (let id = 1; id <= 20; id += 1) await query(first, `insert into rows values (${id})`);
  process.kill(first.pid, 'SIGKILL');
  await first.stop();

  const second = await start();
  expect(await query(second, 'select count(*)::int as n from rows')).toEqual([{ n: 20 }]);
  expect(await query(second, 'show fsync')).toEqual([{ fsync: 'on' }]);
});

it('stops a server whose owner was killed, and takes over its cluster', async () => {
  const first = await start();
  await first.databases.create('books');
  const dead = spawn(process.execPath, ['-e', '']);
  await once(dead, 'exit');
  fs.writeFileSync(path.join(folder, 'pg.owner'), String(dead.pid));
  const second = await start();
  expect(second.pid).not.toBe(first.pid);
  expect(await query(second, 'select 1 as one')).toEqual([{ one: 1 }]);
});

it('refuses a cluster another living Isthmus uses', async () => {
  await start();
  await expect(start()).rejects.toMatchObject({ code: 'in-use', message: expect.stringContaining('ISTHMUS_HOME') });
});

it('names a port in use and the setting that changes it', async () => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as net.AddressInfo;
  await expect(start(port)).rejects.toMatchObject({
    code: 'port-in-use',
    message: expect.stringContaining(`Port ${port}`),
  });
  taken.close();
});

it('says which folder it cannot write', async () => {
  fs.writeFileSync(path.join(folder, 'pg'), 'a file where the folder should be');
  await expect(start()).rejects.toMatchObject({
    code: 'not-writable',
    message: expect.stringContaining(path.join(folder, 'pg')),
  });
});

it('never throws away a folder that is not its own, nor a cluster whose password is lost', async () => {
  fs.mkdirSync(path.join(folder, 'pg'));
  fs.writeFileSync(path.join(folder, 'pg', 'diary.txt'), 'mine');
  await expect(start()).rejects.toMatchObject({ code: 'not-writable' });
  expect(fs.readFileSync(path.join(folder, 'pg', 'diary.txt'), 'utf8')).toBe('mine');

  fs.rmSync(path.join(folder, 'pg'), { recursive: true });
  await (await start()).stop();
  fs.rmSync(path.join(folder, 'pg.password'));
  await expect(start()).rejects.toMatchObject({ code: 'failed', message: expect.stringContaining('password') });
  expect(fs.existsSync(path.join(folder, 'pg', 'PG_VERSION'))).toBe(true);
});
