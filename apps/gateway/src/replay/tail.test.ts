/**
 * A gateway's database is lost while slots that others have seen were not settled: from guardians' tails it goes on without a fork, and a
 * tail that is not what the scheduler has signed, slot after slot, is named and refused.
 */
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import {
  assign,
  ed25519Signer,
  moduleLine,
  parseItem,
  slotLine,
  tagOf,
  type Item,
  type ScheduleEntry,
} from '@isthmus/ao';
import { SettlementFinding } from '@isthmus/arweave';
import { devAccount } from '@isthmus/devnet';
import { Live, ReplayStage, SCHEDULER } from '../../replay-stage.js';
import { openTails } from './tail.js';

const COUNTER = 'local n = 0 function handle(msg) n = n + 1 ao.send({ Target = msg.From, Data = tostring(n) }) end';
const STRANGER = ed25519Signer(Buffer.alloc(32, 0x77));
let stage: ReplayStage;
let live: Live;
let token: string;
let late: string;
/** What guardians have: the token's schedule, and that of a process of which nothing was settled. */
let entries: ScheduleEntry[];
let lateEntries: ScheduleEntry[];
let module: Item;
let settled: number;
let files = 0;

beforeAll(async () => {
  stage = await ReplayStage.open();
  const own = await stage.token();
  token = own.spawn.id;
  live = await Live.open(stage, token);
  await live.send(own.module);
  await live.send(own.spawn);
  const deposit = async (amount: bigint): Promise<void> => {
    for (const item of await stage.deposited(token, devAccount(1).address, amount)) await live.send(item);
  };
  await deposit(100n);
  await live.settled(stage);
  settled = (await entriesOf(token)).length - 1;
  // From here on nothing is sealed any more.
  await deposit(20n);
  await deposit(3n);
  module = await stage.module(COUNTER);
  const spawn = await stage.item({ 'Data-Protocol': 'ao', Type: 'Process', Module: module.id }, 0);
  late = spawn.id;
  await live.send(module);
  await live.send(spawn);
  await live.send(await stage.message(late, { Action: 'Count' }));
  entries = await entriesOf(token);
  lateEntries = await entriesOf(late);
});
afterAll(async () => {
  await live.stop();
  await stage.close();
});

async function entriesOf(process: string): Promise<ScheduleEntry[]> {
  const rows: { nonce: string; item: Buffer; message: Buffer }[] = await live.database.query(
    'select nonce, item, message from assignment where process = $1 order by nonce',
    [process],
  );
  return rows.map((r) => ({
    process,
    nonce: Number(r.nonce),
    assignment: parseItem(r.item),
    message: parseItem(r.message),
  }));
}

function file(...lines: string[]): string {
  const name = path.join(stage.folder, `tail-${(files += 1)}.jsonl`);
  fs.writeFileSync(name, lines.join('\n'));
  return name;
}

async function rebuilt(...names: string[]) {
  return stage.rebuilt({ goOn: true, tails: await openTails(names) });
}

/** What a rebuild with this tail finds. */
async function found(...names: string[]): Promise<object> {
  return rebuilt(...names).then(
    () => ({ kind: 'nothing' }),
    (error: unknown) => {
      if (error instanceof SettlementFinding) return error.finding;
      throw error;
    },
  );
}

const broken = (item: Item): Item => {
  const raw = Buffer.from(item.raw);
  raw.writeUInt8(raw.readUInt8(9) ^ 1, 9); // of its signature
  return parseItem(raw);
};
const slots = (from: number, to?: number): string[] => entries.slice(from, to).map(slotLine);

it('tails of several are put together: each begins where the one before it ended, or is behind', async () => {
  const next = settled + 1;
  const { tail } = await rebuilt(file(...slots(next, next + 2)), file(...slots(0, next + 1)), file(...slots(next)));
  expect(tail).toEqual([{ process: token, from: next, to: entries.length - 1 }]);
});

it('a tail that has nothing new changes nothing', async () => {
  expect((await rebuilt(file(...slots(0, settled + 1)))).tail).toEqual([]);
  expect((await rebuilt(file(''))).tail).toEqual([]);
});

