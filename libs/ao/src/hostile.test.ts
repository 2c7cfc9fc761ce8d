/** One hostile process in the pipeline: what it does is its own affair, everybody else's messages go on, and nothing grows without end. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, testCluster, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { ComputeUnit } from './compute/compute-unit.js';
import { HANGING_WORKER } from './compute/hanging-worker.js';
import { WorkerPool } from './compute/worker-pool.js';
import { createItem, ed25519Signer, ethereumSigner } from './items/index.js';
import { Messenger } from './messenger/messenger.js';
import { MAX_HOPS } from './messenger/sent.js';
import { MAX_MESSAGE_BYTES, Scheduler } from './scheduler/scheduler.js';
import { tagOf } from './items/tags.js';
import type { Tag } from './types.js';

const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
const tags = (...pairs: [string, string][]): Tag[] =>
  [['Data-Protocol', 'ao'] as [string, string], ...pairs].map(([name, value]) => ({ name, value }));
const TOKEN = `
local n = 0
function handle(msg) if msg.Id == ao.id then return end
  n = n + 1
  if msg.Tags.Action == "Count" then ao.send({ Target = msg.From, Data = tostring(n) }) end
end`;

let cluster: TestCluster;
let folder: string;
let database: DataSource;
let scheduler: Scheduler;
let messenger: Messenger;
let compute: ComputeUnit;
let failures: unknown[];
let anchor = 0;

/** The gateway's own parts around a pool. */
function begin(pool: WorkerPool, maxAnswers?: number): void {
  scheduler = new Scheduler({ database, signer: ed25519Signer(Buffer.alloc(32, 1)) });
  messenger = new Messenger(database, scheduler, MESSENGER, maxAnswers === undefined ? {} : { answers: maxAnswers });
  compute = new ComputeUnit(database, scheduler, messenger, pool, (_, error) => failures.push(error));
}
async function end(): Promise<void> {
  await messenger.stop();
  await compute.stop();
  await scheduler.stop();
}
const next = () => String((anchor += 1)).padStart(32, '0');
async function spawn(source: string): Promise<string> {
  const module = await createItem(
    { anchor: next(), tags: tags(['Type', 'Module'], ['Module-Format', 'isthmus-lua-5.4']), data: source },
    ALICE,
  );
  await scheduler.schedule(module.raw);
  const item = await createItem({ tags: tags(['Type', 'Process'], ['Module', module.id]), data: '' }, ALICE);
  const { process } = await scheduler.schedule(item.raw);
  await compute.advance(process);
  return process;
}
async function send(target: string, action: string, data = '', more: [string, string][] = []) {
  const item = await createItem(
    { target, anchor: next(), tags: tags(['Type', 'Message'], ['Action', action], ...more), data },
    ALICE,
  );
  return scheduler.schedule(item.raw);
}
const dryRunOf = (process: string, action: string) => ({
  Id: 'dry',
  Owner: 'x',
  From: 'x',
  Target: process,
  Anchor: '',
  Data: '',
  Tags: [{ name: 'Action', value: action }],
  Timestamp: 1,
  'Block-Height': '0',
});
/** Until nothing is left to evaluate, of one process or of all, or to deliver. */
async function settle(process: string | null = null): Promise<void> {
  for (;;) {
    // In one look: between two, what waited would have been placed, and be in neither.
    const [left]: [{ behind: string[]; waiting: boolean }] = await database.query(
      `select array(select id from computed_process where evaluated < nonce and ($1::text is null or id = $1)) as behind,
         exists(select 1 from outbox where state = 'waiting') as waiting`,
      [process],
    );
    if (left.behind.length === 0 && !left.waiting) return;
    await Promise.all(left.behind.map((id) => compute.advance(id)));
    await messenger.deliver();
  }
}
const errorsOf = async (process: string) =>
  (await compute.results(process, 1, 1000)).map(({ result }) => result.Error ?? 'ok');
const dead = (): Promise<{ error: string; process: string }[]> =>
  database.query(`select error, process from outbox where state = 'dead' order by id`);

beforeAll(async () => {
  cluster = await testCluster();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-hostile-'));
  fs.writeFileSync(path.join(folder, 'worker.cjs'), HANGING_WORKER);
});
afterAll(async () => {
  fs.rmSync(folder, { recursive: true });
  await cluster.close();
});
beforeEach(async () => {
  failures = [];
  database = await openDatabase({
    url: await cluster.fresh(gatewayMigrations),
    migrations: gatewayMigrations,
    applicationName: 'test',
  });
});
afterEach(async () => {
  await end();
  await database.destroy();
});

