/** Computing on a real database: checkpoints, processes that make room for others, several computes on one database, and the proof that it all adds up. */
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, testCluster, type TestCluster } from '@isthmus/store';
import type { DataSource, EntityManager } from 'typeorm';
import { createItem, ed25519Signer } from '../items/index.js';
import { Messenger } from '../messenger/messenger.js';
import { Scheduler } from '../scheduler/scheduler.js';
import type { ScheduleEntry, Tag } from '../types.js';
import { CheckpointStore } from './checkpoint-store.js';
import { ComputeUnit, type ComputeOptions } from './compute-unit.js';
import { replayFromNothing } from './full-replay.js';
import { LeaseLost, Leases, type Lease } from './leases.js';
import { ResultWriter } from './result-writer.js';
import { WorkerPool } from './worker-pool.js';

const ALICE = ed25519Signer(Buffer.alloc(32, 3));
const tags = (...pairs: [string, string][]): Tag[] =>
  [['Data-Protocol', 'ao'] as [string, string], ...pairs].map(([name, value]) => ({ name, value }));
const COUNTER = `
local n, kept = 0, {}
function handle(msg)
  if msg.Id == ao.id then return end
  if msg.Tags.Action == "Fail" then kept[#kept + 1] = ("f"):rep(1000) error("on purpose") end
  n = n + 1
  kept[n] = ("x"):rep(100) .. n
  ao.send({ Data = tostring(n) })
end`;

/** One gateway's parts on the database. */
interface Node {
  database: DataSource;
  scheduler: Scheduler;
  messenger: Messenger;
  compute: ComputeUnit;
  workers: WorkerPool;
  failures: unknown[];
  stop(): Promise<void>;
}

let cluster: TestCluster;
let url: string;
let nodes: Node[];
let database: DataSource;
let anchor = 0;

async function node(name: string, options: ComputeOptions = {}): Promise<Node> {
  const own = await openDatabase({ url, migrations: [], applicationName: name });
  const scheduler = new Scheduler({ database: own, signer: ed25519Signer(Buffer.alloc(32, 1)) });
  const messenger = new Messenger(own, scheduler, ed25519Signer(Buffer.alloc(32, 2)));
  const failures: unknown[] = [];
  const workers = new WorkerPool(1);
  const compute = new ComputeUnit(own, scheduler, messenger, workers, (_, error) => failures.push(error), options);
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await messenger.stop();
    await compute.stop();
    await scheduler.stop();
    await own.destroy();
  };
  const made = { database: own, scheduler, messenger, compute, workers, failures, stop: () => (stopped ??= stop()) };
  nodes.push(made);
  return made;
}

async function spawn(on: Node, source = COUNTER, format = 'isthmus-lua-5.4'): Promise<string> {
  const module = await createItem({ tags: tags(['Type', 'Module'], ['Module-Format', format]), data: source }, ALICE);
  await on.scheduler.schedule(module.raw);
  const item = await createItem(
    { anchor: next(), tags: tags(['Type', 'Process'], ['Module', module.id]), data: '' },
    ALICE,
  );
  return (await on.scheduler.schedule(item.raw)).process;
}
const next = () => String((anchor += 1)).padStart(32, '0');
async function send(on: Pick<Node, 'scheduler'>, process: string, action = 'Count'): Promise<string> {
  const item = await createItem(
    { target: process, anchor: next(), tags: tags(['Type', 'Message'], ['Action', action]), data: '' },
    ALICE,
  );
  return (await on.scheduler.schedule(item.raw)).id;
}
const said = async (on: Node, process: string) =>
  (await on.compute.results(process, 1, 1000)).map(({ result }) => result.Messages[0]?.Data ?? 'failed');
const read = async (on: Node, process: string) => {
  const message = { Id: 'x', Owner: 'x', From: 'x', Target: process, Anchor: '', Data: '', Tags: [], Timestamp: 1 };
  return (await on.compute.dryRun(process, { ...message, 'Block-Height': '0' })).Messages[0]?.Data;
};
const count = (n: number) => Array.from({ length: n }, (_, i) => String(i + 1));
const replay = async (process: string, on = nodes[0] as Node) => {
  const workers = new WorkerPool(1);
  const { scheduler } = on;
  try {
    return await replayFromNothing({ database, scheduler, workers, process });
  } finally {
    await workers.stop();
  }
};
/** Looks again and again until it is so. */
async function until(look: () => Promise<boolean>): Promise<void> {
  while (!(await look())) await new Promise((resolve) => setTimeout(resolve, 20));
}
/** Ends every connection of a node, as the death of its machine would. */
const cut = (name: string) =>
  database.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = $1',
    [name],
  );

