/** The messenger on a real database: what results ask for is carried out once, within bounds, and what cannot be is told and can be let go. */
import { jest } from '@jest/globals';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import fc from 'fast-check';
import type { DataSource } from 'typeorm';
import { createItem, ed25519Signer, ethereumSigner } from '../items/index.js';
import { tagOf } from '../items/tags.js';
import { Scheduler } from '../scheduler/scheduler.js';
import { PublicState } from '../state/public-state.js';
import type { EvaluationResult, OutboundMessage, ScheduleEntry, Signer, Tag } from '../types.js';
import type { DispatchBounds } from './dispatch.js';
import { TickCheck, tickOf } from './cron.js';
import { Messenger } from './messenger.js';
import { Monitors } from './monitors.js';
import { KEPT_MS, Pruning } from './pruning.js';
import { MAX_ASSIGNED, MAX_HOPS, sentBy } from './sent.js';

const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const MALLORY = ethereumSigner(`0x${'4'.repeat(64)}`);
const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
const NOBODY = Buffer.alloc(32, 9).toString('base64url');
const tags = (pairs: Record<string, string>): Tag[] => Object.entries(pairs).map(([name, value]) => ({ name, value }));

let cluster: TestCluster;
let database: DataSource;
let scheduler: Scheduler;
let messenger: Messenger;
let module: string;
let anchor = 0;

const next = () => String((anchor += 1)).padStart(32, '0');
const message = (target: string, more: Record<string, string> = {}, data = ''): OutboundMessage => ({
  Target: target,
  Anchor: next(),
  Tags: tags(more),
  Data: data,
});
const spawn = (more: Record<string, string> = {}): OutboundMessage => ({
  Anchor: next(),
  Tags: tags({ Module: module, ...more }),
  Data: 'NODATA',
});
const result = (more: Partial<EvaluationResult>): EvaluationResult => ({
  Messages: [],
  Spawns: [],
  Assignments: [],
  Output: '',
  ...more,
});
const begin = (bounds: Partial<DispatchBounds> = {}) =>
  (messenger = new Messenger(database, scheduler, MESSENGER, bounds));

async function born(more: Record<string, string> = {}): Promise<string> {
  const item = await createItem(
    { anchor: next(), tags: tags({ 'Data-Protocol': 'ao', Type: 'Process', Module: module, ...more }), data: '' },
    ALICE,
  );
  return (await scheduler.schedule(item.raw)).process;
}
async function said(process: string, more: Record<string, string> = {}): Promise<ScheduleEntry> {
  const item = await createItem(
    { target: process, anchor: next(), tags: tags({ 'Data-Protocol': 'ao', Type: 'Message', ...more }), data: '' },
    ALICE,
  );
  const { nonce } = await scheduler.schedule(item.raw);
  return (await scheduler.entries(process, nonce, 1))[0] as ScheduleEntry;
}
/** A result as the compute unit stores it, with what it leads to. */
async function gave(entry: ScheduleEntry, more: Partial<EvaluationResult>): Promise<void> {
  const given = result(more);
  await database.transaction(async (manager) => {
    await manager.query(
      'insert into result (process, nonce, message_id, outcome) values ($1, $2, $3, $4) on conflict do nothing',
      [entry.process, entry.nonce, entry.message.id, JSON.stringify(given)],
    );
    await messenger.take(manager, [{ process: entry.process, module, results: [{ entry, result: given }] }]);
  });
}
const schedule = async (process: string) => (await scheduler.entries(process, 1, 1000)).map((e) => e.message);
const dead = async () => (await messenger.deadLetters()).letters.toReversed();
const newest = async (process: string) => (await scheduler.latest(process)) as ScheduleEntry;
const spawnedBy = async (parent: string): Promise<string[]> => {
  const rows: { item_id: string }[] = await database.query(
    `select item_id from outbox where process = $1 and kind = 'spawn' and state = 'delivered' order by id`,
    [parent],
  );
  return rows.map((r) => r.item_id);
};

beforeAll(async () => {
  cluster = await testCluster();
  database = await openDatabase({ url: await cluster.fresh(), migrations: gatewayMigrations, applicationName: 'test' });
  await runMigrations(database);
});
afterAll(async () => {
  await database.destroy();
  await cluster.close();
});
beforeEach(async () => {
  await database.query('truncate module, progress, result, outbox, pushed, spawned, monitor cascade');
  scheduler = new Scheduler({ database, signer: SCHEDULER });
  begin();
  const item = await createItem(
    { tags: tags({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }), data: '' },
    ALICE,
  );
  module = (await scheduler.schedule(item.raw)).id;
});
afterEach(async () => {
  await messenger.stop();
  await scheduler.stop();
});

it('I12 what comes while the messenger lies down to sleep is delivered all the same', async () => {
  const [one, two] = [await born(), await born()];
  const [first, second] = [await said(one), await said(two)];
  await gave(first, { Messages: [message(two)] });
  // The messenger asks when to wake, and is told before what comes then is there.
  const query = database.query.bind(database);
  let asleep: Promise<void> | undefined;
  const asked = jest.spyOn(database, 'query').mockImplementation(async (sql: string, values?: object) => {
    const answer: unknown = await query(sql, values);
    if (sql.includes('min(due)') && !asleep) {
      asleep = gave(second, { Messages: [message(one)] });
      await asleep;
      void messenger.deliver();
    }
    return answer;
  });
  await messenger.deliver();
  asked.mockRestore();
  await asleep;
  expect(await schedule(one)).toHaveLength(2);
});

