/** The index of items: each is found once, and what cannot be written keeps nothing else from being found. */
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import { jest } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { createItem, ed25519Signer } from '../items/index.js';
import type { Item, Tag } from '../types.js';
import { indexKey, ItemIndex } from './item-index.js';
import { Scheduler } from './scheduler.js';

const ALICE = ed25519Signer(Buffer.alloc(32, 3));
const tags = (pairs: Record<string, string>): Tag[] =>
  Object.entries({ 'Data-Protocol': 'ao', ...pairs }).map(([name, value]) => ({ name, value }));

let cluster: TestCluster;
let database: DataSource;
let scheduler: Scheduler;
let index: ItemIndex;
let failures: unknown[];
let anchor = 0;

const make = (pairs: Record<string, string>, target = '') =>
  createItem({ target, anchor: String((anchor += 1)).padStart(32, '0'), tags: tags(pairs), data: 'x' }, ALICE);
async function place(pairs: Record<string, string>, target = ''): Promise<Item> {
  const item = await make(pairs, target);
  await scheduler.schedule(item.raw);
  return item;
}
const spawn = (module: Item, target = '', more = {}) => place({ Type: 'Process', Module: module.id, ...more }, target);
const found = async (...conditions: string[]): Promise<string[]> => {
  const asked = conditions.map((key) => [key]);
  const rows = await index.search({ conditions: asked, after: undefined, newestFirst: false, limit: 100 });
  return rows.map((r) => r.id);
};

beforeAll(async () => {
  cluster = await testCluster();
});
afterAll(() => cluster.close());
beforeEach(async () => {
  database = await openDatabase({ url: await cluster.fresh(), migrations: gatewayMigrations, applicationName: 'test' });
  await runMigrations(database);
  scheduler = new Scheduler({ database, signer: ed25519Signer(Buffer.alloc(32, 1)) });
  failures = [];
  index = new ItemIndex(database, scheduler.log, (error) => failures.push(error));
  scheduler.onPlaced((id) => index.changed(id));
  scheduler.onKept((id) => index.changed(id));
});
afterEach(async () => {
  await index.stop();
  await database.destroy();
});

it('A13 a spawn and a module with a Target, assigned to that Target at once, are found once and stop nothing', async () => {
  const module = await place({ Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' });
  const target = await spawn(module);
  const aimedModule = await place({ Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }, target.id);
  const aimed = await spawn(module, target.id, { Name: 'aimed' });
  for (const { id } of [aimedModule, aimed]) await scheduler.assign(target.id, id);
  const said = await place({ Type: 'Message' }, target.id);
  await index.settle();
  const all = await found(indexKey('recipient', target.id));
  expect(all.toSorted()).toEqual([aimedModule.id, aimed.id, said.id].toSorted());
  expect(await found(indexKey('tag:Name', 'aimed'))).toEqual([aimed.id]);
  await scheduler.assign(aimed.id, said.id);
  await index.settle();
  expect(await found(indexKey('recipient', target.id))).toHaveLength(3);
});

it('A13 an item that cannot be written is passed over and told of; all others are found', async () => {
  const module = await place({ Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' });
  const [a, b] = [await spawn(module), await spawn(module)];
  const items: Item[] = [];
  for (let i = 0; i < 9; i += 1) items.push(await make({ Type: 'Message' }, i % 3 === 0 ? b.id : a.id));
  const bad = items[4] as Item;
  await database.query(`
    create function spoil() returns trigger language plpgsql as $$ begin
      if new.id = '${bad.id}' then raise exception 'spoilt' using errcode = '23505'; end if; return new;
    end $$;
    create trigger spoil before insert on indexed_item for each row execute function spoil();`);
  for (const { raw } of items) await scheduler.schedule(raw);
  await index.settle();
  expect(failures).toHaveLength(1);
  const all = [...(await found(indexKey('recipient', a.id))), ...(await found(indexKey('recipient', b.id)))];
  expect(all.toSorted()).toEqual(
    items
      .filter((i) => i !== bad)
      .map((i) => i.id)
      .toSorted(),
  );
});

it('X6 when the database fails it waits, however much comes meanwhile, and then misses nothing', async () => {
  const module = await place({ Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' });
  const a = await spawn(module);
  const said = await place({ Type: 'Message' }, a.id);
  await index.stop();
  index = new ItemIndex(database, scheduler.log, (error) => failures.push(error));
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
  const query = jest.spyOn(database, 'query').mockRejectedValue(new Error('the database is away'));
  try {
    for (let i = 0; i < 20; i += 1) {
      index.changed(a.id);
      await jest.advanceTimersByTimeAsync(200);
    }
    expect(failures).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(2000);
    expect(failures).toHaveLength(2);
  } finally {
    query.mockRestore();
    jest.useRealTimers();
  }
  await index.settle();
  expect(await found(indexKey('recipient', a.id))).toEqual([said.id]);
});