describe('evaluation', () => {
  const hanging = () => begin(new WorkerPool(1, 1000, 1000, path.join(folder, 'worker.cjs')));

  it('I11 I13 what the clock ends is nobody’s result: the process stops there and says so, and neither others nor it lose anything', async () => {
    hanging();
    const [evil, token] = [await spawn('evil'), await spawn('token')];
    await Promise.all([
      ...['Count', 'Hang', 'Count'].map((action) => send(evil, action)),
      ...Array.from({ length: 5 }, () => send(token, 'Count')),
    ]);
    const slot = (await scheduler.entries(evil, 1, 10)).find((e) => tagOf(e.message, 'Action') === 'Hang')?.nonce;
    await compute.advance(evil);
    await settle(token);
    expect(await errorsOf(token)).toEqual(Array.from({ length: 5 }, () => 'ok'));
    expect((await compute.results(token, 5, 1))[0]?.result.Messages[0]?.Data).toBe('5');
    // What came before has its result; that slot has none, and nothing after it.
    expect(await errorsOf(evil)).toEqual(Array.from({ length: (slot ?? 0) - 1 }, () => 'ok'));
    expect(compute.stopped()).toMatchObject([{ process: evil, slot, reason: 'too-long' }]);
    expect(failures[0]).toMatchObject({ name: 'ProcessStopped', code: 'too-long', process: evil, slot });
  });

  it('I13 one that stopped is tried again by the clock alone, apart from all others, whatever is sent to it or asked of it', async () => {
    hanging();
    const [evil, token] = [await spawn('evil'), await spawn('token')];
    const { id } = await send(evil, 'Hang');
    await compute.advance(evil);
    expect(compute.stopped()).toMatchObject([{ process: evil, slot: 1, tries: 1 }]);
    await send(evil, 'Count');
    await compute.advance(evil);
    await expect(compute.result(evil, id)).rejects.toMatchObject({ code: 'stopped' });
    await expect(compute.dryRun(evil, dryRunOf(evil, 'Count'))).rejects.toMatchObject({ code: 'stopped' });
    expect(compute.stopped()).toMatchObject([{ tries: 1 }]);
    // Its next tries end a thread that nobody else is in.
    await send(token, 'Count');
    await settle(token);
    const messages = () => compute.status().find((p) => p.process === token)?.messages ?? 0;
    const before = messages();
    while ((compute.stopped()[0]?.tries ?? 0) < 2) await new Promise((resolve) => setTimeout(resolve, 20));
    await send(token, 'Count');
    await settle(token);
    expect(await errorsOf(token)).toEqual(['ok', 'ok']);
    expect(messages()).toBe(before + 1); // it was not opened again
  });

  it('I11 I13 one that stopped goes on where it was when its host is quick enough', async () => {
    hanging();
    const process = await spawn('evil');
    await send(process, 'Count');
    await send(process, 'Slow', path.join(folder, 'quick'));
    await compute.advance(process);
    expect(compute.stopped()).toMatchObject([{ process, reason: 'too-long' }]);
    fs.writeFileSync(path.join(folder, 'quick'), '');
    await send(process, 'Count');
    while ((await errorsOf(process)).length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await errorsOf(process)).toEqual(['ok', 'ok', 'ok']);
    expect((await compute.results(process, 3, 1))[0]?.result.Messages[0]?.Data).toBe('2');
    expect(compute.stopped()).toEqual([]);
  });

  it('I13 a crash is no message’s result: the process stops there, and is tried again', async () => {
    hanging();
    const process = await spawn('crash');
    await send(process, 'Crash');
    await compute.advance(process);
    expect(failures).toContainEqual(expect.objectContaining({ code: 'crash', slot: 1 }));
    expect(compute.stopped()).toMatchObject([{ process, slot: 1, reason: 'crash' }]);
    expect(await errorsOf(process)).toEqual([]);
  });

  it('I13 A7 a dry-run that hangs is refused and disturbs no evaluation', async () => {
    hanging();
    const token = await spawn('token');
    const refused = expect(compute.dryRun(token, dryRunOf(token, 'Hang'))).rejects.toMatchObject({ code: 'too-long' });
    await send(token, 'Count');
    await settle();
    await refused;
    expect(await errorsOf(token)).toEqual(['ok']);
    expect(failures).toEqual([]);
  });

  it('I13 results of many large messages are stored part by part, and read page by page', async () => {
    begin(new WorkerPool(1));
    const process = await spawn(
      'function handle(msg) if msg.Id ~= ao.id then ao.send({ Data = ("x"):rep(1024):rep(6 * 1024) }) end end',
    );
    const inserted: number[] = [];
    compute.onResults(() => inserted.push(1));
    await Promise.all(Array.from({ length: 14 }, () => send(process, 'Go')));
    await settle();
    const page = await compute.results(process, 1, 1000);
    expect(page.length).toBeLessThanOrEqual(5);
    expect(page[0]?.nonce).toBe(1);
    expect((await compute.results(process, 14, 1000)).map((r) => r.nonce)).toEqual([14]);
    expect((await compute.results(process, 14, 1000, true)).length).toBeLessThanOrEqual(5);
    expect(inserted.length).toBeGreaterThanOrEqual(3);
  });
});

