/**
 * I11, I12: what a process had sent and nobody had placed when the database was lost is placed by the rebuilt gateway, once: it is in no table
 * that Arweave has, and follows from the results.
 */
import fs from 'node:fs';
import path from 'node:path';
import { moduleLine, parseItem, slotLine, type Item } from '@isthmus/ao';
import { projectRoot } from '@isthmus/store';
import { Live, ReplayStage } from '../../replay-stage.js';
import { openTails } from './tail.js';

let stage: ReplayStage;
let live: Live;
let module: Item;
/** One that has the other count, and is told the count. */
let asking: string;
let counting: string;

beforeAll(async () => {
  stage = await ReplayStage.open();
  const token = await stage.token();
  live = await Live.open(stage, token.spawn.id);
  module = await stage.module(
    fs.readFileSync(path.join(projectRoot(), 'contracts/js/counter.js')),
    'isthmus-js-quickjs',
  );
  const [one, other] = [await spawn('1'), await spawn('2')];
  for (const item of [token.module, token.spawn, module, one, other]) await live.send(item);
  [asking, counting] = [one.id, other.id];
  await live.settled(stage);
});
afterAll(async () => {
  await live.stop();
  await stage.close();
});

const spawn = (n: string): Promise<Item> =>
  stage.item({ 'Data-Protocol': 'ao', Type: 'Process', Module: module.id, N: n }, 0);
const forward = async (): Promise<void> => live.send(await stage.message(asking, { Action: 'Forward', To: counting }));

/** The gateway from here on delivers nothing. @returns what waits to be delivered once a message was forwarded */
async function undelivered(): Promise<{ id: string; raw: Buffer }> {
  await live.pipeline.messenger.stop();
  await forward();
  await live.pipeline.compute.advance(asking);
  const waiting: { item_id: string; target: string; item: Buffer }[] = await live.database.query(
    `select item_id, target, item from outbox where state = 'waiting'`,
  );
  expect(waiting).toEqual([expect.objectContaining({ target: counting })]);
  return { id: waiting[0]?.item_id ?? '', raw: waiting[0]?.item ?? Buffer.alloc(0) };
}

/** Loses the database: another, made from Arweave and these tails, takes its place. */
async function lose(...tails: string[]): Promise<void> {
  const { token } = live;
  await live.stop();
  const url = await stage.cluster.fresh();
  const database = await stage.database(url);
  await stage.rebuilt({ goOn: true, database, tails: await openTails(tails) });
  await database.destroy();
  live = await Live.open(stage, token, url);
}

/** Everything in the schedule of a process behind its spawn, in order. */
async function scheduled(process: string): Promise<string[]> {
  const rows: { message_id: string }[] = await live.database.query(
    'select message_id from assignment where process = $1 and nonce > 0 order by nonce',
    [process],
  );
  return rows.map((r) => r.message_id);
}

async function tail(...processes: string[]): Promise<string> {
  const rows: { item: Buffer; message: Buffer }[] = await live.database.query(
    'select item, message from assignment where process = any($1) order by process, nonce',
    [processes],
  );
  const lines = rows.map((r) => slotLine({ assignment: parseItem(r.item), message: parseItem(r.message) }));
  const file = path.join(stage.folder, 'tail.jsonl');
  fs.writeFileSync(file, [moduleLine(module.raw), ...lines].join('\n'));
  return file;
}

it('its delivery was pending: it is placed once, as the same item, and no more when the gateway starts again', async () => {
  const sent = await undelivered();
  await live.sealed(stage);
  expect(await scheduled(counting)).toEqual([]);
  await lose();
  await live.settled(stage);
  expect(await scheduled(counting)).toEqual([sent.id]);
  expect(await scheduled(asking)).toHaveLength(2); // the message that was forwarded, and the count
  await lose(); // what was pending is on Arweave now, with its place
  await live.settled(stage);
  expect(await scheduled(counting)).toEqual([sent.id]);
  expect(await scheduled(asking)).toHaveLength(2);
});

it('it was placed, not sealed and not marked as delivered: a tail has its place, and it is not placed again; its own answer is, once', async () => {
  const before = await scheduled(counting);
  const sent = await undelivered();
  await live.sealed(stage);
  await live.pipeline.scheduler.schedulePushed(sent.raw);
  await live.pipeline.compute.advance(counting);
  const answers = await scheduled(asking);
  const [{ n: waiting } = { n: 0 }]: { n: number }[] = await live.database.query(
    `select count(*)::int as n from outbox where state = 'waiting'`,
  );
  expect(waiting).toBe(2); // the message itself, and the count nobody was told
  await lose(await tail(asking, counting));
  await live.settled(stage);
  expect(await scheduled(counting)).toEqual([...before, sent.id]);
  const now = await scheduled(asking);
  expect([now.slice(0, -1), new Set(now).size]).toEqual([answers, answers.length + 1]);
  expect((await stage.rebuilt()).state).toEqual(await live.state.at());
});

it('it was placed behind the last seal and nobody kept that: it is placed once again, as the same item', async () => {
  const before = await scheduled(counting);
  const sent = await undelivered();
  await live.sealed(stage);
  await live.pipeline.scheduler.schedulePushed(sent.raw);
  expect(await scheduled(counting)).toEqual([...before, sent.id]);
  await lose();
  await live.settled(stage);
  expect(await scheduled(counting)).toEqual([...before, sent.id]);
});