describe('B a tail that is not as the scheduler signed it is named, and refused', () => {
  const next = () => settled + 1;

  it('missing-slot: a gap, in it or before it', async () => {
    const gap = { kind: 'missing-slot', process: token, slot: next() };
    const name = file(...slots(next() + 1));
    expect(await found(name)).toMatchObject({ ...gap, message: expect.stringContaining(name) as string });
    const inside = file(...slots(next(), next() + 1), ...slots(next() + 2));
    expect(await found(inside)).toMatchObject({ kind: 'missing-slot', slot: next() + 1 });
  });

  it('forged: a message or an assignment that its author has not signed, or another scheduler', async () => {
    const entry = entries[next()] as ScheduleEntry;
    const { item: other } = await assign(token, entry.message.id, null, { timestamp: 1, blockHeight: 0 }, STRANGER);
    for (const [what, bad] of [
      ['message', { ...entry, message: broken(entry.message) }],
      ['assignment', { ...entry, assignment: broken(entry.assignment) }],
    ] as const)
      expect(await found(file(slotLine(bad)))).toMatchObject({
        kind: 'forged',
        slot: next(),
        message: expect.stringContaining(`The ${what} of slot`) as string,
      });
    const line = JSON.parse(slotLine(entry)) as object;
    const theirs = JSON.stringify({ ...line, assignment: other.raw.toString('base64url') });
    expect(await found(file(...slots(next(), next() + 1), theirs))).toMatchObject({ kind: 'forged' });
  });

  it('forked-schedule: the scheduler has signed another message for a slot that was settled, or that another tail has', async () => {
    const [before, last] = [entries[settled - 1] as ScheduleEntry, entries[settled] as ScheduleEntry];
    const head = (entry: ScheduleEntry) => ({
      nonce: entry.nonce,
      assignmentId: entry.assignment.id,
      hashChain: tagOf(entry.assignment, 'Hash-Chain'),
      timestamp: Number(tagOf(entry.assignment, 'Timestamp')),
    });
    const message = await stage.message(token, { Action: 'Info' });
    const moment = { timestamp: Number(tagOf(entries.at(-1)?.assignment as Item, 'Timestamp')), blockHeight: 0 };
    const another = async (after: ScheduleEntry): Promise<string> => {
      const { item } = await assign(token, message.id, head(after), moment, SCHEDULER);
      return slotLine({ assignment: item, message });
    };
    expect(await found(file(await another(before)))).toMatchObject({ kind: 'forked-schedule', slot: settled });
    const two = [file(...slots(next())), file(await another(last))];
    expect(await found(...two)).toMatchObject({ kind: 'forked-schedule', slot: next() });
    // Alone it is a history like any other: what the scheduler has signed.
    expect(await found(two[1] ?? '')).toEqual({ kind: 'nothing' });
  });

  it('broken-chain, doubled and missing-module: the hash chain, a message twice, a spawn whose module nobody shows', async () => {
    const after = entries[next()] as ScheduleEntry;
    const moment = { timestamp: Number(tagOf(after.assignment, 'Timestamp')), blockHeight: 0 };
    const head = {
      nonce: settled,
      assignmentId: entries[settled]?.assignment.id ?? '',
      hashChain: tagOf(entries[settled]?.assignment as Item, 'Hash-Chain'),
      timestamp: 0,
    };
    const { item } = await assign(token, after.message.id, { ...head, hashChain: 'x'.repeat(43) }, moment, SCHEDULER);
    expect(await found(file(slotLine({ assignment: item, message: after.message })))).toMatchObject({
      kind: 'broken-chain',
      slot: next(),
    });
    const { message } = entries[settled] as ScheduleEntry;
    const again = await assign(token, message.id, head, moment, SCHEDULER);
    expect(await found(file(slotLine({ assignment: again.item, message })))).toMatchObject({
      kind: 'doubled',
      bundle: null,
      process: token,
      slot: next(),
    });
    expect(await found(file(...lateEntries.map(slotLine)))).toMatchObject({ kind: 'missing-module', process: late });
    expect(await found(file(moduleLine(broken(module).raw)))).toMatchObject({ kind: 'forged' });
  });
});

describe('what is no tail, or cannot be had', () => {
  it.each([
    ['nothing of the kind', /A line of a tail is/],
    ['{"assignment":"AAAA","message":"AAAA"}', /cannot be read/],
    ['[]', /A line of a tail is/],
  ])('%s', async (line, message) => {
    await expect(rebuilt(file(line))).rejects.toMatchObject({
      code: 'bad-tail',
      message: expect.stringMatching(message) as string,
    });
  });

  it('a line without an end is given up', async () => {
    await expect(rebuilt(file('x'.repeat(29 * 1024 * 1024)))).rejects.toMatchObject({ code: 'bad-tail' });
  });

  it('is known before anything is rebuilt, and has a database to go on with', async () => {
    await expect(openTails(['http://127.0.0.1:1'])).rejects.toMatchObject({ code: 'bad-tail' });
    await expect(openTails([path.join(stage.folder, 'none')])).rejects.toMatchObject({ code: 'bad-request' });
    const tails = await openTails([file(...slots(0))]);
    await expect(stage.rebuilt({ tails })).rejects.toMatchObject({ code: 'bad-request' });
  });

  it('a guardian that shows less than it says it has, or the same for ever', async () => {
    const pages: string[][] = [];
    const server = http.createServer(({ url }, response) => {
      if (url === '/tail') return response.end(JSON.stringify([{ process: token, slot: entries.length + 5 }]));
      return response.end((pages.shift() ?? []).map((line) => `${line}\n`).join(''));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    pages.push(slots(settled));
    await expect(rebuilt(url)).rejects.toMatchObject({ code: 'bad-tail' });
    pages.push(slots(settled), slots(settled), slots(settled));
    await expect(rebuilt(url)).rejects.toMatchObject({ code: 'bad-tail' });
    await new Promise((resolve) => server.close(resolve));
  });
});

// The last: what it settles is on Arweave then.
it('I11 I12 slots that were not settled are there again, in their places; the gateway goes on behind them and settles them', async () => {
  const lines = [...slots(0), moduleLine(module.raw), ...lateEntries.map(slotLine)];
  const url = await stage.cluster.fresh();
  const database = await stage.database(url);
  const { tail } = await stage.rebuilt({ goOn: true, database, tails: await openTails([file(...lines)]) });
  expect(tail).toEqual(
    [
      { process: token, from: settled + 1, to: entries.length - 1 },
      { process: late, from: 0, to: 1 },
    ].sort((a, b) => (a.process < b.process ? -1 : 1)),
  );
  const schedules = `select process, nonce, id, item, message from assignment where process = any($1) order by process, nonce`;
  expect(await database.query(schedules, [[token, late]])).toEqual(
    await live.database.query(schedules, [[token, late]]),
  );
  const again = await Live.open(stage, token, url);
  for (const item of await stage.deposited(token, devAccount(1).address, 4n)) await again.send(item);
  await again.settled(stage);
  const [head]: { nonce: string }[] = await again.database.query('select nonce from process where id = $1', [token]);
  expect(Number(head?.nonce)).toBe(entries.length + 1);
  const state = await again.state.at();
  expect(state.assets).toEqual([expect.objectContaining({ minted: 127n })]);
  await again.stop();
});