beforeAll(async () => {
  cluster = await testCluster();
});
afterAll(() => cluster.close());
beforeEach(async () => {
  nodes = [];
  url = await cluster.fresh(gatewayMigrations);
  database = await openDatabase({ url, migrations: gatewayMigrations, applicationName: 'test' });
});
afterEach(async () => {
  await Promise.all(nodes.map((n) => n.stop()));
  await database.destroy();
});

describe('what is placed here', () => {
  it('is evaluated without another look at whether there is more', async () => {
    const one = await node('a');
    const process = await spawn(one);
    await one.compute.advance(process);
    const given: number[] = [];
    const following = one.scheduler.following.bind(one.scheduler);
    one.scheduler.following = async (...asked) => {
      const entries = await following(...asked);
      given.push(entries.length);
      return entries;
    };
    for (let i = 0; i < 5; i += 1) await one.compute.result(process, await send(one, process));
    expect(await said(one, process)).toEqual(count(5));
    expect(given).toEqual([1, 1, 1, 1, 1]);
    await one.compute.advance(process); // whoever asks for all of it has it looked for
    expect(given.at(-1)).toBe(0);
  });

  it('gives its result to who waits for it, the same as is stored, with no look at the database', async () => {
    const one = await node('a');
    const process = await spawn(one);
    await one.compute.advance(process);
    const asked: string[] = [];
    const query = one.database.query.bind(one.database);
    one.database.query = (text: string, ...rest: unknown[]) => {
      asked.push(text);
      return query(text, ...(rest as [])) as never;
    };
    const id = await send(one, process);
    const fresh = await one.compute.result(process, id); // asked before it is evaluated
    expect(asked.filter((text) => /from (result|progress)|join result/.test(text))).toEqual([]);
    expect(await one.compute.result(process, id)).toEqual(fresh);
    expect(asked.filter((text) => /join result/.test(text))).toHaveLength(1); // it is read where it is stored by now
    expect(fresh).toMatchObject({ process, nonce: 1, messageId: id, result: { Messages: [{ Data: '1' }] } });
  });

  it('has the outbox looked at only by results that put something there', async () => {
    const one = await node('a');
    const process = await spawn(one);
    const echo = `function handle(msg) ao.send({ Target = msg.Tags.To, Data = "x" }) end`;
    const other = await spawn(one, echo);
    await Promise.all([process, other].map((p) => one.compute.advance(p)));
    const looks: string[] = [];
    const query = one.database.query.bind(one.database);
    one.database.query = (text: string, ...rest: unknown[]) => {
      if (text.includes('outbox')) looks.push(text);
      return query(text, ...(rest as [])) as never;
    };
    const to = (target: string) =>
      createItem({ target: other, anchor: next(), tags: tags(['Type', 'Message'], ['To', target]), data: '' }, ALICE);
    await one.compute.result(other, (await one.scheduler.schedule((await to(ALICE.address)).raw)).id);
    expect(looks).toEqual([]);
    await one.scheduler.schedule((await to(process)).raw);
    await until(async () => (await said(one, process)).length === 1);
    expect(looks.length).toBeGreaterThan(0);
  });
});