describe('spawns', () => {
  it('A1 are processes of their own, and the parent is told under its own name with the tags it asked with', async () => {
    const parent = await born();
    const entry = await said(parent);
    const asked = spawn({ Reference: '7', 'X-Name': 'child', Action: 'Boot', 'From-Process': NOBODY, Type: 'Message' });
    await gave(entry, { Spawns: [asked] });
    await messenger.deliver();
    const [child] = await spawnedBy(parent);
    const [first] = await scheduler.entries(child as string, 0, 1);
    expect(first?.message.ownerAddress).toBe(MESSENGER.address);
    expect(Object.fromEntries(first?.message.tags.map((t) => [t.name, t.value]) ?? [])).toEqual({
      'Data-Protocol': 'ao',
      Variant: 'ao.TN.1',
      Type: 'Process',
      'From-Process': parent,
      'From-Module': module,
      'Pushed-For': entry.message.id,
      'Pushed-Hops': '1',
      Module: module,
      Reference: '7',
      'X-Name': 'child',
      Action: 'Boot',
      Scheduler: SCHEDULER.address,
    });
    const told = (await schedule(parent)).at(-1);
    expect(
      told?.tags.filter((t) => ['Action', 'Process', 'Reference', 'From-Process', 'X-Name'].includes(t.name)),
    ).toEqual([
      { name: 'From-Process', value: parent },
      { name: 'Action', value: 'Spawned' },
      { name: 'Process', value: child },
      { name: 'Reference', value: '7' },
      { name: 'X-Name', value: 'child' },
    ]);
    expect(await dead()).toEqual([]);
  });

  it('I12 X4 happen once, however often they are delivered, and whatever was lost between the steps', async () => {
    const parent = await born();
    const entry = await said(parent);
    await gave(entry, { Spawns: [spawn(), spawn()], Messages: [message(parent)] });
    const before: unknown[] = await database.query('select id, item from outbox');
    const lose = () =>
      database.query(
        `update outbox o set state = case when kind = 'spawned' then 'held' else 'waiting' end, due = now(), item = b.item
         from unnest($1::bigint[], $2::bytea[]) as b(id, item) where b.id = o.id`,
        [(before as { id: string }[]).map((r) => r.id), (before as { item: Buffer }[]).map((r) => r.item)],
      );
    for (let i = 0; i < 3; i += 1) {
      await messenger.deliver();
      await gave(entry, { Spawns: [spawn()] }); // a result that is stored again changes nothing
      await lose();
    }
    await messenger.deliver();
    expect(await schedule(parent)).toHaveLength(1 + 1 + 2); // Alice's, its own, two answers
    expect(new Set(await spawnedBy(parent)).size).toBe(2);
  });

  it.each([
    ['a scheduler that is another’s', { Scheduler: NOBODY }, 'foreign-scheduler'],
    ['a module nobody knows', { Module: NOBODY }, 'unknown-module'],
    ['a module no id can be', { Module: 'a\0b' }, 'bad-item'],
  ])('A6 with %s are dead letters that say so, and nobody is told of a process', async (_, more, reason) => {
    const parent = await born();
    await gave(await said(parent), { Spawns: [spawn(more), spawn()] });
    await messenger.deliver();
    expect(await dead()).toMatchObject([{ process: parent, kind: 'spawn', reason }]);
    expect(await schedule(parent)).toHaveLength(2);
  });

  it('I13 a fork bomb ends: so many processes come of one signed message, and of one process', async () => {
    begin({ spawnsOfRoot: 10, spawnsOfProcess: 6 });
    const parent = await born();
    const entry = await said(parent);
    await gave(entry, { Spawns: Array.from({ length: 5 }, () => spawn()) });
    await messenger.deliver();
    const children = await spawnedBy(parent);
    expect(children).toHaveLength(5);
    for (const child of children) {
      const [birth] = await scheduler.entries(child, 0, 1);
      await gave(birth as ScheduleEntry, { Spawns: [spawn(), spawn()] });
    }
    await messenger.deliver();
    const counts = await Promise.all(children.map(async (c) => (await spawnedBy(c)).length));
    expect(counts.reduce((a, b) => a + b)).toBe(5); // ten in all, of Alice's one message
    expect((await dead()).every((l) => l.reason === 'spawns' && l.root === entry.message.id)).toBe(true);
    // Another message may go on, until the process itself has had its share.
    await gave(await said(parent), { Spawns: [spawn(), spawn()] });
    await messenger.deliver();
    expect(await spawnedBy(parent)).toHaveLength(6);
  });
});

