/** The units over real HTTP: AO's own client, unmodified, and requests no client would make. */
import { connect, createDataItemSigner } from '@permaweb/aoconnect';
import { testWallet } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { UnitsStage } from '../../harness.js';
import {
  AoPipeline,
  arweaveSigner,
  createItem,
  decodeBundle,
  ed25519Signer,
  IsthmusNetwork,
  ethereumSigner,
  Replica,
  WorkerPool,
  type Item,
  type ReplicaStore,
  type ScheduleEntry,
  type Signer,
} from '../index.js';

const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const COUNTER = `
local n = 0
function handle(msg)
  if msg.Id == ao.id then return end
  if msg.Tags.Action == "Fail" then error("on purpose") end
  n = n + 1
  ao.send({ Target = msg.From, Data = tostring(n), Action = "Counted" })
end`;

/** The part of the client used here; its own types say `any`. */
interface Client {
  spawn(a: object): Promise<string>;
  message(a: object): Promise<string>;
  result(a: object): Promise<{ Messages: { Target: string; Data: string }[]; Error?: string }>;
  results(a: object): Promise<{
    edges: { cursor: string; node: { Messages: { Data: string }[] } }[];
  }>;
  dryrun(a: object): Promise<{ Messages: { Data: string }[] }>;
}

let stage: UnitsStage;
let database: DataSource;
let pipeline: AoPipeline;
let url: string;
let module: Item;
let client: Client;

/** An Ethereum key as a signer of the client. */
const etherSigner = (signer: Signer) => async (create: (key: object) => Promise<Uint8Array>) => ({
  signature: await signer.sign(await create({ publicKey: signer.publicKey, type: 3 })),
  address: signer.address,
});
const post = (path: string, body: Uint8Array | string) =>
  fetch(`${url}${path}`, { method: 'POST', body, headers: { 'content-type': 'application/octet-stream' } });
const get = async (path: string) => (await fetch(`${url}${path}`)).json() as Promise<Record<string, never>>;
const spawn = () =>
  client.spawn({ module: module.id, scheduler: SCHEDULER.address, signer: etherSigner(ALICE), tags: [] });
let anchor = 0;
const send = (process: string, action = 'Count', signer: unknown = etherSigner(ALICE)) =>
  client.message({
    process,
    signer,
    anchor: String((anchor += 1)).padStart(32, '0'),
    tags: [{ name: 'Action', value: action }],
    data: 'x',
  });

beforeAll(async () => {
  stage = await UnitsStage.open({ schedulerSigner: SCHEDULER, messengerSigner: MESSENGER });
  ({ database, pipeline, url } = stage);
  client = connect({
    MODE: 'legacy',
    MU_URL: `${url}/mu`,
    CU_URL: `${url}/cu`,
    GATEWAY_URL: url,
    noLog: true,
  } as never) as unknown as Client;
  module = await createItem(
    {
      tags: Object.entries({
        'Data-Protocol': 'ao',
        Type: 'Module',
        'Module-Format': 'isthmus-lua-5.4',
        'Input-Encoding': 'JSON-1',
        'Output-Encoding': 'JSON-1',
        'Memory-Limit': '256-mb',
        'Compute-Limit': '1',
      }).map(([name, value]) => ({ name, value })),
      data: COUNTER,
    },
    ALICE,
  );
  expect((await post('/mu', module.raw)).status).toBe(202);
});
afterAll(() => stage.close());

it('serves AO’s own client, with Ethereum keys and with Arweave wallets', async () => {
  const jwk = testWallet();
  const process = await spawn();
  const one = await send(process);
  const two = await send(process, 'Count', createDataItemSigner(jwk));
  const failing = await send(process, 'Fail');
  expect((await client.result({ process, message: one })).Messages[0]).toMatchObject({
    Target: ALICE.address,
    Data: '1',
  });
  const wallet = arweaveSigner(jwk).address;
  expect((await client.result({ process, message: two })).Messages[0]).toMatchObject({ Target: wallet, Data: '2' });
  await expect(client.result({ process, message: failing })).resolves.toMatchObject({
    Error: expect.stringContaining('on purpose'),
    Messages: [],
  });
  expect((await client.dryrun({ process, tags: [{ name: 'Action', value: 'Count' }] })).Messages[0]?.Data).toBe('3');
  expect((await client.dryrun({ process, tags: [{ name: 'Action', value: 'Count' }] })).Messages[0]?.Data).toBe('3');
  const newest = await client.results({ process, sort: 'DESC', limit: 3 });
  expect(newest.edges.map((e) => e.node.Messages[0]?.Data)).toEqual([undefined, '2', '1']);
  expect(await get(`/cu/results/${process}?sort=DESC&limit=3`)).toMatchObject({ pageInfo: { hasNextPage: true } });
  expect(await get(`/cu/results/${process}?sort=DESC&limit=4`)).toMatchObject({ pageInfo: { hasNextPage: false } });
  const first = await client.results({ process, sort: 'ASC', limit: 2 });
  const rest = await client.results({ process, sort: 'ASC', from: first.edges[1]?.cursor });
  expect(rest.edges.map((e) => e.node.Messages[0]?.Data)).toEqual(['2', undefined]);
});