describe('a module that does not load', () => {
  it.each([
    ['Lua', 'isthmus-lua-5.4', 'this is not lua ('],
    ['JavaScript', 'isthmus-js-quickjs', 'x = '],
    ['WebAssembly', 'wasm32-unknown-emscripten4', 'no module'],
  ])(
    'A13 A16 I12 I13 fails each message, also after a restart and an eviction, and from nothing: %s',
    async (_, format, source) => {
      const one = await node('one', { memoryBudget: 1, checkpointEvery: { slots: 2 } });
      const bad = await spawn(one, source, format);
      const ids = [bad, ...(await Promise.all([1, 2, 3].map(() => send(one, bad))))];
      const [first] = await Promise.all(ids.map((id) => one.compute.result(bad, id)));
      const error = first?.result.Error;
      expect(error).toMatch(/^The module does not load: ./);
      // Another takes its place, and it comes back.
      const good = await spawn(one);
      await one.compute.result(good, await send(one, good));
      expect((await one.compute.result(bad, await send(one, bad))).result.Error).toBe(error);
      expect(one.failures).toEqual([]);
      await one.stop();
      const two = await node('two');
      expect((await two.compute.result(bad, await send(two, bad))).result.Error).toBe(error);
      expect((await two.compute.results(bad, 0, 10)).map(({ result }) => result.Error)).toEqual(
        count(6).map(() => error),
      );
      expect(await replay(bad, two)).toMatchObject({ slots: 6, equal: true });
      expect(two.compute.stopped()).toEqual([]);
    },
  );

  it('A13 that no machine here knows is said once, is no result, and is left alone', async () => {
    const one = await node('one');
    const foreign = await spawn(one, 'x', 'foo');
    await expect(one.compute.result(foreign, foreign)).rejects.toMatchObject({ code: 'stopped' });
    await one.compute.advance(foreign);
    await expect(one.compute.result(foreign, await send(one, foreign))).rejects.toMatchObject({ code: 'stopped' });
    const [stopped, ...others] = one.compute.stopped();
    expect(stopped).toMatchObject({ process: foreign, slot: null, reason: 'unknown-format', tries: 1 });
    expect((stopped?.next.getTime() ?? 0) - (stopped?.since.getTime() ?? 0)).toBeGreaterThan(60_000);
    expect(others).toEqual([]);
    expect(one.failures).toMatchObject([{ name: 'ProcessStopped', code: 'unknown-format' }]);
    expect(await one.compute.results(foreign, 0, 10)).toEqual([]);
  });
});

describe('checkpoints', () => {
  const every = { checkpointEvery: { slots: 4 } };

  it('I12 a process goes on from its checkpoint, exactly, with what came after it', async () => {
    const first = await node('first', every);
    const process = await spawn(first);
    for (let i = 0; i < 10; i += 1) {
      await send(first, process, i === 5 ? 'Fail' : 'Count');
      await first.compute.advance(process);
    }
    await first.stop();
    const [kept] = await database.query('select nonce from checkpoint');
    expect(Number(kept.nonce)).toBeGreaterThanOrEqual(7);
    // Of what is before the checkpoint only that is needed.
    await database.query('delete from assignment where nonce < 5');
    const second = await node('second', every);
    await send(second, process);
    await second.compute.advance(process);
    expect((await said(second, process)).at(-1)).toBe('10');
    expect(second.failures).toEqual([]);
  });

  it('only pages that changed are written again, and the rest stays', async () => {
    const one = await node('one', every);
    const process = await spawn(
      one,
      `local ballast = {} for i = 1, 30 do ballast[i] = ("x"):rep(20000) .. i end ${COUNTER}`,
    );
    for (let i = 0; i < 4; i += 1) await send(one, process);
    await one.compute.advance(process);
    const kept = async () => one.compute.status()[0]?.checkpoint ?? -1;
    await until(async () => (await kept()) > 0);
    const before = await kept();
    await database.query("update checkpoint_page set bytes = bytes || '\\x00'"); // marked
    for (let i = 0; i < 4; i += 1) await send(one, process);
    await one.compute.advance(process);
    await until(async () => (await kept()) > before);
    const pages: { length: number }[] = await database.query(
      'select octet_length(bytes) as length from checkpoint_page',
    );
    const written = pages.filter((p) => p.length === 65_536).length;
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(pages.length);
  });

  it('nobody waits for one that is being written, and it is one state all the same', async () => {
    const one = await node('one', every);
    const process = await spawn(one);
    await one.compute.advance(process);
    const other = database.createQueryRunner();
    await other.startTransaction();
    await other.query('lock table checkpoint_page in exclusive mode');
    for (let i = 0; i < 10; i += 1) await one.compute.result(process, await send(one, process));
    expect(one.compute.status()[0]?.checkpoint).toBeNull();
    await other.commitTransaction();
    await other.release();
    await one.stop();
    expect(one.failures).toEqual([]);
    expect(await replay(process, await node('two'))).toMatchObject({
      slots: 11,
      equal: true,
      checkpoint: { equal: true },
    });
  });

  it('I12 one that could not be written costs nothing: the process is opened where the last one was', async () => {
    let writes = 0;
    const onStep = (step: string): void => {
      if (step === 'checkpoint.before-commit' && (writes += 1) === 1) throw new Error('the disk is full');
    };
    const one = await node('one', { ...every, onStep });
    const process = await spawn(one);
    for (let i = 0; i < 5; i += 1) await one.compute.result(process, await send(one, process));
    await until(() => Promise.resolve(one.failures.length > 0));
    expect(one.failures).toMatchObject([{ message: 'the disk is full' }]);
    for (let i = 0; i < 5; i += 1) await one.compute.result(process, await send(one, process));
    expect(await said(one, process)).toEqual(count(10));
    await one.stop();
    expect(await replay(process, await node('two'))).toMatchObject({
      slots: 11,
      equal: true,
      checkpoint: { equal: true },
    });
  });

  it('I11 a full replay gives the same results and memory; one that differs is named', async () => {
    const one = await node('one', every);
    const process = await spawn(one);
    for (const action of ['Count', 'Fail', 'Count', 'Count', 'Fail', 'Count']) await send(one, process, action);
    await one.compute.advance(process);
    const report = await replay(process);
    expect(report).toMatchObject({ slots: 7, difference: null, equal: true, checkpoint: { equal: true } });
    await database.query('update checkpoint_page set bytes = overlay(bytes placing $1 from 60000)', [
      Buffer.from('bent'),
    ]);
    expect(await replay(process)).toMatchObject({ difference: null, equal: false, checkpoint: { equal: false } });
    await database.query('update result set outcome = replace(outcome, \'"2"\', \'"3"\') where nonce = 3');
    expect(await replay(process)).toMatchObject({
      equal: false,
      slots: 3,
      difference: { nonce: 3, stored: { Messages: [{ Data: '3' }] }, computed: { Messages: [{ Data: '2' }] } },
    });
  });
});