describe('assignments', () => {
  const ask = (Message: string, ...Processes: string[]) => ({ Processes, Message });

  it('place messages on further schedules once, their own Target kept', async () => {
    const [a, b, c] = [await born(), await born(), await born()];
    const [entry, original] = [await said(a), await said(a)];
    await gave(entry, { Assignments: [ask(original.message.id, b, c), ask(original.message.id, b)] });
    await messenger.deliver();
    for (const process of [b, c])
      expect((await schedule(process)).map((m) => [m.id, m.target])).toEqual([[original.message.id, a]]);
    expect(await dead()).toEqual([]);
  });

  it('go with the message that names them in its tag, after it', async () => {
    const [a, b, c] = [await born(), await born(), await born()];
    await gave(await said(a), { Messages: [message(b, { Assignments: JSON.stringify([c]) })] });
    await messenger.deliver();
    const [own] = await schedule(b);
    expect((await schedule(c)).map((m) => m.id)).toEqual([own?.id]);
    expect(tagOf(own as never, 'Assignments')).toBe('');
  });

  it('I13 A6 malformed, to nobody, of nothing, or too many of them are dead letters; the rest go out', async () => {
    const [a, b] = [await born(), await born()];
    const entry = await said(a);
    const odd = [null, 'x', {}, { Processes: b }, { Processes: [1, {}], Message: entry.message.id }, ask('\0', b)];
    await gave(entry, {
      Assignments: [...odd, ask(entry.message.id, NOBODY), ask(NOBODY, b), ask(entry.message.id, b)],
    });
    for (let i = 0; i < 4; i += 1) {
      await messenger.deliver();
      await database.query(`update outbox set due = now() where state = 'waiting'`);
    }
    expect((await dead()).map((l) => l.reason)).toEqual([
      ...Array.from({ length: 7 }, () => 'bad-assignment'),
      'unknown-process',
      'unknown-message',
    ]);
    expect(await schedule(b)).toHaveLength(1);
    const flood = ask(entry.message.id, ...Array.from({ length: 3 * MAX_ASSIGNED }, () => b));
    expect(sentBy(result({ Assignments: [flood] }))).toHaveLength(MAX_ASSIGNED + 1);
  });

  it('I13 what is answered to an assigned message is on behalf of whoever assigned it, and takes nothing of its author’s share', async () => {
    begin({ answers: 5, spawnsOfRoot: 1 });
    const [evil, honest] = [await born(), await born()];
    const victim = await said(honest);
    const entry = await said(evil);
    await gave(entry, { Assignments: [ask(victim.message.id, evil)] });
    await messenger.deliver();
    await gave(await newest(evil), { Spawns: [spawn()], Messages: [message(honest)] });
    await messenger.deliver();
    const sent = (await newest(honest)).message;
    expect([tagOf(sent, 'Pushed-For'), tagOf(sent, 'Pushed-Hops')]).toEqual([entry.message.id, '2']);
    await gave(victim, { Spawns: [spawn()] });
    await messenger.deliver();
    expect(await spawnedBy(honest)).toHaveLength(1);
    // Asked for over HTTP, it begins anew.
    await scheduler.assign(evil, sent.id);
    await gave(await newest(evil), { Messages: [message(honest)] });
    await messenger.deliver();
    expect(tagOf((await newest(honest)).message, 'Pushed-For')).toBe((await newest(evil)).assignment.id);
  });

  it('I13 cycles of assignments end with the hops of their beginning', async () => {
    const [a, b] = [await born(), await born()];
    let entry = await said(a);
    for (let hop = 0; hop < MAX_HOPS; hop += 1) {
      const fresh = await said(hop % 2 ? a : b); // someone else's, that nobody has assigned yet
      await gave(entry, { Assignments: [ask(fresh.message.id, hop % 2 ? b : a)] });
      await messenger.deliver();
      entry = await newest(hop % 2 ? b : a);
      expect(entry.message.id).toBe(fresh.message.id);
    }
    await gave(entry, { Assignments: [ask((await said(a)).message.id, b)] });
    expect(await dead()).toMatchObject([{ reason: 'hops', hops: MAX_HOPS + 1 }]);
  });
});