it('shows schedules as AO’s scheduler units do', async () => {
  const process = await spawn();
  const ids = [process, await send(process), await send(process), await send(process)];
  const page = (await get(`/su/${process}?process-id=${process}&from-nonce=1&limit=2`)) as unknown as {
    page_info: object;
    edges: {
      cursor: string;
      node: { message: Record<string, unknown>; assignment: { id: string; tags: { name: string; value: string }[] } };
    }[];
  };
  expect(page.page_info).toEqual({ has_next_page: true });
  expect(page.edges.map((e) => e.node.message.id)).toEqual(ids.slice(1, 3));
  expect(page.edges[0]?.node.message).toMatchObject({
    data: 'x',
    target: process,
    owner: { key: ALICE.publicKey.toString('base64url') },
  });
  const names = page.edges[0]?.node.assignment.tags.map((t) => t.name);
  expect(names?.join()).toBe(
    'Process,Epoch,Nonce,Hash-Chain,Block-Height,Timestamp,Data-Protocol,Type,Variant,Message',
  );
  const node = page.edges[1]?.node;
  expect(await get(`/su/${ids[2]}?process-id=${process}`)).toEqual(node);
  expect(await get(`/su/${node?.assignment.id}?process-id=${process}`)).toEqual(node);
  expect(await get(`/su/processes/${process}`)).toMatchObject({ process_id: process, block: '000000000000' });
  expect(await get(`/su/${process}/latest`)).toMatchObject({ message: { id: ids[3] } });
  expect(await get('/su/timestamp')).toMatchObject({ block_height: '000000000000' });
  expect(await get('/su')).toMatchObject({ address: SCHEDULER.address });
});

it('assigns what is known here to another process, as AO’s scheduler units do', async () => {
  const [a, b] = [await spawn(), await spawn()];
  const said = await send(a);
  const place = (query: string) => post(`/su?${query}`, '');
  const answer = await place(`process-id=${b}&assign=${said}`);
  const { id } = (await answer.json()) as { id: string };
  expect(answer.status).toBe(200);
  expect(await get(`/su/${id}?process-id=${b}`)).toMatchObject({
    message: { id: said, target: a },
    assignment: { id },
  });
  expect((await client.result({ process: b, message: said })).Messages[0]?.Data).toBe('1');
  for (const [query, status] of [
    [`process-id=${b}`, 400],
    [`assign=${said}`, 400],
    [`process-id=${b}&assign=${'A'.repeat(43)}`, 404],
    [`process-id=${'A'.repeat(43)}&assign=${said}`, 404],
    [`process-id=${b}&assign=${said}&base-layer`, 501],
    [`process-id=${b}&assign=${said}&exclude=Data`, 501],
  ] as const) {
    const refused = await place(query);
    expect([query, refused.status]).toEqual([query, status]);
    expect(await refused.json()).toEqual({ error: expect.any(String) });
  }
});

it('pages by time lose nothing between entries of one millisecond', async () => {
  const process = await spawn();
  for (let i = 0; i < 5; i += 1) await send(process);
  await database.query('update assignment set timestamp = 1000 + nonce / 2 where process = $1', [process]); // 1000 1000 1001 1001 1002 1002
  const page = (range: object) => pipeline.scheduler.page(process, { fromNonce: 0, limit: 1, ...range });
  const nonces = async (range: object) => (await page(range)).entries.map((e) => e.nonce);
  expect(await nonces({ after: 0 })).toEqual([0, 1]);
  expect(await nonces({ after: 1000, limit: 3 })).toEqual([2, 3, 4, 5]);
  expect(await nonces({ after: 1000, until: 1001 })).toEqual([2, 3]);
  expect((await page({ after: 1000, until: 1001 })).more).toBe(false);
  expect((await page({ after: 1000 })).more).toBe(true);
  expect(await page({ after: 1002 })).toEqual({ entries: [], more: false });
});