describe('an orderly stop', () => {
  const WORK = COUNTER.replace('n = n + 1', 'for _ = 1, 2000000 do end n = n + 1');
  /** However long that takes here, none is due by the work. */
  const checkpointEvery = { milliseconds: 3_600_000 };

  it('keeps how far open processes came, so that the next run goes on from there', async () => {
    const one = await node('one', { checkpointEvery });
    const processes = [await spawn(one, WORK), await spawn(one, WORK)];
    for (const process of processes) for (let i = 0; i < 2; i += 1) await send(one, process);
    await Promise.all(processes.map((p) => one.compute.advance(p)));
    expect(one.compute.status().map((s) => s.checkpoint)).toEqual([null, null]);
    await one.stop();
    nodes.shift();
    expect(one.failures).toEqual([]);
    const kept = await database.query('select process, nonce from checkpoint');
    expect(new Set(kept)).toEqual(new Set(processes.map((process) => ({ process, nonce: '2' }))));
    const two = await node('two', { checkpointEvery });
    for (const process of processes) {
      await send(two, process);
      await two.compute.advance(process);
      expect(await said(two, process)).toEqual(['1', '2', '3']);
      const { equal, checkpoint } = await replay(process);
      expect([equal, checkpoint?.nonce]).toEqual([true, 2]);
    }
  });

  it('is not held up by what cannot be kept, and loses nothing by it', async () => {
    const one = await node('one', { checkpointEvery, keepMs: 10 });
    const process = await spawn(one, WORK);
    await send(one, process);
    await one.compute.advance(process);
    one.workers.checkpoint = () => new Promise(() => undefined); // as a thread that hangs answers
    await one.stop();
    expect(await database.query('select nonce from checkpoint')).toEqual([]);
    const two = await node('two', { checkpointEvery });
    await send(two, process);
    await two.compute.advance(process);
    expect(await said(two, process)).toEqual(['1', '2']);
  });

  it('tells who asks from then on that nothing is evaluated any more', async () => {
    const one = await node('one');
    const process = await spawn(one);
    await one.compute.advance(process);
    await one.compute.stop();
    nodes.pop();
    const id = await send(one, process);
    await expect(one.compute.result(process, id)).rejects.toMatchObject({ code: 'not-ready' });
    await expect(read(one, process)).rejects.toMatchObject({ code: 'not-ready' });
    await one.messenger.stop();
    await one.scheduler.stop();
    await one.database.destroy();
  });
});

