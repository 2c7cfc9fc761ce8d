/** I11: everything again from Arweave alone is what the live gateway has, byte for byte; what is wrong with what was settled is named. */
import fs from 'node:fs';
import path from 'node:path';
import { projectRoot } from '@isthmus/store';
import { indexLine } from '@isthmus/arweave';
import { devAccount } from '@isthmus/devnet';
import type { DataSource } from 'typeorm';
import { Live, ReplayStage } from '../../replay-stage.js';
import { StateStore } from '../state/state-store.js';
import { assertWhole } from './rebuilt.js';

let stage: ReplayStage;
let live: Live;
let token: string;
let counter: string;

beforeAll(async () => {
  stage = await ReplayStage.open();
  const { module, spawn } = await stage.token();
  token = spawn.id;
  live = await Live.open(stage, token);
  await live.send(module);
  await live.send(spawn);
  const js = await stage.module(
    fs.readFileSync(path.join(projectRoot(), 'contracts/js/counter.js')),
    'isthmus-js-quickjs',
  );
  await live.send(js);
  const counters = [
    await stage.item({ 'Data-Protocol': 'ao', Type: 'Process', Module: js.id }, 0),
    await stage.item({ 'Data-Protocol': 'ao', Type: 'Process', Module: js.id, N: '2' }, 0),
  ];
  for (const one of counters) await live.send(one);
  counter = counters[0]?.id ?? '';
  await load(counters[1]?.id ?? '');
  await live.settled(stage);
});
afterAll(async () => {
  await live.stop();
  await stage.close();
});

/** Deposits, transfers, withdrawals in every state; pushes between processes; failures. */
async function load(other: string): Promise<void> {
  const [alice, bob] = [devAccount(1).address, devAccount(2).address];
  const rounds: Promise<void>[] = [];
  for (let i = 0; i < 3; i += 1) for (const item of await stage.deposited(token, alice, 10_000n)) await live.send(item);
  for (const item of await stage.deposited(token, bob, 500n, [0])) await live.send(item); // not minted yet
  for (let i = 0; i < 60; i += 1) {
    rounds.push(live.send(await stage.message(token, { Action: 'Transfer', Recipient: bob, Quantity: String(i + 1) })));
    rounds.push(live.send(await stage.message(counter, { Action: i % 3 === 0 ? 'Forward' : 'Increment', To: other })));
  }
  await Promise.all(rounds);
  await live.checkpoint(token);
  await live.settled(stage);
  for (let i = 0; i < 4; i += 1)
    await live.send(
      await stage.message(token, { Action: 'Withdraw', Quantity: '100', Recipient: alice, 'Max-Fee': '10' }),
    );
  for (const item of await stage.released(token, 1n)) await live.send(item);
  await live.send((await stage.released(token, 2n))[0] as never);
  await live.send(await stage.message(token, { Action: 'Withdraw', Quantity: '1', Recipient: 'nobody' })); // fails
}

async function indexOf(database: DataSource, slots: Map<string, number>): Promise<string[]> {
  const lines: string[] = [];
  for await (const transfer of new StateStore(database).transfers(slots)) lines.push(indexLine(transfer));
  return lines;
}

