/** Places in one statement: what happens when others place at the same time, when the database fails, and what is kept at hand. */
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import { jest } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { createItem, ed25519Signer, joinItem, parseItem } from '../items/index.js';
import { Verifier } from '../items/verifier.js';
import type { Item, ScheduleEntry, Tag } from '../types.js';
import { tagOf } from '../items/tags.js';
import { firstHash, nextHash } from './assignment.js';
import { RecentEntries } from './recent.js';
import { Scheduler, type Placed } from './scheduler.js';

const KEY = ed25519Signer(Buffer.alloc(32, 1));
const ALICE = ed25519Signer(Buffer.alloc(32, 3));
const tags = (...pairs: [string, string][]): Tag[] =>
  [['Data-Protocol', 'ao'] as [string, string], ...pairs].map(([name, value]) => ({ name, value }));

let cluster: TestCluster;
let database: DataSource;
let scheduler: Scheduler;
let module: Item;
let anchor = 0;

const next = () => String((anchor += 1)).padStart(32, '0');
const message = (target: string, data = 'x') =>
  createItem({ target, anchor: next(), tags: tags(['Type', 'Message']), data }, ALICE);
async function spawn(): Promise<string> {
  const item = await createItem(
    { anchor: next(), tags: tags(['Type', 'Process'], ['Module', module.id]), data: '' },
    ALICE,
  );
  return (await scheduler.schedule(item.raw)).process;
}
/** The schedule as stored, every link of its chain looked at. */
async function checked(process: string): Promise<string[]> {
  const entries = await new Scheduler({ database, signer: KEY }).entries(process, 0, 1000);
  let [hash, id] = [firstHash(process), ''];
  for (const [nonce, { assignment, message: said }] of entries.entries()) {
    if (nonce > 0) hash = nextHash({ assignmentId: id, hashChain: hash });
    const found = ['Nonce', 'Hash-Chain', 'Message'].map((name) => tagOf(assignment, name));
    expect(found).toEqual([String(nonce), hash, said.id]);
    id = assignment.id;
  }
  return entries.map((e) => e.message.id);
}

beforeAll(async () => {
  cluster = await testCluster();
  database = await openDatabase({ url: await cluster.fresh(), migrations: gatewayMigrations, applicationName: 'test' });
  await runMigrations(database);
  module = await createItem(
    { tags: tags(['Type', 'Module'], ['Module-Format', 'isthmus-lua-5.4']), data: 'function handle() end' },
    ALICE,
  );
  await new Scheduler({ database, signer: KEY }).schedule(module.raw);
});
afterAll(async () => {
  await database.destroy();
  await cluster.close();
});
beforeEach(() => {
  scheduler = new Scheduler({ database, signer: KEY });
});

it('placing costs the same whatever is placed already, also before the database has counted its rows', async () => {
  const url = await cluster.fresh();
  const made = await openDatabase({ url, migrations: gatewayMigrations, applicationName: 'test' });
  await runMigrations(made);
  await made.destroy();
  const own = await openDatabase({ url, migrations: [], applicationName: 'test', poolSize: 1 });
  try {
    scheduler = new Scheduler({ database: own, signer: KEY });
    await scheduler.schedule(module.raw);
    const process = await spawn();
    const place = async (count: number) =>
      Promise.all(Array.from({ length: count }, async () => scheduler.schedulePushed((await message(process)).raw)));
    const wholeReads = async (): Promise<string | undefined> => {
      await own.query('select pg_stat_force_next_flush()');
      const rows: { seq_scan: string }[] = await own.query(
        `select seq_scan from pg_stat_user_tables where relname = 'assignment'`,
      );
      return rows[0]?.seq_scan;
    };
    await place(500);
    const before = await wholeReads();
    await place(5);
    expect(await wholeReads()).toBe(before);
    expect(before).toBeDefined();
  } finally {
    await own.destroy();
  }
});