describe('dead letters', () => {
  it('are listed page by page, of one process, reason or beginning, and counted', async () => {
    const [a, b] = [await born(), await born()];
    const bad = () => message(b, { 'X-Long': 'x'.repeat(4000) });
    const first = await said(a);
    await gave(first, { Messages: [bad(), bad()], Spawns: [spawn({ Scheduler: NOBODY })] });
    await gave(await said(b), { Messages: [bad()] });
    expect(await messenger.deadLetterCounts()).toEqual([
      { reason: 'bad-item', count: 3 },
      { reason: 'foreign-scheduler', count: 1 },
    ]);
    const page = await messenger.deadLetters({ process: a }, undefined, 2);
    expect(page.letters.map((l) => [l.kind, l.position, l.root])).toEqual([
      ['spawn', 0, first.message.id],
      ['message', 1, first.message.id],
    ]);
    expect((await messenger.deadLetters({ process: a }, page.next ?? '', 2)).letters.map((l) => l.position)).toEqual([
      0,
    ]);
    expect((await messenger.deadLetters({ reason: 'bad-item', root: first.message.id })).letters).toHaveLength(2);
    expect((await messenger.deadLetters({ process: NOBODY })).letters).toEqual([]);
  });

  it('a release is one try more; what can never go says so', async () => {
    const [a, b] = [await born(), await born()];
    await gave(await said(a), {
      Spawns: [spawn({ Module: NOBODY })],
      Messages: [message(b, { 'X-Long': 'x'.repeat(4000) })],
    });
    await messenger.deliver();
    const letters = await dead();
    const of = (reason: string) => letters.find((l) => l.reason === reason)?.id ?? '';
    expect(letters.map((l) => [l.reason, l.releasable])).toEqual([
      ['bad-item', false],
      ['unknown-module', true],
    ]);
    await expect(messenger.release(of('bad-item'))).rejects.toMatchObject({ code: 'final' });
    for (const id of ['0', '999999', 'x', '-1'])
      await expect(messenger.release(id)).rejects.toMatchObject({ code: 'unknown-letter' });
    await messenger.release(of('unknown-module'));
    await messenger.deliver();
    expect((await dead()).map((l) => l.reason)).toContain('unknown-module'); // the module is as unknown as it was
  });

  it('given up they are never sent, whoever asks, and no longer counted', async () => {
    const [a, b] = [await born(), await born()];
    const bad = () => message(b, { 'X-Long': 'x'.repeat(4000) });
    const slot = await said(a);
    await gave(slot, { Spawns: [spawn({ Module: NOBODY })], Messages: [bad(), bad()] });
    await gave(await said(b), { Messages: [bad()] });
    await messenger.deliver();
    expect(await messenger.deadLetterGroups()).toEqual([
      { process: a, reason: 'bad-item', count: 2 },
      ...[
        { process: a, reason: 'unknown-module', count: 1 },
        { process: b, reason: 'bad-item', count: 1 },
      ].sort((x, y) => (x.process < y.process ? -1 : 1)),
    ]);
    expect(await messenger.deadLetterGroups(1)).toHaveLength(1);
    expect(await messenger.discardAll(a, 'bad-item')).toBe(2);
    const [left] = (await messenger.deadLetters({ process: a })).letters;
    expect(left?.reason).toBe('unknown-module');
    const number = left?.id ?? '';
    await messenger.discard(number);
    for (const id of [number, '999999', 'x', '-1'])
      await expect(messenger.discard(id)).rejects.toMatchObject({ code: 'unknown-letter' });
    await expect(messenger.release(number)).rejects.toMatchObject({ code: 'unknown-letter' });
    expect(await messenger.releaseAll(a)).toBe(0);
    await expect(messenger.deliverAgain(a, slot.nonce, 0)).rejects.toMatchObject({ code: 'final' });
    await messenger.deliver();
    expect(await spawnedBy(a)).toEqual([]);
    expect(await messenger.deadLetterCounts()).toEqual([{ reason: 'bad-item', count: 1 }]);
    expect(await messenger.discardAll(b)).toBe(1);
    expect(await messenger.deadLetterCounts()).toEqual([]);
  });

  it('what was too much goes out with what followed it in its slot, when an operator says so', async () => {
    begin({ answers: 2, spawnsOfRoot: 1 });
    const [a, b] = [await born(), await born()];
    await gave(await said(a), { Messages: Array.from({ length: 6 }, (_, i) => message(b, {}, String(i))) });
    await gave(await said(a), { Spawns: [spawn(), spawn()] });
    await messenger.deliver();
    expect((await dead()).map((l) => [l.reason, l.position, l.itemId])).toEqual([
      ['answers', 2, null],
      ['spawns', 1, null],
    ]);
    expect(await messenger.releaseAll(a)).toBe(2);
    await messenger.deliver();
    expect((await schedule(b)).map((m) => m.data.toString())).toEqual(['0', '1', '2', '3', '4', '5']);
    expect(await spawnedBy(a)).toHaveLength(2);
    expect(await dead()).toEqual([]);
    expect(await messenger.releaseAll(a)).toBe(0);
  });

  it('I12 a scheduler that fails is tried again, later each time, and set aside in the end', async () => {
    const [a, b] = [await born(), await born()];
    await gave(await said(a), { Messages: [message(b)] });
    const failing = Object.assign(Object.create(scheduler) as Scheduler, {
      schedulePushed: () => Promise.reject(new Error('down')),
    });
    const broken = new Messenger(database, failing, MESSENGER);
    const told: unknown[] = [];
    broken.onFailure((process, error) => told.push([process, error]));
    const waits: number[] = [];
    for (let i = 0; i < 12; i += 1) {
      await broken.deliver();
      const [row] = (await database.query(
        'select round(extract(epoch from due - now()) * 1000) as wait from outbox',
      )) as { wait: string }[];
      waits.push(Number(row?.wait));
      await database.query('update outbox set due = now()');
    }
    await broken.stop();
    expect(told).toEqual(Array.from({ length: 12 }, () => [a, new Error('down')]));
    const failures = waits.slice(0, 11);
    for (const [i, wait] of failures.entries()) expect(wait).toBeGreaterThan(i === 0 ? 0 : (failures[i - 1] as number));
    expect(await dead()).toMatchObject([
      { reason: 'failed', error: expect.stringMatching(/log says why/), attempts: 12, releasable: true },
    ]);
    await messenger.releaseAll(a);
    await messenger.deliver();
    expect(await schedule(b)).toHaveLength(1);
  });
});

