/** The pipeline on a real database with real workers: places given once, results kept, messages delivered, replicas that believe nothing. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, testCluster, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import {
  AoPipeline,
  createItem,
  ed25519Signer,
  IsthmusNetwork,
  encodeBundle,
  ethereumSigner,
  Replica,
  WorkerPool,
  type EvaluationResult,
  type Item,
  type ReplicaStore,
  type ScheduleEntry,
  type Signer,
  type Tag,
} from './index.js';
import { environmentOf, messageOf } from './compute/message.js';
import { assign, type ScheduleHead } from './scheduler/assignment.js';
import { MAX_ASSIGNED_BYTES } from './scheduler/scheduler.js';

const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const tags = (...pairs: [string, string][]): Tag[] =>
  [['Data-Protocol', 'ao'] as [string, string], ...pairs].map(([name, value]) => ({ name, value }));

const COUNTER = `
local n = 0
function handle(msg)
  local a = msg.Tags.Action
  if msg.Id == ao.id then return end
  if a == "Fail" then n = n + 100 ao.send({ Target = msg.From, Data = "never" }) error("on purpose") end
  n = n + 1
  if not a then return end -- an answer is not answered
  if a == "Forward" then ao.send({ Target = msg.Tags.To, Tags = { { name = "Action", value = msg.Tags.Then or "Count" }, { name = "From-Process", value = "forged" } } }) end
  if a == "Burst" then
    ao.send({ Target = msg.Tags.To, Anchor = "not 32 bytes", Action = "Count" })
    local tags = {} for i = 1, 8 do tags[i] = { name = "X-" .. i, value = string.rep("x", 3000) } end
    ao.send({ Target = msg.Tags.To, Tags = tags })
    ao.send({ Target = msg.Tags.To, Action = "Count" })
  end
  ao.send({ Target = msg.From, Data = tostring(n), Tags = { { name = "From", value = msg.From }, { name = "Owner", value = msg.Owner } } })
end`;

let cluster: TestCluster;
let database: DataSource;
let pipeline: AoPipeline;
let failures: unknown[];
let module: Item;
let anchor = 0;

const open = (db = database) =>
  new AoPipeline({
    database: db,
    schedulerSigner: SCHEDULER,
    messengerSigner: MESSENGER,
    workers: 2,
    onFailure: (_, error) => failures.push(error),
  });
const message = (
  target: string,
  action: string,
  more: [string, string][] = [],
  signer: Signer = ALICE,
  data = 'data',
) =>
  createItem(
    {
      target,
      anchor: String((anchor += 1)).padStart(32, '0'),
      tags: tags(['Type', 'Message'], ['Action', action], ...more),
      data,
    },
    signer,
  );
const send = async (target: string, action: string, more: [string, string][] = []) =>
  pipeline.scheduler.schedule((await message(target, action, more)).raw);

async function spawn(name: string): Promise<string> {
  const item = await createItem(
    { tags: tags(['Type', 'Process'], ['Module', module.id], ['Name', name]), data: '' },
    ALICE,
  );
  return (await pipeline.scheduler.schedule(item.raw)).process;
}
async function settle(process: string): Promise<void> {
  await pipeline.compute.advance(process);
  await pipeline.messenger.deliver();
}

beforeAll(async () => {
  cluster = await testCluster();
});
afterAll(() => cluster.close());
beforeEach(async () => {
  failures = [];
  database = await openDatabase({
    url: await cluster.fresh(gatewayMigrations),
    migrations: gatewayMigrations,
    applicationName: 'test',
  });
  pipeline = open();
  module = await createItem(
    { tags: tags(['Type', 'Module'], ['Module-Format', 'isthmus-lua-5.4']), data: COUNTER },
    ALICE,
  );
  await pipeline.scheduler.schedule(module.raw);
});
afterEach(async () => {
  await pipeline.stop();
  await database.destroy();
});

describe('scheduler', () => {
  it('A6 gives the same item the same place, however often and together with whatever it is sent', async () => {
    const process = await spawn('a');
    const item = await message(process, 'Count');
    const others = await Promise.all(Array.from({ length: 20 }, () => message(process, 'Count')));
    const placed = await Promise.all([item, ...others, item, item].map((i) => pipeline.scheduler.schedule(i.raw)));
    expect(placed.at(-1)).toEqual(placed[0]);
    expect(await pipeline.scheduler.schedule(item.raw)).toEqual(placed[0]);
    const entries = await pipeline.scheduler.entries(process, 0, 1000);
    expect(entries.map((e) => e.nonce)).toEqual(Array.from({ length: 22 }, (_, i) => i));
  });

  it('A13 refuses the spawn of a module that no machine here runs, and names those there are', async () => {
    module = await createItem({ tags: tags(['Type', 'Module'], ['Module-Format', 'foo']), data: 'x' }, ALICE);
    await pipeline.scheduler.schedule(module.raw);
    await expect(spawn('foreign')).rejects.toMatchObject({
      code: 'unknown-format',
      message: expect.stringMatching(/Module-Format foo.*isthmus-lua-5\.4, .*isthmus-evm/),
    });
  });

  it('X5 two schedulers on one database never fork a schedule', async () => {
    const process = await spawn('a');
    const second = await openDatabase({
      url: database.options.type === 'postgres' ? (database.options.url as string) : '',
      migrations: [],
      applicationName: 'second',
    });
    const other = open(second);
    const items = await Promise.all(Array.from({ length: 60 }, () => message(process, 'Count')));
    await Promise.all(
      items.flatMap((i, n) =>
        [pipeline, other].filter((_, p) => n % 3 === 2 || n % 2 === p).map((p) => p.scheduler.schedule(i.raw)),
      ),
    );
    const entries = await pipeline.scheduler.entries(process, 0, 1000);
    expect(new Set(entries.map((e) => e.message.id)).size).toBe(61);
    expect(entries.map((e) => e.nonce)).toEqual(Array.from({ length: 61 }, (_, i) => i));
    await pipeline.compute.advance(process);
    await other.compute.advance(process);
    expect(await pipeline.compute.results(process, 0, 1000)).toHaveLength(61);
    await other.stop();
    await second.destroy();
  });

  it('refuses what is not signed, not for AO, for nobody here, or of no module', async () => {
    const process = await spawn('a');
    const item = await message(process, 'Count');
    const forged = Buffer.from(item.raw);
    forged[forged.length - 1] = (forged.at(-1) as number) ^ 1;
    await expect(pipeline.scheduler.schedule(forged)).rejects.toMatchObject({ code: 'bad-signature' });
    const plain = await createItem({ target: process, tags: [], data: 'x' }, ALICE);
    await expect(pipeline.scheduler.schedule(plain.raw)).rejects.toMatchObject({ code: 'bad-type' });
    await expect(pipeline.scheduler.schedule((await message('A'.repeat(43), 'Count')).raw)).rejects.toMatchObject({
      code: 'unknown-process',
    });
    const orphan = await createItem({ tags: tags(['Type', 'Process'], ['Module', 'nothing']), data: '' }, ALICE);
    await expect(pipeline.scheduler.schedule(orphan.raw)).rejects.toMatchObject({ code: 'unknown-module' });
  });
});

describe('assignments without a message', () => {
  it('A6 put what is known here on another schedule, once, whoever and however many ask, also at the same time', async () => {
    const [a, b] = [await spawn('a'), await spawn('b')];
    const said = await send(a, 'Count');
    const placed = await Promise.all(Array.from({ length: 5 }, () => pipeline.scheduler.assign(b, said.id)));
    expect(placed).toEqual(Array.from({ length: 5 }, () => placed[0]));
    expect(placed[0]).toMatchObject({ id: said.id, process: b, nonce: 1 });
    expect(await pipeline.scheduler.assign(b, said.id)).toEqual(placed[0]);
    expect(await pipeline.scheduler.assign(a, said.id)).toEqual(said); // its own process has it already
    expect((await pipeline.scheduler.assign(a, a)).nonce).toBe(0);
    const [entry] = await pipeline.scheduler.entries(b, 1, 10);
    expect(entry?.message).toMatchObject({ id: said.id, target: a });
    await settle(b);
    expect((await pipeline.compute.result(b, said.id)).result.Messages[0]?.Data).toBe('1');
    expect((await pipeline.compute.result(b, placed[0]?.assignmentId as string)).nonce).toBe(1);
  });

  it('keep their own Target, by which the process sees that they were said to another', async () => {
    const [a, b] = [await spawn('a'), await spawn('b')];
    await pipeline.scheduler.assign(b, (await send(a, 'Count')).id);
    await pipeline.scheduler.assign(b, a); // another's spawn names nobody
    const entries = await pipeline.scheduler.entries(b, 0, 10);
    const env = environmentOf((entries[0] as ScheduleEntry).message, module);
    expect(entries.map((e) => messageOf(e, env).Target)).toEqual([b, a, '']);
  });

  it('refuse what is not known, what is too large to send to everybody who follows, and processes of elsewhere', async () => {
    const [a, b] = [await spawn('a'), await spawn('b')];
    const said = await send(a, 'Count');
    const large = await message(a, 'Count', [], ALICE, 'x'.repeat(MAX_ASSIGNED_BYTES));
    await pipeline.scheduler.schedule(large.raw);
    const unknown = (process: string, id: string) => expect(pipeline.scheduler.assign(process, id)).rejects;
    await unknown(b, 'A'.repeat(43)).toMatchObject({ code: 'unknown-message' });
    await unknown(b, '\0').toMatchObject({ code: 'unknown-message' });
    await unknown(b, large.id).toMatchObject({ code: 'too-large' });
    await unknown('A'.repeat(43), said.id).toMatchObject({ code: 'unknown-process' });
    await unknown('\0', said.id).toMatchObject({ code: 'unknown-process' });
    await unknown(module.id, module.id).toMatchObject({ code: 'unknown-process' }); // a module is no spawn
    expect(await pipeline.scheduler.entries(b, 0, 10)).toHaveLength(1);
  });
});

describe('compute and messenger', () => {
  it('A11 keeps every result; one with an Error has no messages and no effect', async () => {
    const process = await spawn('a');
    for (const action of ['Count', 'Fail', 'Count']) await send(process, action);
    await settle(process);
    const results = await pipeline.compute.results(process, 1, 10);
    expect(results.map((r) => r.result.Error !== undefined)).toEqual([false, true, false]);
    // It had counted and sent when it failed.
    expect(results.map((r) => r.result.Messages.map((m) => m.Data))).toEqual([['1'], [], ['2']]);
    expect(failures).toEqual([]);
  });

  it('A18 delivers between processes under deterministic ids, and a recipient that fails harms nobody', async () => {
    const [a, b] = [await spawn('a'), await spawn('b')];
    await send(a, 'Forward', [['To', b]]);
    await send(a, 'Forward', [
      ['To', b],
      ['Then', 'Fail'],
    ]);
    await send(a, 'Forward', [['To', b]]);
    for (const process of [a, b]) await settle(process);
    const results = await pipeline.compute.results(b, 1, 10);
    expect(results.map((r) => r.result.Messages[0]?.Data ?? r.result.Error)).toEqual([
      '1',
      expect.stringContaining('on purpose'),
      '2',
    ]);
    const [entry] = await pipeline.scheduler.entries(b, 1, 1);
    expect(entry?.message.ownerAddress).toBe(MESSENGER.address);
    // A process cannot say it is another: its own tag of that name is dropped.
    expect(entry?.message.tags.filter((t) => t.name === 'From-Process')).toEqual([{ name: 'From-Process', value: a }]);
    expect(results[0]?.result.Messages[0]?.Target).toBe(a);
  });

  it('A18 a message no item can carry is set aside, and stops neither its sender nor the others', async () => {
    const [a, b] = [await spawn('a'), await spawn('b')];
    await send(a, 'Burst', [['To', b]]);
    await send(a, 'Count');
    await settle(a);
    await settle(b);
    expect(failures).toEqual([]);
    expect((await pipeline.compute.results(a, 2, 1))[0]?.result.Messages.at(-1)?.Data).toBe('2');
    expect((await pipeline.compute.results(b, 1, 10)).map((r) => r.result.Messages[0]?.Data)).toEqual(['1']);
    const dead = await database.query(`select error from outbox where state = 'dead' order by position`);
    expect(dead).toEqual([
      { error: expect.stringContaining('anchor') },
      { error: expect.stringContaining('Tags take at most') },
    ]);
  });

  it('X13 names no database can hold stop neither a process nor those who send at the same time', async () => {
    const a = await spawn('a');
    const nul = (...more: [string, string][]) =>
      createItem({ anchor: 'n'.repeat(32), tags: tags(...more, ['Name', '\0']), data: '' }, ALICE);
    const bad = [
      await nul(['Type', 'Process'], ['Module', '\0']),
      await nul(['Type', 'Module'], ['Module-Format', '\0']),
    ].map((item) => expect(pipeline.scheduler.schedule(item.raw)).rejects.toMatchObject({ name: 'ScheduleError' }));
    await Promise.all([...bad, send(a, 'Count', [['From-Process', '\0']])]);
    await settle(a);
    expect(failures).toEqual([]);
    expect((await pipeline.compute.results(a, 1, 1))[0]?.result.Messages[0]).toMatchObject({ Target: '\0', Data: '1' });
  });

  it('A7 a dry-run sees the newest state and leaves no trace', async () => {
    const process = await spawn('a');
    await send(process, 'Count');
    const dry = {
      Id: 'dry',
      Owner: 'x',
      From: 'x',
      Target: process,
      Anchor: '',
      Data: '',
      Tags: [{ name: 'Action', value: 'Count' }],
      Timestamp: 1,
      'Block-Height': '0',
    };
    expect((await pipeline.compute.dryRun(process, dry)).Messages[0]?.Data).toBe('2');
    expect((await pipeline.compute.dryRun(process, dry)).Messages[0]?.Data).toBe('2');
    expect(await pipeline.compute.results(process, 0, 10)).toHaveLength(2);
  });

  it('I12 goes on after a restart where it was: same state, nothing twice', async () => {
    const [a, b] = [await spawn('a'), await spawn('b')];
    await send(a, 'Forward', [['To', b]]);
    await send(a, 'Fail');
    await settle(a);
    await settle(b);
    await pipeline.stop();
    await database.query(`update outbox set state = 'waiting', due = now()`); // as if the last "delivered" had been lost
    pipeline = open();
    await pipeline.start();
    await send(a, 'Count');
    await settle(a);
    expect((await pipeline.compute.results(a, 0, 10)).at(-1)?.result.Messages[0]?.Data).toBe('3'); // 1, then b's answer, then this
    expect(await pipeline.scheduler.entries(b, 0, 10)).toHaveLength(2);
  });

  it('I13 an endless process ends in an Error while others go on', async () => {
    const [a, b] = [await spawn('a'), await spawn('b')];
    const loop = await createItem(
      {
        tags: tags(['Type', 'Module'], ['Module-Format', 'isthmus-lua-5.4']),
        data: 'function handle(msg) if msg.Id ~= ao.id then while true do end end end',
      },
      ALICE,
    );
    await pipeline.scheduler.schedule(loop.raw);
    const spin = await createItem({ tags: tags(['Type', 'Process'], ['Module', loop.id]), data: '' }, ALICE);
    await pipeline.scheduler.schedule(spin.raw);
    await send(spin.id, 'Go');
    for (const process of [a, b]) await send(process, 'Count');
    await Promise.all([a, b, spin.id].map((p) => pipeline.compute.advance(p)));
    expect((await pipeline.compute.results(spin.id, 1, 1))[0]?.result.Error).toMatch(/out of work/);
    for (const process of [a, b])
      expect((await pipeline.compute.results(process, 1, 1))[0]?.result.Messages[0]?.Data).toBe('1');
  });
});

describe('replica', () => {
  /** A gateway that serves whatever schedule it is told to. */
  let server: http.Server;
  let serve: (from: number) => Promise<Item[]>;
  let workers: WorkerPool;
  let process: string;

  class MemoryStore implements ReplicaStore {
    kept: ScheduleEntry[] = [];
    modules = new Map<string, Buffer>();
    head() {
      const last = this.kept.at(-1);
      const hashChain = last?.assignment.tags.find((t) => t.name === 'Hash-Chain')?.value ?? '';
      const timestamp = Number(last?.assignment.tags.find((t) => t.name === 'Timestamp')?.value);
      return Promise.resolve(
        last ? { nonce: last.nonce, assignmentId: last.assignment.id, hashChain, timestamp } : null,
      );
    }
    entries(_: string, from: number, limit: number) {
      return Promise.resolve(this.kept.slice(from, from + limit));
    }
    has(_: string, ids: readonly string[]) {
      return Promise.resolve(new Set(this.kept.map((e) => e.message.id).filter((id) => ids.includes(id))));
    }
    append(_: string, entries: readonly ScheduleEntry[]) {
      this.kept.push(...entries);
      return Promise.resolve();
    }
    module(id: string) {
      return Promise.resolve(this.modules.get(id) ?? null);
    }
    saveModule(id: string, raw: Buffer) {
      this.modules.set(id, raw);
      return Promise.resolve();
    }
  }

  const items = (entries: ScheduleEntry[]) => entries.flatMap((e) => [e.assignment, e.message]);
  const replica = (store = new MemoryStore(), scheduler = SCHEDULER.address, seen: string[] = []) =>
    new Replica({
      process,
      scheduler,
      store,
      workers,
      network: new IsthmusNetwork(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
      onResult: (_, result) => void seen.push(result.Messages[0]?.Data ?? ''),
    });

  beforeEach(async () => {
    workers = new WorkerPool(1);
    process = await spawn('a');
    for (let i = 0; i < 3; i += 1) await send(process, 'Count');
    serve = async (from) => items(await pipeline.scheduler.entries(process, from, 500));
    server = http.createServer((request, response) => {
      const url = new URL(request.url ?? '', 'http://x');
      const answer = url.pathname.startsWith('/raw/')
        ? Promise.resolve(module.raw)
        : serve(Number(url.searchParams.get('from-nonce'))).then(encodeBundle);
      answer.then(
        (bytes) => response.end(bytes),
        () => response.destroy(),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    await workers.stop();
    server.close();
  });

  it('computes the same, and goes on from what it kept', async () => {
    const store = new MemoryStore();
    const seen: string[] = [];
    const first = replica(store, undefined, seen);
    expect(await first.sync()).toBe(4);
    await send(process, 'Count');
    expect(await first.sync()).toBe(1);
    expect(await first.sync()).toBe(0);
    expect(seen).toEqual(['', '1', '2', '3', '4']);
    await workers.stop();
    const again: string[] = [];
    expect(await replica(store, undefined, again).sync()).toBe(5);
    expect(again).toEqual(seen);
  });

  it('A13 A16 computes of a module that does not load what the gateway does: the same Error for each message', async () => {
    module = await createItem(
      { tags: tags(['Type', 'Module'], ['Module-Format', 'isthmus-lua-5.4']), data: 'this is not lua (' },
      ALICE,
    );
    await pipeline.scheduler.schedule(module.raw);
    process = await spawn('bad');
    await send(process, 'Count');
    await settle(process);
    const stored = (await pipeline.compute.results(process, 0, 10)).map(({ result }) => result);
    expect(stored).toMatchObject(
      [0, 1].map(() => ({ Error: expect.stringMatching(/^The module does not load: module:1:/) })),
    );
    const store = new MemoryStore();
    const seen: EvaluationResult[] = [];
    const copy = () =>
      new Replica({
        process,
        scheduler: SCHEDULER.address,
        store,
        workers,
        network: new IsthmusNetwork(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
        onResult: (_, result) => void seen.push(result),
      });
    expect(await copy().sync()).toBe(2);
    await workers.close(process);
    expect(await copy().sync()).toBe(2);
    expect(seen).toEqual([...stored, ...stored]);
  });

  it('takes what was only assigned to its process, with the result the gateway has; twice it takes nothing', async () => {
    const other = await spawn('b');
    const said = await send(other, 'Count');
    await pipeline.scheduler.assign(process, said.id);
    const store = new MemoryStore();
    const seen: string[] = [];
    expect(await replica(store, undefined, seen).sync()).toBe(5);
    expect(seen.at(-1)).toBe('4');
    await settle(process);
    expect((await pipeline.compute.result(process, said.id)).result.Messages[0]?.Data).toBe('4');
    const last = (await pipeline.scheduler.latest(process)) as ScheduleEntry;
    const head = (await store.head()) as ScheduleHead;
    const again = await assign(process, said.id, head, { timestamp: 9e12, blockHeight: 0 }, SCHEDULER);
    serve = async (from) => [...items(await pipeline.scheduler.entries(process, from, 500)), again.item, last.message];
    await expect(replica(store).sync()).rejects.toMatchObject({ code: 'repeated' });
  });

  it('A12 refuses another spawn than its process at slot 0, though later slots may hold what is another’s', async () => {
    const other = await spawn('b');
    const [spawned] = await pipeline.scheduler.entries(other, 0, 1);
    const first = await assign(process, other, null, { timestamp: 1, blockHeight: 0 }, SCHEDULER);
    serve = () => Promise.resolve([first.item, (spawned as ScheduleEntry).message]);
    await expect(replica().sync()).rejects.toMatchObject({ code: 'wrong-place' });
  });

  const swap = (list: Item[], i: number, j: number) =>
    list.map((item, k) => (k === i ? (list[j] as Item) : k === j ? (list[i] as Item) : item));
  it.each<[string, string, (honest: Item[]) => Promise<Item[]> | Item[]]>([
    ['a gap', 'wrong-place', (h) => [...h.slice(0, 2), ...h.slice(4)]],
    ['slots out of order', 'wrong-place', (h) => [...h.slice(0, 2), ...h.slice(4, 6), ...h.slice(2, 4), ...h.slice(6)]],
    ['messages exchanged', 'wrong-place', (h) => swap(h, 3, 5)],
    ['a slot left at the end without its message', 'malformed', (h) => h.slice(0, -1)],
    [
      'another scheduler’s assignment',
      'wrong-scheduler',
      async (h) => [
        ...h.slice(0, -2),
        (
          await assign(
            process,
            (h.at(-1) as Item).id,
            { nonce: 2, assignmentId: 'x', hashChain: 'x', timestamp: 0 },
            { timestamp: 9e12, blockHeight: 0 },
            MESSENGER,
          )
        ).item,
        h.at(-1) as Item,
      ],
    ],
    [
      'a broken hash chain',
      'broken-chain',
      async (h) => [
        ...h.slice(0, -2),
        (
          await assign(
            process,
            (h.at(-1) as Item).id,
            { nonce: 2, assignmentId: 'x', hashChain: 'x', timestamp: 0 },
            { timestamp: 9e12, blockHeight: 0 },
            SCHEDULER,
          )
        ).item,
        h.at(-1) as Item,
      ],
    ],
    [
      'a message its owner never signed',
      'bad-signature',
      (h) => {
        const raw = Buffer.from((h[3] as Item).raw);
        raw[raw.length - 1] = (raw.at(-1) as number) ^ 1;
        return h.with(3, { ...(h[3] as Item), raw });
      },
    ],
  ])('A12 refuses %s', async (_, code, bend) => {
    const honest = await serve(0);
    serve = async () => bend(honest);
    const seen: string[] = [];
    await expect(replica(new MemoryStore(), undefined, seen).sync()).rejects.toMatchObject({ code });
    expect(seen).toEqual([]);
  });

  it('A12 stops at a fork: another history for a slot it knows, or a schedule cut short', async () => {
    const store = new MemoryStore();
    await replica(store).sync();
    const last = store.kept.at(-1) as ScheduleEntry;
    const other = await message(process, 'Count');
    const before = store.kept.at(-2) as ScheduleEntry;
    const previous = {
      nonce: before.nonce,
      assignmentId: before.assignment.id,
      hashChain: before.assignment.tags.find((t) => t.name === 'Hash-Chain')?.value ?? '',
      timestamp: 0,
    };
    const forked = await assign(process, other.id, previous, { timestamp: 9e12, blockHeight: 0 }, SCHEDULER);
    serve = () => Promise.resolve([forked.item, other]);
    await expect(replica(store).sync()).rejects.toMatchObject({ code: 'fork' });
    serve = () => Promise.resolve([]);
    await expect(replica(store).sync()).rejects.toMatchObject({ code: 'fork' });
    expect(store.kept.at(-1)).toBe(last);
  });

  it.each([
    ['in one page', false],
    ['in a later one', true],
  ])('A6 I1 refuses a message that the scheduler places twice, %s', async (_, later) => {
    const store = new MemoryStore();
    const seen: string[] = [];
    if (later) await replica(store, undefined, seen).sync();
    const honest = await pipeline.scheduler.entries(process, 0, 500);
    const last = honest.at(-1) as ScheduleEntry;
    const tag = (name: string) => last.assignment.tags.find((t) => t.name === name)?.value ?? '';
    const head = {
      nonce: last.nonce,
      assignmentId: last.assignment.id,
      hashChain: tag('Hash-Chain'),
      timestamp: Number(tag('Timestamp')),
    };
    const repeated = (honest[1] as ScheduleEntry).message;
    const now = { timestamp: head.timestamp, blockHeight: 0 };
    const again = await assign(process, repeated.id, head, now, SCHEDULER);
    serve = (from) => Promise.resolve([...items(honest), again.item, repeated].slice(2 * from));
    await expect(replica(store, undefined, seen).sync()).rejects.toMatchObject({ code: 'repeated' });
    expect(store.kept).toHaveLength(later ? honest.length : 0);
  });

  it('A6 A17 pins scheduler and module', async () => {
    await expect(replica(new MemoryStore(), ALICE.address).sync()).rejects.toMatchObject({ code: 'wrong-scheduler' });
    module = await createItem({ tags: module.tags, data: `${COUNTER} -- changed` }, ALICE);
    await expect(replica().sync()).rejects.toMatchObject({ code: 'wrong-module' });
  });

  it('A12 a gateway whose answer never ends, or that sends elsewhere, is read only so far', async () => {
    let written = 0;
    server.removeAllListeners('request').on('request', (_, response: http.ServerResponse) => {
      const megabyte = Buffer.alloc(1024 * 1024);
      const pump = (): void => {
        while (!response.destroyed && response.write(megabyte)) written += 1;
        response.once('drain', pump);
      };
      pump();
    });
    await expect(replica().sync()).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('too large') as string,
    });
    expect(written).toBeLessThan(256);
    server.removeAllListeners('request').on('request', (_, response: http.ServerResponse) => {
      response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
    });
    await expect(replica().sync()).rejects.toMatchObject({ code: 'unreachable' });
  });

  it('an unreachable gateway is said to be one', async () => {
    serve = () => Promise.reject(new Error('down'));
    await expect(replica().sync()).rejects.toMatchObject({ code: 'unreachable' });
  });
});