it('a replica follows the gateway over HTTP', async () => {
  const process = await spawn();
  for (let i = 0; i < 4; i += 1) await send(process);
  const bundle = await fetch(`${url}/su/${process}?process-id=${process}&from-nonce=3&limit=2`, {
    headers: { accept: 'application/octet-stream' },
  });
  expect(decodeBundle(Buffer.from(await bundle.arrayBuffer()))).toHaveLength(4);
  const kept: ScheduleEntry[] = [];
  const modules = new Map<string, Buffer>();
  const store: ReplicaStore = {
    head: async () => {
      const last = kept.at(-1);
      const tag = (name: string) => last?.assignment.tags.find((t) => t.name === name)?.value ?? '';
      return last
        ? {
            nonce: last.nonce,
            assignmentId: last.assignment.id,
            hashChain: tag('Hash-Chain'),
            timestamp: Number(tag('Timestamp')),
          }
        : null;
    },
    entries: async (_, from, limit) => kept.slice(from, from + limit),
    has: async () => new Set(),
    append: async (_, entries) => void kept.push(...entries),
    module: async (id) => modules.get(id) ?? null,
    saveModule: async (id, raw) => void modules.set(id, raw),
  };
  const workers = new WorkerPool(1);
  const seen: string[] = [];
  const replica = new Replica({
    process,
    scheduler: SCHEDULER.address,
    store,
    workers,
    network: new IsthmusNetwork(url),
    onResult: (_, r) => void seen.push(r.Messages[0]?.Data ?? ''),
  });
  expect(await replica.sync()).toBe(5);
  expect(seen).toEqual(['', '1', '2', '3', '4']);
  await workers.stop();
});

describe('what is wrong is answered with {error} and a status', () => {
  it('A13 A6 items: bytes that are none, forged ones, repeats', async () => {
    const process = await spawn();
    const item = await createItem(
      {
        target: process,
        anchor: 'a'.repeat(32),
        tags: [
          { name: 'Data-Protocol', value: 'ao' },
          { name: 'Type', value: 'Message' },
        ],
        data: 'x',
      },
      ALICE,
    );
    const forged = Buffer.from(item.raw);
    forged[forged.length - 1] = (forged.at(-1) as number) ^ 1;
    for (const body of ['', 'no item', forged]) {
      const answer = await post('/mu', body);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toEqual({ error: expect.any(String) });
    }
    const first = await (await post('/su', item.raw)).json();
    expect(await (await post('/su', item.raw)).json()).toEqual(first);
    const lost = await createItem({ target: 'A'.repeat(43), tags: item.tags, data: 'x' }, ALICE);
    expect((await post('/mu', lost.raw)).status).toBe(404);
  });

  it('X14 a body over 10 MiB, negative and huge pages, cursors of something else', async () => {
    const process = await spawn();
    expect((await post('/mu', Buffer.alloc(10 * 1024 * 1024 + 1))).status).toBe(413);
    const paths = [
      `/su/${process}?process-id=${process}&limit=-1`,
      `/su/${process}?process-id=${process}&from-nonce=1e99`,
      `/su/${process}`,
      `/cu/results/${process}?limit=5000`,
      `/cu/results/${process}?from=nonsense`,
      `/cu/result/x`,
      '/raw/%00',
      '/cu/results/%00',
      '/su/%00?process-id=%00',
    ];
    for (const path of paths) {
      const answer = await fetch(`${url}${path}`);
      expect([path, answer.status]).toEqual([path, 400]);
      expect(await answer.json()).toEqual({ error: expect.any(String) });
    }
    for (const path of [
      `/cu/result/x?process-id=${process}`,
      '/cu/results/x',
      '/raw/x',
      '/su/x?process-id=x',
      `/su/x?process-id=${process}`,
      '/su/x/latest',
      '/su/processes/x',
    ])
      expect([path, (await fetch(`${url}${path}`)).status]).toEqual([path, 404]);
    expect((await post('/cu/dry-run?process-id=x', '{"Tags":')).status).toBe(400);
    expect((await post('/cu/dry-run?process-id=x', '{"Tags":[{"name":1}]}')).status).toBe(400);
    expect((await post('/cu/dry-run?process-id=x', '{}')).status).toBe(404);
  });
});