describe('clocks', () => {
  let now: number;
  let monitors: Monitors;
  const clocked = (interval = '10-seconds') => born({ 'Cron-Interval': interval, 'Cron-Tag-Action': 'Cron' });
  const signed = async (process: string, signer: Signer = ALICE) =>
    (await createItem({ target: process, tags: [], data: ' ' }, signer)).raw;
  const start = async (process: string, signer?: Signer) => monitors.start(process, await signed(process, signer));
  const stop = async (process: string, signer?: Signer) => monitors.end(process, await signed(process, signer));
  const times = async (process: string) => (await schedule(process)).map((m) => Number(tagOf(m, 'Cron-Time')) - 1e12);
  const evaluated = () =>
    database.query(
      'insert into progress (process, evaluated) select id, nonce from process on conflict (process) do update set evaluated = excluded.evaluated',
    );
  const step = async (seconds: number) => {
    now += seconds * 1000;
    await evaluated();
    await monitors.tick();
  };
  let opened: Monitors[];
  const open = () => {
    monitors = new Monitors({
      database,
      messenger,
      signer: SCHEDULER,
      now: () => now,
      onFailure: (error) => {
        throw error;
      },
    });
    opened.push(monitors);
    return monitors;
  };

  beforeEach(async () => {
    now = 1e12;
    scheduler = new Scheduler({ database, signer: SCHEDULER, now: () => now });
    begin();
    opened = [];
    open();
  });
  afterEach(() => Promise.all(opened.map((m) => m.stop())));

  it('strike from monitor to unmonitor, each tick an entry of the schedule by the scheduler', async () => {
    const process = await clocked();
    await step(25);
    expect(await times(process)).toEqual([]);
    await start(process);
    await start(process); // once more changes nothing
    for (let i = 0; i < 4; i += 1) await step(5);
    expect(await times(process)).toEqual([30_000, 40_000]);
    const [first] = await scheduler.entries(process, 1, 1);
    expect(first?.message).toMatchObject({ ownerAddress: SCHEDULER.address, target: process });
    expect(tickOf(first as ScheduleEntry)).toEqual({ cron: 0, time: 1e12 + 30_000 });
    await stop(process);
    await stop(process);
    await step(60);
    expect(await times(process)).toEqual([30_000, 40_000]);
  });

  it('I12 X4 make up one tick after an outage, whatever was lost, and two gateways make no more than one', async () => {
    const process = await clocked();
    await start(process);
    await step(10);
    await monitors.stop();
    const two = [open(), open()];
    now += 95_000;
    await evaluated();
    await Promise.all(two.map((m) => m.tick()));
    await messenger.deliver();
    expect(await times(process)).toEqual([10_000, 100_000]);
    await database.query('update monitor set ticked = 0, due = 0'); // as if what was written last had been lost
    await Promise.all(two.map((m) => m.tick()));
    expect(await times(process)).toEqual([10_000, 100_000]);
  });

  it('A8 a tick made by a clock that goes ahead has its place no earlier than it says', async () => {
    const process = await clocked();
    await start(process);
    const real = now;
    scheduler = new Scheduler({ database, signer: SCHEDULER, now: () => real });
    begin();
    open();
    await step(10);
    const [entry] = await scheduler.entries(process, 1, 1);
    expect(Number(tagOf(entry?.assignment as never, 'Timestamp'))).toBe(real + 10_000);
    expect(TickCheck.of((await scheduler.entries(process, 0, 1))[0] as ScheduleEntry).next(entry as never)).toBeNull();
  });

  it('I13 wait for a process that is behind, and leave the others alone', async () => {
    const [slow, fine] = [await clocked('1-second'), await clocked('1-second')];
    for (const process of [slow, fine]) await start(process);
    await database.query(
      'insert into progress (process, evaluated) select id, nonce - 101 from process where id = $1 on conflict (process) do update set evaluated = excluded.evaluated',
      [slow],
    );
    now += 3000;
    await database.query(
      'insert into progress (process, evaluated) select id, nonce from process where id = $1 on conflict (process) do update set evaluated = excluded.evaluated',
      [fine],
    );
    await monitors.tick();
    expect([await times(slow), await times(fine)]).toEqual([[], [3000]]);
    await step(1);
    expect([await times(slow), await times(fine)]).toEqual([[4000], [3000, 4000]]);
  });

  it('A1 A2 A13 only the wallet a process belongs to starts and stops them; of a spawned process, the wallet at the beginning', async () => {
    const process = await clocked();
    const entry = await said(process);
    await gave(entry, { Spawns: [spawn({ 'Cron-Interval': '1-second' })] });
    await messenger.deliver();
    const [child] = await spawnedBy(process);
    await start(process);
    for (const id of [process, child as string])
      for (const signer of [MALLORY, MESSENGER, SCHEDULER]) {
        await expect(start(id, signer)).rejects.toMatchObject({ code: 'not-owner' });
        await expect(stop(id, signer)).rejects.toMatchObject({ code: 'not-owner' });
      }
    await start(child as string);
    expect(await monitors.has(child as string)).toBe(true);
    // Who writes another's name into his own spawn has not begun there.
    const posed = await createItem(
      { tags: tags({ 'Data-Protocol': 'ao', Type: 'Process', Module: module, 'From-Process': process }), data: '' },
      MALLORY,
    );
    await scheduler.schedule(posed.raw);
    await expect(start(posed.id)).rejects.toMatchObject({ code: 'not-owner' });
    const forged = await signed(process);
    forged[40] = (forged[40] as number) ^ 1;
    await expect(monitors.end(process, forged)).rejects.toMatchObject({ code: 'bad-signature' });
    await expect(monitors.end(process, await signed(child as string))).rejects.toMatchObject({ code: 'wrong-process' });
    await expect(start(NOBODY)).rejects.toMatchObject({ code: 'unknown-process' });
    expect(await monitors.has(process)).toBe(true);
  });

  it('A6 A13 neither a message its owner once signed to a process nor the opposite request starts or stops its clocks', async () => {
    const process = await clocked();
    const by = async (pairs: Record<string, string>, data = '') =>
      (await createItem({ target: process, tags: tags(pairs), data }, ALICE)).raw;
    const request = (Type: string) => by({ 'Data-Protocol': 'ao', Type });
    const once = await by({ 'Data-Protocol': 'ao', Type: 'Message', Action: 'Info' });
    await scheduler.schedule(once);
    const others = [once, await by({ Action: 'Monitor' }), await by({}, 'Eval'), await by({})];
    const wrong = { code: 'wrong-request' };
    for (const raw of [...others, await request('Unmonitor')])
      await expect(monitors.start(process, raw)).rejects.toMatchObject(wrong);
    await monitors.start(process, await request('Monitor'));
    for (const raw of [...others, await request('Monitor')])
      await expect(monitors.end(process, raw)).rejects.toMatchObject(wrong);
    expect(await monitors.has(process)).toBe(true);
    await monitors.end(process, await request('Unmonitor'));
    expect(await monitors.has(process)).toBe(false);
    for (const raw of [await signed(process), await request('Monitor'), await request('Unmonitor')])
      await expect(scheduler.schedule(raw)).rejects.toMatchObject({ code: 'bad-type' });
  });

  it('A8 I13 120 clocks in one spawn are refused before any strikes', async () => {
    const many = Array.from({ length: 120 }, () => ({ name: 'Cron-Interval', value: '1-second' }));
    const item = await createItem(
      {
        anchor: next(),
        tags: [...tags({ 'Data-Protocol': 'ao', Type: 'Process', Module: module }), ...many],
        data: '',
      },
      ALICE,
    );
    await scheduler.schedule(item.raw);
    await expect(start(item.id)).rejects.toMatchObject({ code: 'too-often' });
    await step(2);
    expect(await times(item.id)).toEqual([]);
  });

  it('I13 A8 blocks and nonsense are refused with a reason; no clock is nothing to start; so many of one owner', async () => {
    await expect(start(await clocked('10-blocks'))).rejects.toMatchObject({ code: 'blocks' });
    await expect(start(await clocked('soon'))).rejects.toMatchObject({ code: 'bad-interval' });
    const plain = await born();
    await start(plain);
    expect(await monitors.has(plain)).toBe(false);
    await database.query(
      `with p as (select * from process where id = $1), made as (
         insert into process (id, module, item, nonce, assignment_id, hash_chain, timestamp)
         select 'p' || n, module, item, 0, 'a', 'h', 0 from p, generate_series(1, 100) as n returning id)
       insert into monitor select id, $2, 0, 9000000000000 from made`,
      [plain, ALICE.address],
    );
    await expect(start(await clocked())).rejects.toMatchObject({ code: 'too-many' });
  });
});