describe('memory', () => {
  it('I13 idle processes make room, the least recently used first, and come back as they were', async () => {
    const budget = 2_000_000;
    const one = await node('one', { memoryBudget: budget, checkpointEvery: { slots: 2 } });
    const processes = await Promise.all(Array.from({ length: 12 }, () => spawn(one)));
    for (let round = 1; round <= 3; round += 1) {
      await Promise.all(processes.map((p) => send(one, p)));
      await Promise.all(processes.map((p) => one.compute.advance(p)));
      const reads = await Promise.all(processes.map((p) => read(one, p)));
      expect(reads).toEqual(processes.map(() => String(round + 1)));
    }
    for (const process of processes) expect(await said(one, process)).toEqual(count(3));
    await new Promise((resolve) => setImmediate(resolve));
    const status = one.compute.status();
    expect(status.length).toBeLessThan(processes.length);
    expect(status.reduce((sum, p) => sum + p.bytes, 0)).toBeLessThanOrEqual(budget);
    expect(one.failures).toEqual([]);
    // Who was used last is still here.
    const last = processes[3] as string;
    await read(one, last);
    expect(one.compute.status().map((p) => p.process)).toContain(last);
  });

  it('I13 with room for none at all, each has its turn, and none is closed at work', async () => {
    const one = await node('one', { memoryBudget: 1 });
    const processes = await Promise.all(Array.from({ length: 5 }, () => spawn(one)));
    let last: string[] = [];
    for (let i = 0; i < 20; i += 1) last = await Promise.all(processes.map((p) => send(one, p)));
    // Who has given its place up to others goes on by itself: that is not what `advance` waits for.
    await Promise.all(processes.map((p, i) => one.compute.result(p, last[i] ?? '')));
    for (const process of processes) expect(await said(one, process)).toEqual(count(20));
    expect(one.failures).toEqual([]);
  });
});