describe('I11 rebuilt from Arweave alone', () => {
  it('state, index, schedules and results are the live ones, byte for byte', async () => {
    const rebuilt = await stage.rebuilt();
    const now = await live.state.at();
    expect(now.processes).toHaveLength(3);
    expect(now.assets).toEqual([
      expect.objectContaining({ process: token, minted: 30_000n, burned: 400n, released: 100n }),
    ]);
    expect(rebuilt.state).toEqual(now);
    const slots = new Map(now.processes.map((p) => [p.process, p.slot]));
    const index = await indexOf(live.database, slots);
    expect(index).toHaveLength(7);
    expect(await indexOf(rebuilt.database, slots)).toEqual(index);
    for (const rows of [
      'select process, nonce, id, message_id, timestamp, item, message from assignment order by process, nonce',
      'select process, nonce, message_id, outcome, failed from result order by process, nonce',
      'select id, module, item, nonce, assignment_id, hash_chain, timestamp, evaluated from computed_process order by id',
      'select id, format, item from module order by id',
      'select id, item from item order by id',
      'select sequence, seal_id, seal, sha256, bytes, item_bytes, items, slots, carrier from settlement_bundle order by sequence',
      'select * from settlement_range order by process, first',
      'select * from settlement_item order by sequence, position',
      'select process, next, checkpoint from settlement_progress order by process',
      'select id, state, amount, fee, number, release_tx from transfer order by id',
      'select transfer, key, kind, proof, at from transfer_step order by transfer, key',
      'select * from asset_total order by process, nonce',
      `select indexdef from pg_indexes where tablename = 'assignment' order by indexname`,
    ])
      expect([rows, await rebuilt.database.query(rows)]).toEqual([rows, await live.database.query(rows)]);
  });

  it('from the newest checkpoints it comes to the same state, and evaluates less', async () => {
    const whole = await live.state.at();
    const rebuilt = await stage.rebuilt({ checkpoint: true });
    expect(rebuilt.state.state).toBe(whole.state);
    expect(rebuilt.evaluated).toBeLessThan(rebuilt.slots);
  });

  it('as of an earlier seal both tell what was known by then', async () => {
    const { sequence } = await live.state.at();
    expect(sequence).toBeGreaterThan(1);
    const rebuilt = await stage.rebuilt({ upTo: sequence - 1 });
    expect(rebuilt.state).toEqual(await live.state.at(sequence - 1));
    expect(rebuilt.state.state).not.toBe((await live.state.at()).state);
  });
});

it('what is not settled is not there; who asks for many seals at once is asked to wait', async () => {
  const nothing = new StateStore(await stage.database());
  await expect(nothing.at()).rejects.toMatchObject({ code: 'nothing-settled' });
  await expect(live.state.at(1000)).rejects.toMatchObject({ code: 'unknown-seal' });
  const asked = await Promise.allSettled(Array.from({ length: 9 }, () => live.state.at()));
  expect(asked.map((a) => a.status)).toEqual([...Array.from({ length: 8 }, () => 'fulfilled'), 'rejected']);
  expect((asked[8] as PromiseRejectedResult).reason).toMatchObject({ code: 'busy' });
});

describe('I11 I12 a gateway whose database was dropped goes on from Arweave', () => {
  it('nothing is lost or doubled: schedules, messages between processes, and settlement go on where the last seal ends', async () => {
    const before = await live.state.at();
    const url = await stage.cluster.fresh();
    const { database } = await stage.rebuilt({ goOn: true, database: await stage.database(url) });
    const sent =
      'select process, kind, nonce, position, item_id, target, root, hops, state from outbox order by process, kind, nonce, position';
    const delivered: object[] = await live.database.query(sent);
    expect(delivered.length).toBeGreaterThan(10);
    expect(await database.query('select count(*)::int as n from outbox')).toEqual([{ n: 0 }]);
    const again = await Live.open(stage, token, url);
    expect(await again.database.query(sent)).toEqual(delivered);
    await again.settled(stage);
    expect((await again.state.at()).state).toBe(before.state);
    for (const item of await stage.deposited(token, devAccount(3).address, 77n)) await again.send(item);
    await again.send(await stage.message(counter, { Action: 'Forward', To: counter }));
    await again.settled(stage);
    const after = await again.state.at();
    expect(after.sequence).toBeGreaterThan(before.sequence);
    expect(after.assets).toEqual([expect.objectContaining({ minted: 30_077n })]);
    expect((await stage.rebuilt()).state).toEqual(after);
    await again.stop();
  });

  it('a database that is not empty, or whose rebuild has not ended, is refused', async () => {
    const database = await stage.database();
    await database.query('insert into rebuilt default values');
    await expect(stage.rebuilt({ database })).rejects.toMatchObject({ code: 'not-empty' });
    await expect(assertWhole(database)).rejects.toThrow(/has not ended/);
    await expect(stage.rebuilt({ database: live.database })).rejects.toMatchObject({ code: 'not-empty' });
    await expect(stage.rebuilt({ goOn: true, checkpoint: true })).rejects.toMatchObject({ code: 'bad-request' });
    await expect(assertWhole(live.database)).resolves.toBeUndefined();
  });
});