it('messages of a result are delivered again on demand: to who has come since, and not what was set aside', async () => {
  begin({ answers: 2 });
  const [a, b] = [await born(), await born()];
  const late = await createItem(
    { anchor: next(), tags: tags({ 'Data-Protocol': 'ao', Type: 'Process', Module: module }), data: '' },
    ALICE,
  );
  const entry = await said(a);
  await gave(entry, { Messages: [message(late.id), message(b), message(b), message(b), message('')] });
  await messenger.deliver();
  const again = (n: number) => messenger.deliverAgain(a, entry.nonce, n);
  await expect(again(0)).rejects.toMatchObject({ code: 'unknown-letter' });
  await scheduler.schedule(late.raw);
  await again(1); // has its place already
  for (const n of [4, 5]) await expect(again(n)).rejects.toMatchObject({ code: 'unknown-letter' });
  await expect(again(3)).rejects.toMatchObject({ code: 'final' }); // one answer too many
  await expect(again(0)).rejects.toMatchObject({ code: 'final' }); // this one by now as well
  await messenger.deliver();
  expect(await schedule(b)).toHaveLength(2);
  const other = await said(a);
  await gave(other, { Messages: [message(NOBODY)] });
  const [row] = await database.query('select 1 from outbox where nonce = $1', [other.nonce]);
  expect(row).toBeUndefined();
});

