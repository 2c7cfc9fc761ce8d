/** The pool of compute threads: whoever hangs harms itself, and nobody who waits behind it. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ProcessEnv, VmMessage } from '../types.js';
import { LUA_FORMAT } from './lua/lua-vm.js';
import { TooManyReads, WorkerLost, WorkerPool } from './worker-pool.js';
import { HANGING_WORKER } from './hanging-worker.js';

const env: ProcessEnv = { Process: { Id: '', Owner: '', Tags: [] }, Module: { Id: '', Owner: '', Tags: [] } };
const message = (action: string): VmMessage => ({
  Id: '',
  Owner: '',
  From: '',
  Target: '',
  Anchor: '',
  Data: '',
  Tags: [{ name: 'Action', value: action }],
  Module: '',
  Epoch: 0,
  Nonce: 0,
  Timestamp: 0,
  'Block-Height': '',
  'Hash-Chain': '',
  Cron: false,
});
const TIMEOUT_MS = 1000;
let folder: string;
let pool: WorkerPool;

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-pool-'));
  fs.writeFileSync(path.join(folder, 'worker.cjs'), HANGING_WORKER);
});
afterAll(() => fs.rmSync(folder, { recursive: true }));
beforeEach(() => {
  pool = new WorkerPool(1, TIMEOUT_MS, TIMEOUT_MS, path.join(folder, 'worker.cjs'));
});
afterEach(() => pool.stop());

const open = (process: string, format = LUA_FORMAT) => pool.open(process, Buffer.alloc(0), format, env, null);
const outcome = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof WorkerLost ? error.fault : String(error)),
  );

it('I13 a request that hangs is at fault alone: time that others wait behind it is not theirs', async () => {
  await open('evil');
  for (const process of ['a', 'b']) await open(process);
  const outcomes = [
    outcome(pool.handle('evil', [message('Hang')])),
    outcome(pool.handle('a', [message('Count')])),
    outcome(pool.handle('b', [message('Count')])),
    outcome(pool.handle('evil', [message('Count')])),
  ];
  expect(await Promise.all(outcomes)).toEqual(['too-long', 'other', 'other', 'other']);
  expect(pool.isOpen('a')).toBe(false);
  await open('a');
  expect((await pool.handle('a', [message('Count')]))[0]?.Messages[0]?.Data).toBe('1');
});

it('I13 a worker that crashes is the fault of who ran, and nobody’s verdict', async () => {
  for (const process of ['evil', 'a']) await open(process);
  const outcomes = [outcome(pool.handle('evil', [message('Crash')])), outcome(pool.handle('a', [message('Count')]))];
  expect(await Promise.all(outcomes)).toEqual(['crash', 'other']);
});

it('I13 each process has its turn, however much another has asked', async () => {
  for (const process of ['flood', 'a']) await open(process);
  const order: string[] = [];
  const flood = Array.from({ length: 5 }, () =>
    pool.handle('flood', [message('Count')]).then(() => order.push('flood')),
  );
  const other = pool.handle('a', [message('Count')]).then(() => order.push('a'));
  await Promise.all([...flood, other]);
  expect(order.indexOf('a')).toBeLessThanOrEqual(2);
});

it('I13 what does not count its work lives apart from what does', async () => {
  await open('aos', 'not-counted');
  await open('a');
  const hanging = outcome(pool.handle('aos', [message('Hang')]));
  expect((await pool.handle('a', [message('Count')]))[0]?.Messages[0]?.Data).toBe('1');
  expect(await hanging).toBe('too-long');
  expect(pool.isOpen('a')).toBe(true);
});

it('A7 I13 a dry-run that hangs harms no evaluation, not even of its own process', async () => {
  await open('a');
  await pool.handle('a', [message('Count')]);
  const hanging = outcome(pool.dryRun('a', message('Hang')));
  expect((await pool.handle('a', [message('Count')]))[0]?.Messages[0]?.Data).toBe('2');
  expect(await hanging).toBe('too-long');
  expect(pool.isOpen('a')).toBe(true);
  // On the newest state, and without a trace.
  for (let i = 0; i < 2; i += 1) expect((await pool.dryRun('a', message('Count'))).Messages[0]?.Data).toBe('3');
  expect((await pool.handle('a', [message('Count')]))[0]?.Messages[0]?.Data).toBe('3');
});

it('A7 dry-runs beyond what may wait are refused at once, other processes’ are not', async () => {
  for (const process of ['evil', 'a']) await open(process);
  const asked = Array.from({ length: 80 }, () => pool.dryRun('evil', message('Count')).catch((e: unknown) => e));
  expect((await pool.dryRun('a', message('Count'))).Messages[0]?.Data).toBe('1');
  const refused = (await Promise.all(asked)).filter((r) => r instanceof TooManyReads);
  expect(refused).toHaveLength(16);
  expect((await pool.dryRun('evil', message('Count'))).Messages[0]?.Data).toBe('1');
});