describe('messages', () => {
  beforeEach(() => begin(new WorkerPool(2)));

  it('I13 A18 a message goes so many hops and no further', async () => {
    const process = await spawn('function handle(msg) if msg.Id ~= ao.id then ao.send({ Target = ao.id }) end end');
    await send(process, 'Go');
    await settle();
    expect(await errorsOf(process)).toHaveLength(1 + MAX_HOPS);
    const [last] = await scheduler.entries(process, 1 + MAX_HOPS, 1);
    expect(last?.message.tags.filter((t) => t.name === 'Pushed-Hops')).toEqual([
      { name: 'Pushed-Hops', value: String(MAX_HOPS) },
    ]);
    expect(await dead()).toEqual([{ process, error: expect.stringContaining('hops') as string }]);
  });

  it('I13 one signed message grows no schedule without end, and spends no other’s share', async () => {
    await end();
    const most = 400;
    begin(new WorkerPool(2), most);
    const token = await spawn(TOKEN);
    const evil = await spawn(`function handle(msg) if msg.Id == ao.id or msg.From == "${token}" then return end
      for i = 1, 20 do ao.send({ Target = "${token}", Action = "Count" }) end
      for i = 1, 2 do ao.send({ Target = ao.id, Action = "Again" }) end end`);
    const { id } = await send(evil, 'Go');
    await settle();
    const rows: { nonce: string }[] = await database.query('select nonce from process where id = $1', [token]);
    expect(Number(rows[0]?.nonce)).toBeGreaterThan(200);
    expect(Number(rows[0]?.nonce)).toBeLessThanOrEqual(22 + most);
    expect(await dead()).toContainEqual({ process: evil, error: expect.stringContaining('answers') as string });
    // Who names another's message as its beginning has not begun there.
    const other = await spawn(`function handle(msg) if msg.Id ~= ao.id then ao.send({ Target = "${token}" }) end end`);
    await send(other, 'Go', '', [['Pushed-For', id]]);
    await settle();
    expect((await scheduler.latest(token))?.message.tags).not.toContainEqual({ name: 'Pushed-For', value: id });
  });

  it('I13 deliveries of one sender do not wait behind another’s flood, and each sender’s are in order', async () => {
    const sink = await spawn('function handle() end');
    const flood = await spawn(
      `function handle(msg) if msg.Id ~= ao.id then for i = 1, 1000 do ao.send({ Target = "${sink}" }) end end end`,
    );
    const token = await spawn(
      `function handle(msg) if msg.Id ~= ao.id then for i = 1, 3 do ao.send({ Target = "${sink}", Data = tostring(i) }) end end end`,
    );
    await messenger.stop(); // what both send waits for one messenger that begins later
    await send(flood, 'Go');
    await compute.advance(flood);
    await send(token, 'Go');
    await compute.advance(token);
    messenger = new Messenger(database, scheduler, MESSENGER);
    await messenger.deliver();
    const entries = await scheduler.entries(sink, 1, 1000);
    const own = entries.filter((e) => e.message.tags.some((t) => t.name === 'From-Process' && t.value === token));
    expect(own.map((e) => e.message.data.toString())).toEqual(['1', '2', '3']);
    expect(own.at(-1)?.nonce).toBeLessThanOrEqual(6);
  });
});

describe('schedule', () => {
  beforeEach(() => begin(new WorkerPool(1)));

  it('I13 a message is so large and no larger; a module may be', async () => {
    const process = await spawn(TOKEN);
    await expect(send(process, 'Large', 'x'.repeat(MAX_MESSAGE_BYTES))).rejects.toMatchObject({ code: 'too-large' });
    await expect(spawn(`${TOKEN}--${'x'.repeat(MAX_MESSAGE_BYTES)}`)).resolves.toHaveLength(43);
  });

  it('I13 large messages that come together take several transactions; what is too much at once is refused', async () => {
    const process = await spawn('function handle() end');
    const data = 'x'.repeat(MAX_MESSAGE_BYTES - 1024);
    const batches: number[] = [];
    scheduler.onPlaced(() => batches.push(1));
    // Somebody holds the head: all that comes waits, as far as there is room.
    const holder = database.createQueryRunner();
    await holder.startTransaction();
    await holder.query('select 1 from process where id = $1 for update', [process]);
    const refused: unknown[] = [];
    const outcomes = Array.from({ length: 42 }, () =>
      send(process, 'Large', data).then(
        () => 'placed',
        (error: { code: string }) => {
          refused.push(error);
          return error.code;
        },
      ),
    );
    while (refused.length < 9) await new Promise((resolve) => setImmediate(resolve));
    await holder.rollbackTransaction();
    await holder.release();
    const codes = await Promise.all(outcomes);
    expect(codes.filter((code) => code === 'placed')).toHaveLength(42 - refused.length);
    expect(new Set(codes)).toEqual(new Set(['placed', 'overloaded']));
    expect(batches.length).toBeGreaterThanOrEqual(4);
    const { entries, more } = await scheduler.page(process, { fromNonce: 0, after: 0, limit: 1000 });
    expect(entries.length).toBeLessThanOrEqual(20);
    expect(more).toBe(true);
  });
});