it('I13 A8 whoever asks for a delivery again neither hurries what waits nor gives it new tries; one tried in vain has one more', async () => {
  const [a, b] = [await born(), await born()];
  const entry = await said(a);
  await gave(entry, { Messages: [message(b)] });
  const failing = Object.assign(Object.create(scheduler) as Scheduler, {
    schedulePushed: () => Promise.reject(new Error('down')),
  });
  const broken = new Messenger(database, failing, MESSENGER);
  const row = async () => (await database.query('select state, attempts, due from outbox')) as unknown;
  for (let i = 0; i < 3; i += 1) {
    await database.query('update outbox set due = now()');
    await broken.deliver();
  }
  const before = await row();
  expect(before).toMatchObject([{ state: 'waiting', attempts: 3 }]);
  await broken.deliverAgain(a, entry.nonce, 0);
  await broken.deliver();
  expect(await row()).toEqual(before);
  await database.query(`update outbox set state = 'dead', reason = 'failed', attempts = 12`);
  await broken.deliverAgain(a, entry.nonce, 0);
  await broken.deliver();
  expect(await row()).toMatchObject([{ state: 'dead', attempts: 13 }]);
  await broken.stop();
});

it('I13 A11 processes that all answer each other come to an end by the root they share, and an operator lets the rest go', async () => {
  begin({ pushesOfRoot: 20 });
  const all = await Promise.all([born(), born(), born(), born()]);
  const done = new Map(all.map((process) => [process, 1]));
  const answerAll = async (): Promise<number> => {
    let count = 0;
    for (const process of all) {
      for (const entry of await scheduler.entries(process, done.get(process) ?? 1, 1000)) {
        await gave(entry, { Messages: all.filter((p) => p !== process).map((p) => message(p)) });
        done.set(process, entry.nonce + 1);
        count += 1;
      }
    }
    await messenger.deliver();
    return count;
  };
  await said(all[0] as string);
  for (let round = 0; (await answerAll()) > 0; round += 1) expect(round).toBeLessThan(30);
  const pushed = async () =>
    ((await database.query(`select count(*)::int as n from outbox where state = 'delivered'`)) as { n: number }[])[0]
      ?.n;
  expect(await pushed()).toBe(20);
  const letters = await dead();
  expect(new Set(letters.map((l) => [l.reason, l.releasable].join(' ')))).toEqual(new Set(['pushes true']));
  expect(letters.length).toBeLessThanOrEqual(21); // one a slot
  await messenger.release(letters[0]?.id as string);
  await messenger.deliver();
  expect(await pushed()).toBeGreaterThan(20);
  // Who is signed for anew begins anew.
  const fresh = await said(all[1] as string);
  const count = await pushed();
  await gave(fresh, { Messages: [message(all[0] as string)] });
  await messenger.deliver();
  expect(await pushed()).toBe((count ?? 0) + 1);
});

it('A13 whatever text a process or a user chooses, NUL and half characters too, its result can be stored', async () => {
  const [a, b] = [await born(), await born()];
  const odd = ['\0', 'x\0y', '\ud800', '\udc00x', '\0'.repeat(43)];
  const entry = await said(a, { 'From-Process': '\0', 'Pushed-For': '\0', 'Pushed-Hops': '\0' });
  await gave(entry, {
    Spawns: odd.flatMap((text) => [spawn({ Scheduler: text }), { ...spawn(), Tags: tags({ Module: text }) }]),
    Messages: odd.flatMap((text) => [
      message(text),
      message(b, { Assignments: JSON.stringify([text]) }),
      message(b, {}, text),
    ]),
    Assignments: odd.map((text) => ({ Processes: [text], Message: text })),
    Output: odd[0] as string,
  });
  await messenger.deliver();
  expect(new Set((await dead()).map((l) => l.reason))).toEqual(
    new Set(['foreign-scheduler', 'bad-item', 'bad-assignment']),
  );
  expect(JSON.stringify(await dead())).not.toMatch(/\\u0000|\\ud/);
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(...odd, b, module),
    fc.constantFrom('\udbff\udfff\ud800'),
  );
  const out = fc.record({
    Target: text,
    Anchor: text,
    Data: text,
    Tags: fc.array(fc.record({ name: fc.oneof(text, fc.constantFrom('Scheduler', 'Module', 'device')), value: text }), {
      maxLength: 4,
    }),
  });
  const state = new PublicState(database);
  await fc.assert(
    fc.asyncProperty(fc.array(out, { maxLength: 4 }), fc.array(out, { maxLength: 4 }), async (Messages, Spawns) => {
      const heard = await said(a);
      await gave(heard, { Messages, Spawns, Output: Messages[0]?.Data ?? '' });
      await database.transaction((manager) =>
        state.take(manager, [{ process: a, module, results: [{ entry: heard, result: result({ Messages }) }] }]),
      );
    }),
    { numRuns: 40 },
  );
});