describe('several computes on one database', () => {
  it('X5 one has the process; what another places, and asks for, it gets from that one', async () => {
    const [a, b] = [await node('a'), await node('b')];
    await Promise.all([a.compute.resume(), b.compute.resume()]);
    const process = await spawn(a);
    await a.compute.advance(process);
    const told: string[] = [];
    b.compute.onResults((p) => told.push(p));
    for (let i = 0; i < 3; i += 1) {
      const id = await send(b, process);
      expect((await b.compute.result(process, id)).result.Messages[0]?.Data).toBe(String(i + 1));
    }
    expect(a.compute.status()).toMatchObject([{ process, leased: true, messages: 4 }]);
    expect(b.compute.status()).toEqual([]);
    await until(() => Promise.resolve(told.includes(process))); // a result may be read before it is told of
    // A dry-run there follows what is stored; nothing is written.
    expect(await read(b, process)).toBe('4');
    await send(a, process);
    expect(await read(b, process)).toBe('5');
    expect(b.compute.status()).toMatchObject([{ process, leased: false, messages: 0 }]);
  });

  it('X5 I12 when one dies its processes are taken over at once, with what it left', async () => {
    const hours = { leaseMs: 3_600_000, beatMs: 50 }; // that it died is not seen by the time
    const [a, b] = [await node('a', { leases: hours }), await node('b', { leases: hours })];
    await Promise.all([a.compute.resume(), b.compute.resume()]);
    const process = await spawn(a);
    await send(a, process);
    await a.compute.advance(process);
    const held = hold(a);
    await send(b, process);
    await held.reached;
    // It dies with a message evaluated and not stored.
    a.database.createQueryRunner = () => {
      throw new Error('dead');
    };
    await cut('a');
    await until(async () => (await said(b, process)).length === 2);
    expect(await said(b, process)).toEqual(count(2));
    expect(b.compute.status()).toMatchObject([{ process, leased: true }]);
    held.release();
    await send(b, process);
    await b.compute.advance(process);
    expect(await said(b, process)).toEqual(count(3));
  });

  it('X5 I12 one that slept over its lease stores nothing when it wakes, and asks the other from then on', async () => {
    const [a, b] = [
      await node('a', { leases: { beatMs: 3_600_000 } }),
      await node('b', { leases: { leaseMs: 3_600_000, beatMs: 50 } }),
    ];
    await a.compute.resume();
    await b.compute.resume();
    const process = await spawn(a);
    await a.compute.advance(process);
    const held = hold(a);
    const id = await send(b, process);
    await held.reached;
    await database.query(
      "update compute_holder set expires = now() - interval '1 second' where id = (select min(id) from compute_holder)",
    );
    expect((await b.compute.result(process, id)).result.Messages[0]?.Data).toBe('1');
    held.release();
    const late = await send(a, process);
    expect((await a.compute.result(process, late)).result.Messages[0]?.Data).toBe('2');
    expect(a.compute.status().filter((p) => p.leased)).toEqual([]);
    expect(await said(b, process)).toEqual(count(2));
    expect([a.failures, b.failures]).toEqual([[], []]);
  });

  it.each(['before', 'after'])(
    'X3 I12 one whose connections are cut %s what it stores goes on by itself',
    async (when) => {
      const a = await node('a');
      const process = await spawn(a);
      await a.compute.advance(process);
      let cuts = 0;
      a.compute.addSink({
        async take(manager) {
          if ((cuts += 1) > 1) return;
          if (when === 'after') await manager.query('commit');
          await cut('a');
        },
      });
      // Placed by another, whose connections stay.
      const other = new Scheduler({ database, signer: ed25519Signer(Buffer.alloc(32, 1)) });
      for (let i = 0; i < 3; i += 1) await send({ scheduler: other }, process);
      void a.compute.advance(process);
      await until(async () => (await database.query('select 1 from progress where evaluated = 3')).length > 0);
      const rows: { outcome: string }[] = await database.query(
        'select outcome from result where nonce > 0 order by nonce',
      );
      expect(rows.map((r) => JSON.parse(r.outcome).Messages[0].Data)).toEqual(count(3));
      expect(cuts).toBeGreaterThan(0);
    },
  );

  it('X5 an old token stores neither results nor checkpoints', async () => {
    const a = await node('a');
    const process = await spawn(a);
    await a.compute.advance(process);
    await a.stop();
    const quiet = { placed: () => undefined, stored: () => undefined, lost: () => undefined, failed: () => undefined };
    const leases = new Leases(database, quiet);
    const writer = new ResultWriter(database, []);
    const checkpoints = new CheckpointStore(database);
    const old = (await leases.acquire(process)) as Lease;
    const now = (await leases.acquire(process)) as Lease;
    expect(BigInt(now.token)).toBe(BigInt(old.token) + 1n);
    const batch = { process, module: 'm', results: [fakeResult(process, 1)] };
    const change = { size: 65_536, changed: [] };
    await expect(writer.store(old, 0, batch)).rejects.toThrow(LeaseLost);
    await expect(checkpoints.save(old, null, 0, change)).rejects.toThrow(LeaseLost);
    await writer.store(now, 0, batch);
    await expect(writer.store(now, 0, batch)).rejects.toThrow(LeaseLost); // nor the newest the same slots again
    await checkpoints.save(now, null, 1, change);
    await expect(checkpoints.save(now, null, 2, change)).rejects.toThrow(LeaseLost); // nor a state nobody has results of
    await leases.stop();
  });

  it('I13 results of many processes are stored together; one that cannot be stored stands for itself', async () => {
    const quiet = { placed: () => undefined, stored: () => undefined, lost: () => undefined, failed: () => undefined };
    const leases = new Leases(database, quiet);
    const a = await node('a');
    const processes = await Promise.all(Array.from({ length: 5 }, () => spawn(a)));
    await Promise.all(processes.map((p) => a.compute.advance(p)));
    await a.stop();
    const held = (await Promise.all(processes.map((p) => leases.acquire(p)))) as Lease[];
    const bad = processes[2] as string;
    const transactions: number[] = [];
    const writer = new ResultWriter(database, [
      {
        take(_, batches) {
          transactions.push(batches.length);
          return batches.some((b) => b.process === bad) ? Promise.reject(new Error('bad')) : Promise.resolve();
        },
      },
    ]);
    const store = (lease: Lease) =>
      writer.store(lease, 0, { process: lease.process, module: 'm', results: [fakeResult(lease.process, 1)] });
    const outcomes = await Promise.allSettled(held.map(store));
    expect(outcomes.map((o) => o.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    expect(transactions).toEqual([1, 4, 1, 1, 1, 1]);
    const rows: { process: string }[] = await database.query('select process from result where nonce = 1');
    expect(rows.map((r) => r.process).sort()).toEqual(processes.filter((p) => p !== bad).sort());
    await leases.stop();
  });
});

/** Keeps a node from beginning transactions, as if it slept there. */
function hold(on: Node): { reached: Promise<void>; release: () => void } {
  const real = on.database.transaction.bind(on.database) as (work: (manager: EntityManager) => unknown) => unknown;
  let [reach, release] = [() => {}, () => {}];
  const reached = new Promise<void>((resolve) => (reach = resolve));
  const released = new Promise<void>((resolve) => (release = resolve));
  const held = async (work: (manager: EntityManager) => unknown): Promise<unknown> => {
    reach();
    await released;
    return real(work);
  };
  on.database.transaction = held as typeof on.database.transaction;
  return { reached, release };
}

const fakeResult = (process: string, nonce: number) => ({
  entry: { process, nonce, message: { id: 'm' } } as ScheduleEntry,
  result: { Messages: [], Spawns: [], Assignments: [], Output: '' },
});
