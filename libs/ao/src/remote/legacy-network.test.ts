/** A replica on AO's public units: what they show as fields is put together as it was signed, and what is not so is refused. */
import { Replica, type ReplicaStore } from '../compute/replica.js';
import { WorkerPool } from '../compute/worker-pool.js';
import { createItem, ed25519Signer, ethereumSigner } from '../items/index.js';
import type { Item, ScheduleEntry } from '../types.js';
import { anchored, PublicUnits } from './harness.js';
import { tagList, tagOf } from '../items/tags.js';
import { LegacyNetwork } from './legacy-network.js';

const ALICE = ethereumSigner(`0x${'5'.repeat(64)}`);
const SAYS = `function handle(msg) ao.send({ Target = "t", Data = msg.Target == ao.id and #msg.Data .. " " .. msg.From or "other" }) end`;
const MESSAGE = tagList({ 'Data-Protocol': 'ao', Type: 'Message', Variant: 'ao.TN.1' });

const PAGE_BYTES = 100_000;

let units: PublicUnits;
let workers: WorkerPool;
let module: Item;
let kept: ScheduleEntry[];
let seen: string[];

beforeAll(async () => {
  units = await PublicUnits.open();
  const format = tagList({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' });
  module = await createItem({ tags: format, data: SAYS }, ALICE);
});
afterAll(() => units.close());
beforeEach(async () => {
  workers = new WorkerPool(1);
  units.slots.length = 0;
  units.asked.length = 0;
  units.settled.clear();
  units.settled.set(module.id, module);
  units.lie = (_, answer) => answer;
  [kept, seen] = [[], []];
  const spawn = { 'Data-Protocol': 'ao', Type: 'Process', Module: module.id };
  await units.place(await createItem({ tags: tagList(spawn), data: '' }, ALICE));
});
afterEach(() => workers.stop());

const store: ReplicaStore = {
  head: () => {
    const last = kept.at(-1);
    if (!last) return Promise.resolve(null);
    const { nonce, assignment } = last;
    const [hashChain, timestamp] = [tagOf(assignment, 'Hash-Chain'), Number(tagOf(assignment, 'Timestamp'))];
    return Promise.resolve({ nonce, assignmentId: assignment.id, hashChain, timestamp });
  },
  entries: (_, from, limit) => Promise.resolve(kept.slice(from, from + limit)),
  has: (_, ids) => Promise.resolve(new Set(kept.map((e) => e.message.id).filter((id) => ids.includes(id)))),
  append: (_, entries) => Promise.resolve(void kept.push(...entries)),
  module: () => Promise.resolve(null),
  saveModule: () => Promise.resolve(),
};
const replica = (scheduler = units.signer.address) =>
  new Replica({
    process: units.process,
    scheduler,
    store,
    workers,
    network: new LegacyNetwork(units.urls, PAGE_BYTES),
    onResult: (_, result) => void seen.push(result.Error ?? result.Messages[0]?.Data ?? ''),
  });
const say = async (data: string | Buffer, signer = ALICE): Promise<Item> => {
  const item = await createItem({ target: units.process, tags: MESSAGE, data }, signer);
  await units.place(item);
  return item;
};

it('follows a schedule that an RSA key signs, whatever the messages are', async () => {
  const bob = ed25519Signer(Buffer.alloc(32, 7));
  await say('hello');
  await say('ünïcode', bob);
  const binary = await say(Buffer.from([0xff, 0, 0xfe]));
  const odd = await anchored(ALICE, {
    target: units.process,
    anchor: Buffer.alloc(32, 0xee),
    tags: MESSAGE,
    data: Buffer.from('anchored'),
  });
  await units.place(odd);
  const text = await anchored(bob, { target: units.process, anchor: Buffer.from('7'.repeat(32)), tags: [] });
  await units.place(text);
  const elsewhere = await createItem({ target: 'B'.repeat(43), tags: MESSAGE, data: 'to another' }, bob);
  await units.place(elsewhere, true);
  for (const item of [binary, odd, elsewhere]) units.settled.set(item.id, item);

  expect(await replica().sync()).toBe(7);
  expect(seen.slice(1)).toEqual([
    `5 ${ALICE.address}`,
    `9 ${bob.address}`,
    expect.stringContaining(ALICE.address) as string,
    `8 ${ALICE.address}`,
    `0 ${bob.address}`,
    'other',
  ]);
  expect(kept.map((e) => e.message.raw)).toEqual(units.slots.map((s) => s.message.raw));
  expect(kept.map((e) => e.assignment.raw)).toEqual(units.slots.map((s) => s.assignment.raw));
});

it('goes on from its head, in pages as small as the unit’s answers must be', async () => {
  await say('1');
  const one = replica();
  expect(await one.sync()).toBe(2);
  for (let i = 0; i < 5; i += 1) await say(`more ${i}`);
  // Answers that are too long until few entries are asked for.
  units.lie = (path, answer) =>
    Number(new URLSearchParams(path.split('?')[1]).get('limit')) > 3 ? Buffer.alloc(PAGE_BYTES + 1) : answer;
  expect(await one.sync()).toBe(5);
  expect(await one.sync()).toBe(0);
  expect(units.asked.filter((p) => /limit=[23]$/.test(p))).not.toEqual([]);
  expect(seen).toHaveLength(7);
});

const change =
  (edit: (node: { message: Record<string, unknown>; assignment: Record<string, unknown> }) => void) =>
  (path: string, answer: string | Buffer | null) => {
    if (!path.includes('process-id') || answer === null) return answer;
    const page = JSON.parse(answer.toString()) as { edges: { node: Parameters<typeof edit>[0] }[] };
    const last = page.edges.at(-1);
    if (last) edit(last.node);
    return JSON.stringify(page);
  };

it.each<[string, string, PublicUnits['lie']]>([
  ['another message', 'bad-signature', change((n) => (n.message['data'] = 'bye'))],
  [
    'a message in another’s name',
    'bad-signature',
    change(
      (n) =>
        (n.message['owner'] = {
          key: Buffer.from(ethereumSigner(`0x${'6'.repeat(64)}`).publicKey).toString('base64url'),
        }),
    ),
  ],
  ['an assignment of another anchor', 'bad-signature', change((n) => (n.assignment['anchor'] = 'x'.repeat(32)))],
  ['a message under another’s id', 'malformed', change((n) => (n.message['id'] = 'x'.repeat(43)))],
  ['a key of no kind', 'malformed', change((n) => (n.message['owner'] = { key: 'AAAA' }))],
  ['no schedule', 'malformed', () => '{"edges":[{}]}'],
  ['no JSON', 'malformed', () => '<html>'],
  ['nothing', 'unreachable', () => null],
])('A12 %s is refused', async (_, code, lie) => {
  await say('hello');
  units.lie = lie;
  const one = replica();
  await expect(one.sync()).rejects.toMatchObject({ code });
  expect(kept).toEqual([]);
  units.lie = (__, answer) => answer;
  expect(await one.sync()).toBe(2);
});

it('A12 a schedule of another scheduler, or with another history, is refused', async () => {
  await say('hello');
  await expect(replica(ALICE.address).sync()).rejects.toMatchObject({ code: 'wrong-scheduler' });
  const one = replica();
  expect(await one.sync()).toBe(2);
  units.slots.pop();
  await say('another');
  await expect(one.sync()).rejects.toMatchObject({ code: 'fork' });
});

it('what is assigned and shown by nobody stops it until it is shown', async () => {
  const item = await createItem({ target: 'B'.repeat(43), tags: MESSAGE, data: 'x' }, ALICE);
  await units.place(item, true);
  const one = replica();
  await expect(one.sync()).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining(item.id) as string,
  });
  units.settled.set(item.id, { ...item, data: Buffer.from('y') });
  await expect(one.sync()).rejects.toMatchObject({ code: 'bad-signature' });
  units.settled.set(item.id, item);
  expect(await one.sync()).toBe(2);
});

it('A12 a module of other bytes is refused, and a unit that is away for a moment is asked again', async () => {
  units.settled.set(module.id, { ...module, data: Buffer.from('function handle() end') });
  await expect(replica().sync()).rejects.toMatchObject({ code: 'wrong-module' });
  units.settled.set(module.id, module);
  kept = [];
  let failures = 0;
  units.lie = (path, answer) => (path.startsWith('/raw') && (failures += 1) < 3 ? 'cut' : answer);
  expect(await replica().sync()).toBe(1);
  expect(failures).toBe(3);
});

it('shows a spawn the gateway does not have yet, and sends bytes as they were signed', async () => {
  const network = new LegacyNetwork(units.urls);
  expect((await network.item(units.process))?.raw).toEqual(units.slots[0]?.message.raw);
  expect(await network.item('C'.repeat(43))).toBeNull();
  const item = await createItem({ target: units.process, tags: MESSAGE, data: 'x' }, ALICE);
  await network.send(item);
  expect(units.sent.at(-1)).toEqual(item.raw);
  units.lie = () => null;
  await expect(network.send(item)).rejects.toMatchObject({ code: 'refused', status: 404 });
});
