/** The engine on others' units keeps what it took, goes on from there whoever runs it, and stops where anything is not as it was. */
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { EngineError, type AoNetwork, type ShownEntry } from '../engine.js';
import { createItem, ed25519Signer } from '../items/index.js';
import { assign, type ScheduleHead } from '../scheduler/assignment.js';
import type { EvaluationResult, ScheduleEntry } from '../types.js';
import { RemoteEngine } from './remote-engine.js';

const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const ALICE = ed25519Signer(Buffer.alloc(32, 5));
const QUERY = { owner: 'someone', tags: [{ name: 'Action', value: 'Info' }] };

let cluster: TestCluster;
let database: DataSource;
let shown: ShownEntry[];
let process: string;
let failure: EngineError | null;
let most: number;
let reads: number;
let said: string[];
let engines: RemoteEngine[];

beforeAll(async () => {
  cluster = await testCluster();
  database = await openDatabase({ url: await cluster.fresh(), migrations: gatewayMigrations, applicationName: 'ao' });
  await runMigrations(database);
});
afterAll(async () => {
  await database.destroy();
  await cluster.close();
});
beforeEach(async () => {
  [shown, process, failure, most, reads, said, engines] = [[], '', null, 100, 0, [], []];
  for (let i = 0; i < 4; i += 1) await place(`first ${Math.random()}`);
});
afterEach(() => Promise.all(engines.map((e) => e.stop())));

async function place(data: string, at = shown.length): Promise<void> {
  shown.length = at;
  const message = await createItem({ ...(at > 0 ? { target: process } : {}), tags: [], data }, ALICE);
  if (at === 0) process = message.id;
  let head: ScheduleHead | null = null;
  for (const { message: one } of shown) head = (await placed(one.id, head)).head;
  shown.push({ assignment: (await placed(message.id, head)).item, message });
}
const placed = (id: string, head: ScheduleHead | null) =>
  assign(process, id, head, { timestamp: 1000 + (head?.nonce ?? -1), blockHeight: 1 }, SCHEDULER);

const network: AoNetwork = {
  schedule: (_, head, limit) => Promise.resolve(shown.slice(head?.nonce ?? 0, (head?.nonce ?? 0) + limit)),
  item: () => Promise.resolve(null),
  send: () => Promise.resolve(),
};
const outcome = (words: string): EvaluationResult => ({
  Messages: [{ Target: 't', Anchor: '', Data: words, Tags: [] }],
  Spawns: [],
  Assignments: [],
  Output: '',
});
const compute = {
  results: (entries: readonly ScheduleEntry[]) =>
    failure
      ? Promise.reject(failure)
      : Promise.resolve(entries.slice(0, most).map((e) => outcome(e.message.data.toString()))),
  dryRun: () => {
    reads += 1;
    return failure ? Promise.reject(failure) : Promise.resolve(outcome(`read ${reads}`));
  },
};
function open(): RemoteEngine {
  const engine = new RemoteEngine({
    database,
    network,
    compute,
    scheduler: SCHEDULER.address,
    messenger: 'm',
    processes: [process],
    pollMs: 5,
    onFailure: (_, error) => void said.push((error as EngineError).code),
    onSound: () => void said.push('sound'),
  });
  engines.push(engine);
  return engine;
}
const words = async (engine: RemoteEngine) =>
  (await engine.slots(process, 0, 100)).map((s) => s.result.Messages[0]?.Data);
const told = () => shown.map((e) => e.message.data.toString());
async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 120_000; !(await look());) {
    if (Date.now() > end) throw new Error('It never came.');
    await new Promise((resolve) => setTimeout(resolve, 5)); // asked again until the end above
  }
}

it('I11 keeps every slot with its time and result, in order, and another run goes on from there', async () => {
  const engine = open();
  const heard: string[] = [];
  engine.onSlots((p) => void heard.push(p));
  expect(await engine.head(process)).toEqual({ scheduled: -1, evaluated: -1 });
  expect(await engine.spawn(process)).toBeNull();
  await engine.sync(process);
  expect(await words(engine)).toEqual(told());
  expect(heard).toEqual([process]);
  const slots = await engine.slots(process, 1, 2);
  expect(slots).toMatchObject([
    { nonce: 1, message: shown[1]?.message.id, timestamp: 1000 },
    { nonce: 2, message: shown[2]?.message.id, timestamp: 1001 },
  ]);
  expect((await engine.spawn(process))?.id).toBe(process);
  await place('later');
  const again = open();
  expect(await words(again)).toHaveLength(4);
  await again.sync(process);
  expect(await words(again)).toEqual(told());
  expect(await again.head(process)).toEqual({ scheduled: 4, evaluated: 4 });
});

it('keeps what has results, and the rest when it has', async () => {
  const engine = open();
  most = 3;
  await engine.sync(process);
  expect(await words(engine)).toEqual(told());
  await place('later');
  most = 0;
  await expect(engine.sync(process)).rejects.toMatchObject({ code: 'unreachable' });
  expect(await engine.head(process)).toEqual({ scheduled: 4, evaluated: 3 });
});

it('A12 another history for a slot that was taken stops it, in the next run too', async () => {
  await open().sync(process);
  const before = await words(open());
  await place('another', 3);
  await expect(open().sync(process)).rejects.toMatchObject({ code: 'fork' });
  shown.length = 2;
  await expect(open().sync(process)).rejects.toMatchObject({ code: 'fork' });
  expect(await words(open())).toEqual(before);
});

it('of two that take the same slots one goes on and the other looks again', async () => {
  const engines2 = [open(), open()];
  await engines2[0]!.sync(process);
  await place('later');
  const outcomes = await Promise.allSettled(engines2.map((e) => e.sync(process)));
  for (const o of outcomes) if (o.status === 'rejected') expect(o.reason).toMatchObject({ code: 'overtaken' });
  expect(await words(open())).toEqual(told());
});

it('I9 says why it does not follow, keeps nothing meanwhile, and goes on by itself', async () => {
  failure = new EngineError('disagreement', 'they differ');
  const engine = open();
  await engine.start();
  await until(() => said.length > 1);
  expect(new Set(said)).toEqual(new Set(['disagreement']));
  expect(await words(engine)).toEqual([]);
  failure = null;
  await until(() => said.includes('sound'));
  expect(await words(engine)).toEqual(told());
  await engine.stop();
  await place('later');
  expect(await words(engine)).toHaveLength(4);
});

it('asks a question once while the process has not moved on, and again after that or when it failed', async () => {
  const engine = open();
  await engine.sync(process);
  const ask = async () => (await engine.dryRun(process, QUERY)).Messages[0]?.Data;
  expect(await Promise.all([ask(), ask()])).toEqual(['read 1', 'read 1']);
  expect((await engine.dryRun(process, { ...QUERY, owner: 'another' })).Messages[0]?.Data).toBe('read 2');
  await place('later');
  await engine.sync(process);
  expect(await ask()).toBe('read 3');
  await place('later still');
  await engine.sync(process);
  failure = new EngineError('unreachable', 'away');
  await expect(ask()).rejects.toMatchObject({ code: 'unreachable' });
  failure = null;
  expect(await ask()).toBe('read 5');
});
