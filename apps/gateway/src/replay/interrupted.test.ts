/** A replay that is told to stop, or asked for what cannot be, leaves no server running and no file behind, and says why in words. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startReplay, type ReplayMessage, type ReplayRequest } from '@isthmus/arweave';

const silent = http.createServer(() => {}); // takes every question and never answers
let folder: string;
let request: ReplayRequest;

beforeAll(async () => {
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  request = { from: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`, scheduler: 'A'.repeat(43) };
});
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-interrupted-'));
  fs.chmodSync(folder, 0o755); // the server's user must reach its folder
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));
afterAll(async () => {
  silent.closeAllConnections();
  await new Promise((resolve) => silent.close(resolve));
});

function started(asked: ReplayRequest): { child: ChildProcess; said: ReplayMessage[] } {
  const child = startReplay(asked, { env: { ...process.env, TMPDIR: folder }, stderr: 'pipe' });
  const said: ReplayMessage[] = [];
  child.on('message', (message: ReplayMessage) => said.push(message));
  return { child, said };
}

/** The number of the process its database server runs as, when it takes connections. */
async function server(child: ChildProcess): Promise<number> {
  while (child.exitCode === null) {
    const [made = ''] = fs.readdirSync(folder).filter((name) => name.startsWith('isthmus-replay-'));
    const file = path.join(folder, made, 'postgres', 'postmaster.pid');
    const lines = await readFile(file, 'utf8').catch(() => ''); // comes and goes while the cluster is made
    if (lines.split('\n')[7]?.startsWith('ready')) return Number.parseInt(lines);
    await delay(20);
  }
  throw new Error('The replay ended before its database stood.');
}

const left = (): string[] => fs.readdirSync(folder).filter((name) => name.startsWith('isthmus-replay-'));

it.each(['SIGTERM', 'disconnect'] as const)('told to stop by %s it takes its database with it', async (how) => {
  const { child } = started(request);
  const ended = once(child, 'exit');
  const pid = await server(child);
  if (how === 'disconnect') child.disconnect();
  else child.kill(how);
  await ended;
  expect(left()).toEqual([]);
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

it('told to stop before its database stands it leaves nothing', async () => {
  const { child } = started(request);
  const ended = once(child, 'exit');
  while (left().length === 0 && child.exitCode === null) await delay(5);
  child.kill('SIGINT');
  await ended;
  expect(left()).toEqual([]);
});

const cannotBe = {
  from: 'arweave',
  rpc: ['ftp://x'],
  into: 'http://of:secret@x',
};
const login = 'http://of:secret@127.0.0.1:9';
it.each([
  ['a file that cannot be written', { dump: '/nowhere/at/all' }, /^--dump: \/nowhere\/at\/all cannot be written/],
  [
    'addresses that are none',
    cannotBe,
    /^--from: Write an http.*\n--rpc: Write a source.*\n--into: Write the database as postgresql:(?!.*secret)/,
  ],
  [
    'logins for who takes none',
    { from: login, tail: [login] },
    /^--from: Leave name and password out of the address.\n--tail: Leave name and password out of the address.$/,
  ],
])('%s: refused in words before anything is begun', async (_, wrong, words) => {
  const { child, said } = started({ ...request, ...wrong });
  const [code] = (await once(child, 'exit')) as [number];
  expect(code).toBe(2);
  expect(said).toEqual([{ kind: 'failed', message: expect.stringMatching(words) as string }]);
  expect(left()).toEqual([]);
});

it('logins it is told stand in no command line and in nothing it says', async () => {
  const { child, said } = started({
    ...request,
    into: 'postgresql://of:secret@127.0.0.1:1/books',
    rpc: ['http://of:secret@127.0.0.1:1'],
  });
  let words = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (words += text));
  expect(child.spawnargs.join(' ')).not.toContain('secret');
  await once(child, 'close');
  expect(said).toEqual([
    { kind: 'failed', message: expect.stringMatching(/^The database books at 127.0.0.1:1 cannot be opened/) as string },
  ]);
  expect(JSON.stringify(said) + words).not.toContain('secret');
});