describe('I12 what was delivered long ago is forgotten', () => {
  const rows = async () =>
    (
      (await database.query('select kind, nonce, position from outbox order by id')) as {
        kind: string;
        nonce: string;
        position: number;
      }[]
    ).map((r) => `${r.kind} ${r.nonce}.${r.position}`);
  const prune = (batch = 2) => new Pruning(database, () => undefined, 1000, batch).prune();
  const age = () => database.query(`update outbox set due = due - interval '1 hour'`);

  it('what its sender did too much of with it; never what the gateway failed to do, nor its slot; and nothing goes out twice for it', async () => {
    begin({ answers: 2 });
    const [a, b] = [await born(), await born()];
    const [first, second, third] = [await said(a), await said(a), await said(a)];
    await gave(first, { Messages: [message(b), message(b)] });
    await gave(second, { Messages: [message(b), message(b), message(b)] }); // the third is too much
    await messenger.deliver();
    expect(await prune()).toBe(0); // it is new
    await age();
    await gave(third, { Messages: [message(b)] });
    await database.query(`update outbox set reason = 'failed' where state = 'dead'`);
    await prune();
    expect(await rows()).toEqual(['message 2.0', 'message 2.1', 'message 2.2', 'message 3.0']);
    const sent = await schedule(b);
    // Asked for again long after: the slot is as old as what it sent.
    const late = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + KEPT_MS + 60_000);
    try {
      await expect(messenger.deliverAgain(a, first.nonce, 0)).rejects.toMatchObject({
        code: 'final',
        message: expect.stringMatching(/30 days/),
      });
    } finally {
      late.mockRestore();
    }
    await database.query(`update outbox set reason = 'answers' where state = 'dead'`);
    await messenger.releaseAll(a);
    await messenger.deliver();
    expect((await schedule(b)).slice(0, sent.length)).toEqual(sent);
    expect(await schedule(b)).toHaveLength(6);
    await gave(await said(a), { Messages: [message(b), message(b), message(b)] });
    await messenger.deliver();
    expect((await dead()).map((l) => l.reason)).toEqual(['answers']);
    await age();
    await prune();
    expect(await rows()).toEqual([]);
  });

  it('an assignment only once its target has evaluated it, by whom it knows on whose behalf it answers', async () => {
    const [a, b, c] = [await born(), await born(), await born()];
    const to = await said(c);
    await gave(await said(a), { Assignments: [{ Processes: [b], Message: to.message.id }] });
    await messenger.deliver();
    await age();
    const entry = await newest(b);
    await database.query('insert into progress (process, evaluated) values ($1, $2)', [b, entry.nonce - 1]);
    expect(await prune()).toBe(0);
    expect(entry.message.id).toBe(to.message.id);
    await gave(entry, { Messages: [message(c)] });
    const [answer] = (await database.query(`select root, hops from outbox where process = $1`, [b])) as unknown[];
    expect(answer).toMatchObject({ hops: 2 });
    await database.query('update progress set evaluated = $2 where process = $1', [b, entry.nonce]);
    expect(await prune()).toBe(1);
  });

  it('ticks stay, and counts of a process’ spawns; those of a root go when nothing came of it for as long', async () => {
    const [a, b] = [await born(), await born()];
    await gave(await said(a), { Messages: [message(b)], Spawns: [spawn()] });
    await database.query(
      `insert into outbox (process, kind, nonce, position, item_id, item, target, root, hops, state)
       values ($1, 'tick', 1000, 0, 'x', '', $1, 'x', 0, 'delivered')`,
      [a],
    );
    await age();
    expect(await prune(1)).toBe(0);
    const counted = async () => ({
      pushed: ((await database.query('select 1 from pushed')) as unknown[]).length,
      spawned: ((await database.query('select scope from spawned')) as { scope: string }[])
        .map((r) => r.scope)
        .toSorted(),
    });
    expect(await counted()).toEqual({ pushed: 2, spawned: ['process', 'root'] });
    await database.query(`update pushed set touched = now() - interval '1 hour'`);
    await database.query(`update spawned set touched = now() - interval '1 hour'`);
    expect(await prune(1)).toBe(3);
    expect(await counted()).toEqual({ pushed: 0, spawned: ['process'] });
    expect(await rows()).toContain('tick 1000.0');
  });
});

it('A1 A11 whatever a process asks for, what goes out is in its own name, on its beginning’s behalf, and no more than it asked', () => {
  const text = fc.oneof(fc.string(), fc.constantFrom(NOBODY, 'Data-Protocol', 'Assignments', 'From-Process', '["x"]'));
  const anything = fc.oneof(text, fc.anything(), fc.record({ Processes: fc.anything(), Message: fc.anything() }));
  const out = fc.record({
    Target: text,
    Anchor: text,
    Data: text,
    Tags: fc.array(fc.record({ name: text, value: text })),
  });
  fc.assert(
    fc.property(fc.array(out), fc.array(anything), (Messages, Assignments) => {
      const sent = sentBy(result({ Messages, Assignments }));
      const places = sent.map((s) => `${s.kind === 'malformed' ? 'assignment' : s.kind} ${s.position}`);
      expect(new Set(places).size).toBe(sent.length);
      for (const s of sent)
        if (s.kind === 'assignment') {
          expect(s.target).toMatch(/^[\w-]{43}$/);
          if (typeof s.message === 'string') expect(s.message).toMatch(/^[\w-]{43}$/);
        }
      expect(sentBy(result({ Messages, Assignments, Error: 'x' }))).toEqual([]);
    }),
  );
});