it('those who send within a moment of each other share one statement, however quick the one before was', async () => {
  scheduler = new Scheduler({ database, signer: KEY, gatherMs: 300 });
  const process = await spawn();
  const [first, ...rest] = await Promise.all(Array.from({ length: 6 }, () => message(process)));
  const statements: number[] = [];
  scheduler.onPlaced((_, last) => statements.push(last));
  const send = (item: Item | undefined) => scheduler.schedulePushed((item as Item).raw);
  // Three at once; then three more, each at its own time.
  await Promise.all([send(first), ...rest.slice(0, 2).map(send)]);
  const late: Promise<Placed>[] = [];
  for (const item of rest.slice(2)) {
    late.push(send(item));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(late);
  expect(statements).toEqual([3, 6]);
  expect(await checked(process)).toHaveLength(7);
});

it('A6 a batch with messages that have their place already, some twice, and new ones, gives each its one place', async () => {
  const [a, b] = [await spawn(), await spawn()];
  const old = await Promise.all([message(a), message(b), message(a)]);
  const first = await Promise.all(old.map((i) => scheduler.schedule(i.raw)));
  const fresh = await Promise.all([message(a), message(b)]);
  const again = await Promise.all([...old, ...fresh, ...old, ...fresh].map((i) => scheduler.schedulePushed(i.raw)));
  expect(again.slice(0, 3)).toEqual(first);
  expect(again.slice(5, 8)).toEqual(first);
  expect(again.slice(8)).toEqual(again.slice(3, 5));
  expect(await checked(a)).toEqual([a, old[0]?.id, old[2]?.id, fresh[0]?.id]);
  expect(await checked(b)).toEqual([b, old[1]?.id, fresh[1]?.id]);
});

describe('A6 an id names one item here', () => {
  /** The same signature over other contents; the scheduler takes it only as what somebody else has looked at. */
  const namesake = ({ signature, owner }: Item, type: string, target = '', more: [string, string][] = []) =>
    joinItem({
      type: 2,
      signature,
      owner,
      target: Buffer.from(target, 'base64url'),
      anchor: Buffer.alloc(0),
      tags: tags(['Type', type], ...more),
      data: Buffer.alloc(0),
    });
  const taken = expect.objectContaining({ code: 'id-taken' });

  it('neither a spawn nor a message takes the id of a module, a process or a message, also in one batch', async () => {
    const a = await spawn();
    const said = await message(a);
    await scheduler.schedule(said.raw);
    const rawSpawn = parseItem((await scheduler.item(a)) as Buffer);
    for (const known of [module, rawSpawn, said]) {
      const twins = [
        namesake(known, 'Message', a, [['X', '1']]),
        namesake(known, 'Process', '', [['Module', module.id]]),
      ];
      for (const twin of twins) await expect(scheduler.schedulePushed(twin.raw)).rejects.toEqual(taken);
    }
    const [x, y] = [await message(a), await spawn()];
    const [first, second, other] = await Promise.allSettled([
      scheduler.schedulePushed(x.raw),
      scheduler.schedulePushed(namesake(x, 'Message', y).raw),
      scheduler.schedulePushed((await message(y)).raw),
    ]);
    expect([first.status, second.status, other.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((await checked(a)).slice(1)).toEqual([said.id, x.id]);
    expect(await checked(y)).toHaveLength(2);
  });

  it('a module takes the id of no process, message or other module; itself it may be sent again', async () => {
    const signed = jest.spyOn(Verifier.prototype, 'verify').mockResolvedValue(true);
    try {
      const a = await spawn();
      const said = await message(a);
      await scheduler.schedule(said.raw);
      const known = [module, said, parseItem((await scheduler.item(a)) as Buffer)];
      for (const one of known)
        await expect(
          scheduler.schedule(namesake(one, 'Module', '', [['Module-Format', 'isthmus-lua-5.4']]).raw),
        ).rejects.toEqual(taken);
      expect((await scheduler.schedule(module.raw)).id).toBe(module.id);
      await scheduler.assign(a, module.id); // the same item, placed in a schedule
      expect(await checked(a)).toEqual([a, said.id, module.id]);
      expect((await scheduler.schedule(module.raw)).id).toBe(module.id);
    } finally {
      signed.mockRestore();
    }
  });
});

it('X5 a scheduler whose remembered heads are out of date places after what others have placed', async () => {
  const other = new Scheduler({ database, signer: KEY });
  const [a, b] = [await spawn(), await spawn()];
  const ids: string[] = [a];
  for (let turn = 0; turn < 6; turn += 1) {
    const items = await Promise.all([message(a), message(b), message(a)]);
    const at = turn % 2 === 0 ? other : scheduler;
    const placed = await Promise.all(items.map((i) => at.schedulePushed(i.raw)));
    expect(placed.map((p) => p.nonce)).toEqual([turn * 2 + 1, turn + 1, turn * 2 + 2]);
    ids.push(items[0]!.id, items[2]!.id);
  }
  expect(await checked(a)).toEqual(ids);
});

it('X5 schedulers that place the same and other messages at the same time fork nothing and lose nothing', async () => {
  const others = Array.from({ length: 3 }, () => new Scheduler({ database, signer: KEY }));
  const processes = [await spawn(), await spawn(), await spawn()];
  const items = await Promise.all(Array.from({ length: 90 }, (_, i) => message(processes[i % 3]!)));
  const placed = await Promise.all(others.map((o) => Promise.all(items.map((i) => o.schedulePushed(i.raw)))));
  expect(placed[1]).toEqual(placed[0]);
  expect(placed[2]).toEqual(placed[0]);
  for (const process of processes) expect(new Set(await checked(process)).size).toBe(31);
});

it('X5 the same spawn at two schedulers at once is one process', async () => {
  const other = new Scheduler({ database, signer: KEY });
  const item = await createItem(
    { anchor: next(), tags: tags(['Type', 'Process'], ['Module', module.id]), data: '' },
    ALICE,
  );
  const [one, two] = await Promise.all([scheduler, other].map((s) => s.schedule(item.raw)));
  expect(two).toEqual(one);
  expect(await checked(item.id)).toEqual([item.id]);
});

it('I12 when the database fails nothing is acknowledged, and sending again goes on from what is true', async () => {
  const a = await spawn();
  await scheduler.schedule((await message(a)).raw);
  const lost = jest.spyOn(database.manager, 'query').mockImplementationOnce(async (text, values) => {
    await database.query(text, values as unknown[]);
    throw new Error('the connection is gone'); // after the database has committed
  });
  const item = await message(a);
  await expect(scheduler.schedule(item.raw)).rejects.toThrow('the connection is gone');
  lost.mockRestore();
  const placed: Placed[] = [await scheduler.schedule((await message(a)).raw), await scheduler.schedule(item.raw)];
  expect(placed.map((p) => p.nonce)).toEqual([3, 2]);
  expect(await checked(a)).toHaveLength(4);
});

it('messages to a process in the batch of its own spawn come after it', async () => {
  const item = await createItem(
    { anchor: next(), tags: tags(['Type', 'Process'], ['Module', module.id]), data: '' },
    ALICE,
  );
  const first = await message(item.id);
  const placed = await Promise.all([item, first].map((i) => scheduler.schedulePushed(i.raw)));
  expect(placed.map((p) => p.nonce)).toEqual([0, 1]);
  expect(await checked(item.id)).toEqual([item.id, first.id]);
});

it('what cannot be placed is refused alone', async () => {
  const a = await spawn();
  const orphan = await createItem(
    { anchor: next(), tags: tags(['Type', 'Process'], ['Module', 'A'.repeat(43)]), data: '' },
    ALICE,
  );
  const good = await Promise.all([message(a), message(a)]);
  const all = [orphan, good[0]!, await message('A'.repeat(43)), good[1]!];
  const outcomes = await Promise.allSettled(all.map((i) => scheduler.schedulePushed(i.raw)));
  expect(outcomes).toMatchObject([
    { reason: { code: 'unknown-module' } },
    { value: { nonce: 1 } },
    { reason: { code: 'unknown-process' } },
    { value: { nonce: 2 } },
  ]);
});

it('I12 a schedule reads the same from what is at hand, from the database, and from both', async () => {
  const a = await spawn();
  await Promise.all(Array.from({ length: 5 }, async () => scheduler.schedule((await message(a)).raw)));
  const late = new Scheduler({ database, signer: KEY });
  for (let i = 0; i < 5; i += 1) await late.schedule((await message(a)).raw);
  const all = await new Scheduler({ database, signer: KEY }).entries(a, 0, 1000);
  for (const from of [0, 3, 6, 10, 11]) {
    for (const limit of [1, 4, 1000]) {
      expect(await late.entries(a, from, limit)).toEqual(all.slice(from, from + limit));
      expect(await scheduler.entries(a, from, limit)).toEqual(all.slice(from, from + limit));
      const some = await scheduler.following(a, from, limit);
      expect(some).toEqual(all.slice(from, from + some.length));
      expect(some.length > 0).toBe(from < all.length);
    }
  }
});

it('keeps what came last as it is, and older entries as bytes of their own, which read the same', async () => {
  const recent = new RecentEntries(100e6);
  const [small, large] = [await message('A'.repeat(43)), await message('A'.repeat(43), 'x'.repeat(20_000))];
  const given = Array.from({ length: 1200 }, (_, nonce) => {
    const item = nonce % 100 === 0 ? large : small;
    return { process: nonce % 3 === 0 ? 'a' : 'b', nonce, assignment: small, message: item };
  });
  for (const entry of given) recent.add(entry);
  const read = given.map(({ process, nonce }) => recent.from(process, nonce, 1, 1e9)[0]);
  for (const [nonce, entry] of read.entries()) expect(entry).toEqual(given[nonce]);
  const own = read.flatMap((entry, nonce) => (entry === given[nonce] ? [nonce] : []));
  const [smalls, larges] = [own.filter((n) => n % 100 !== 0), own.filter((n) => n % 100 === 0)];
  expect(larges).toHaveLength(12); // never packed: they would keep a large piece of memory alive
  expect(Math.min(...smalls)).toBeGreaterThan(400);
  expect(smalls.at(-1)).toBe(1199);
  for (const entry of read.slice(1, 10)) expect(entry?.message.raw.buffer).not.toBe(small.raw.buffer);
});

it('keeps only so much at hand, the newest, and never gives over a gap', async () => {
  const item = parseItem((await message('A'.repeat(43), 'x'.repeat(6000))).raw);
  const entry = (process: string, nonce: number): ScheduleEntry => ({
    process,
    nonce,
    assignment: item,
    message: item,
  });
  const recent = new RecentEntries(20_000 * 10);
  for (let nonce = 0; nonce < 3000; nonce += 1) recent.add(entry(nonce % 100 === 0 ? 'b' : 'a', nonce));
  const newest = recent.from('a', 2990, 1000, 1e9).map((e) => e.nonce);
  expect(newest).toEqual(Array.from({ length: 10 }, (_, i) => 2990 + i));
  expect(recent.from('a', 2000, 1000, 1e9)).toEqual([]);
  expect([recent.slotOf('a', item.id), recent.slotOf('b', item.id), recent.slotOf('a', 'x')]).toEqual([
    2999,
    null,
    null,
  ]);
  expect(recent.from('b', 0, 1000, 1e9)).toEqual([]);
  expect(recent.from('a', 2990, 3, 1e9)).toHaveLength(3);
  expect(recent.from('a', 2990, 1000, 10_000)).toHaveLength(2); // two at least
  recent.add(entry('c', 1));
  recent.add(entry('c', 3));
  expect(recent.from('c', 1, 10, 1e9)).toHaveLength(1);
});
