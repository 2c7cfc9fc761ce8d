/**
 * What is true of an Arweave node and gateway, as facts over HTTP alone: checked of ours in `npm test`, and of arlocal in `npm run test:soak`, so
 * that ours cannot drift from what others think Arweave is. A fact throws when it does not hold.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { arweaveSigner, createItem, ed25519Signer, encodeBundle, type Item } from '@isthmus/ao';
import Arweave from 'arweave';
import { addressOfWallet, type Jwk } from './wallet.js';

export interface World {
  url: string;
  /** Has money. */
  jwk: Jwk;
  mine: () => Promise<void>;
}

type Fact = (world: World) => Promise<void>;
interface Tag {
  name: string;
  value: string;
}

const BUNDLE: Tag[] = [
  { name: 'Bundle-Format', value: 'binary' },
  { name: 'Bundle-Version', value: '2.0.0' },
];
const CHUNK = 256 * 1024;

export function clientOf(url: string): Arweave {
  const { hostname, port } = new URL(url);
  return Arweave.init({ host: hostname, port: Number(port), protocol: 'http' });
}

/** A signed transaction. */
export async function transaction(
  world: World,
  data: Uint8Array | string,
  tags: readonly Tag[] = [],
  more: object = {},
) {
  const client = clientOf(world.url);
  const content = data.length > 0 ? { data } : {};
  const tx = await client.createTransaction({ ...content, ...more }, world.jwk);
  for (const { name, value } of tags) tx.addTag(name, value);
  await client.transactions.sign(tx, world.jwk);
  return tx;
}

type Transaction = Awaited<ReturnType<typeof transaction>>;

export async function post(url: string, body: unknown): Promise<{ status: number; text: string }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, text: await response.text() };
}

export async function get(url: string): Promise<{ status: number; text: string; bytes: Buffer; type: string | null }> {
  const response = await fetch(url);
  const bytes = Buffer.from(await response.arrayBuffer());
  return { status: response.status, text: bytes.toString('utf8'), bytes, type: response.headers.get('content-type') };
}

export const jsonAt = async (url: string): Promise<Record<string, unknown>> =>
  JSON.parse((await get(url)).text) as Record<string, unknown>;

export interface Found {
  cursor: string;
  node: {
    id: string;
    anchor: string;
    signature: string;
    recipient: string;
    owner: { address: string; key: string };
    fee: { winston: string };
    quantity: { winston: string };
    data: { size: string; type: string | null };
    tags: Tag[];
    block: { id: string; height: number; timestamp: number; previous: string } | null;
    bundledIn: { id: string } | null;
  };
}

const NODE = `id anchor signature recipient owner { address key } fee { winston } quantity { winston } data { size type }
  tags { name value } block { id height timestamp previous } bundledIn { id }`;

/** A search; `asked` is the text between the brackets. */
export async function find(url: string, asked: string): Promise<{ edges: Found[]; hasNextPage: boolean }> {
  const query = `{ transactions(${asked}) { pageInfo { hasNextPage } edges { cursor node { ${NODE} } } } }`;
  const { text } = await post(`${url}/graphql`, { query });
  const { data, errors } = JSON.parse(text) as {
    data?: { transactions: { pageInfo: { hasNextPage: boolean }; edges: Found[] } };
    errors?: { message: string }[];
  };
  if (!data) throw new Error(errors?.map((e) => e.message).join(' ') ?? text);
  return { edges: data.transactions.edges, hasNextPage: data.transactions.pageInfo.hasNextPage };
}

const ids = (found: { edges: Found[] }): string[] => found.edges.map((e) => e.node.id);
const seed = ed25519Signer(createHash('sha256').update('suite').digest());

/** A signed item. */
export const anItem = (mark: string, tags: readonly Tag[] = [], data: Uint8Array | string = mark): Promise<Item> =>
  createItem({ tags: [{ name: 'Mark', value: mark }, ...tags], data, anchor: randomBytes(16).toString('hex') }, seed);

const freshMark = (): string => randomBytes(8).toString('hex');

async function accepted(world: World, tx: Transaction): Promise<void> {
  const { status, text } = await post(`${world.url}/tx`, tx);
  assert.equal(status, 200, text);
}

async function refused(world: World, tx: unknown): Promise<void> {
  const { status, text } = await post(`${world.url}/tx`, tx);
  assert.ok(status >= 400, `HTTP ${status} ${text}`);
}

const confirmed = async (world: World, id: string): Promise<boolean> =>
  (await get(`${world.url}/tx/${id}/status`)).status === 200;

/** Every fact by its name. */
export const FACTS: Readonly<Record<string, Fact>> = {
  'tells its height, and counts blocks': async ({ url, mine }) => {
    const before = Number((await jsonAt(`${url}/info`))['height']);
    await mine();
    assert.equal(Number((await jsonAt(`${url}/info`))['height']), before + 1);
  },

  'shows a block by height and by hash, chained to the one before': async ({ url, mine }) => {
    await mine();
    await mine();
    const info = await jsonAt(`${url}/info`);
    const block = await jsonAt(`${url}/block/height/${String(info['height'])}`);
    assert.equal(block['indep_hash'], info['current']);
    assert.deepEqual((await jsonAt(`${url}/block/hash/${String(info['current'])}`))['height'], block['height']);
    const before = await jsonAt(`${url}/block/height/${Number(info['height']) - 1}`);
    assert.equal(block['previous_block'], before['indep_hash']);
  },

  'gives an anchor that a transaction may name': async (world) => {
    const { text } = await get(`${world.url}/tx_anchor`);
    assert.match(text, /^[A-Za-z0-9_-]{43,64}$/);
    await accepted(world, await transaction(world, 'anchored', [], { last_tx: text }));
  },

  'asks more for more bytes': async ({ url }) => {
    const [small, large] = await Promise.all([get(`${url}/price/1`), get(`${url}/price/10000000`)]);
    assert.match(small.text, /^[0-9]+$/);
    assert.ok(BigInt(large.text) > BigInt(small.text));
  },

  'knows a wallet of nobody as empty': async ({ url }) => {
    const address = randomBytes(32).toString('base64url');
    assert.equal((await get(`${url}/wallet/${address}/balance`)).text, '0');
  },

  'moves quantity and reward from the sender when a block is mined': async (world) => {
    const { url, jwk } = world;
    const target = randomBytes(32).toString('base64url');
    const balance = async (address: string): Promise<bigint> =>
      BigInt((await get(`${url}/wallet/${address}/balance`)).text);
    const before = await balance(addressOfWallet(jwk));
    const tx = await transaction(world, '', [], { target, quantity: '5000' });
    await accepted(world, tx);
    await world.mine();
    assert.equal(await balance(target), 5000n);
    assert.equal(await balance(addressOfWallet(jwk)), before - 5000n - BigInt(tx.reward));
  },

  'remembers a wallet’s last transaction': async (world) => {
    const tx = await transaction(world, 'last');
    await accepted(world, tx);
    await world.mine();
    assert.equal((await get(`${world.url}/wallet/${addressOfWallet(world.jwk)}/last_tx`)).text, tx.id);
  },

  'says Pending (202) of a transaction until it is mined, and then how deep it is': async (world) => {
    const tx = await transaction(world, 'to be confirmed');
    await accepted(world, tx);
    for (const path of ['', '/status']) assert.equal((await get(`${world.url}/tx/${tx.id}${path}`)).status, 202, path);
    await world.mine();
    const first = await jsonAt(`${world.url}/tx/${tx.id}/status`);
    const height = Number((await jsonAt(`${world.url}/info`))['height']);
    assert.equal(first['block_height'], height);
    assert.equal(first['block_indep_hash'], (await jsonAt(`${world.url}/block/height/${height}`))['indep_hash']);
    await world.mine();
    const second = await jsonAt(`${world.url}/tx/${tx.id}/status`);
    assert.equal(Number(second['number_of_confirmations']), Number(first['number_of_confirmations']) + 1);
  },

  'counts the block a transaction is in as its first confirmation': async (world) => {
    const tx = await transaction(world, 'counted');
    await accepted(world, tx);
    await world.mine();
    assert.equal(Number((await jsonAt(`${world.url}/tx/${tx.id}/status`))['number_of_confirmations']), 1);
  },

  'knows no transaction nobody posted (404)': async ({ url }) => {
    const id = randomBytes(32).toString('base64url');
    for (const path of ['', '/status', '/offset', '/data'])
      assert.equal((await get(`${url}/tx/${id}${path}`)).status, 404, path);
    assert.equal((await get(`${url}/${id}`)).status, 404);
  },

  'shows a mined transaction as it was signed': async (world) => {
    const tx = await transaction(world, 'shown', [{ name: 'App-Name', value: 'Isthmus' }]);
    await accepted(world, tx);
    await world.mine();
    const shown = await jsonAt(`${world.url}/tx/${tx.id}`);
    const { data: _, ...signed } = tx.toJSON() as Record<string, unknown>;
    for (const field of [
      'id',
      'owner',
      'signature',
      'data_root',
      'data_size',
      'reward',
      'last_tx',
      'quantity',
      'target',
    ])
      assert.equal(String(shown[field]), String(signed[field]), field);
    assert.deepEqual(shown['tags'], JSON.parse(JSON.stringify(signed['tags'])));
  },

  'gives the data of a mined transaction, with its type': async (world) => {
    const tx = await transaction(world, 'some text', [{ name: 'Content-Type', value: 'text/plain' }]);
    await accepted(world, tx);
    await world.mine();
    const { text, type } = await get(`${world.url}/${tx.id}`);
    assert.equal(text, 'some text');
    assert.match(type ?? '', /^text\/plain/);
  },

  'gives the data of a mined transaction under /raw': async (world) => {
    const tx = await transaction(world, 'raw text');
    await accepted(world, tx);
    await world.mine();
    assert.equal((await get(`${world.url}/raw/${tx.id}`)).text, 'raw text');
  },

  'gives the data of a transaction as base64url under /tx/<id>/data': async (world) => {
    const tx = await transaction(world, 'node’s data');
    await accepted(world, tx);
    await world.mine();
    const { text } = await get(`${world.url}/tx/${tx.id}/data`);
    assert.equal(Buffer.from(text, 'base64url').toString('utf8'), 'node’s data');
  },

  'takes data chunk by chunk from the arweave client, and gives it back': async (world) => {
    const data = randomBytes(2 * CHUNK + 1000);
    const client = clientOf(world.url);
    const tx = await transaction(world, data);
    const uploader = await client.transactions.getUploader(tx);
    while (!uploader.isComplete) await uploader.uploadChunk();
    assert.equal(uploader.uploadedChunks, 3);
    await world.mine();
    const status = await client.transactions.getStatus(tx.id);
    assert.equal(status.confirmed?.block_height, Number((await jsonAt(`${world.url}/info`))['height']));
    const got = await client.transactions.getData(tx.id, { decode: true });
    assert.ok(Buffer.from(got as Uint8Array).equals(data));
    assert.ok((await get(`${world.url}/${tx.id}`)).bytes.equals(data));
  },

  'gives a chunk by its place in the weave, proven against the data root': async (world) => {
    const data = randomBytes(CHUNK + 50_000);
    const tx = await transaction(world, data);
    await clientOf(world.url).transactions.post(tx);
    await world.mine();
    const { offset, size } = await jsonAt(`${world.url}/tx/${tx.id}/offset`);
    assert.equal(Number(size), data.length);
    const first = await jsonAt(`${world.url}/chunk/${Number(offset) - Number(size) + 1}`);
    const last = await jsonAt(`${world.url}/chunk/${Number(offset)}`);
    assert.ok(Buffer.from(String(first['chunk']), 'base64url').equals(data.subarray(0, CHUNK)));
    assert.ok(Buffer.from(String(last['chunk']), 'base64url').equals(data.subarray(CHUNK)));
    assert.equal(first['data_path'], tx.getChunk(0, data).data_path);
  },

  'refuses a transaction whose signature is not over what it says': async (world) => {
    const tx = await transaction(world, 'signed');
    await refused(world, { ...(tx.toJSON() as object), reward: String(BigInt(tx.reward) + 1n) });
  },

  'refuses a transaction whose id is not the hash of its signature': async (world) => {
    const tx = await transaction(world, 'signed');
    await refused(world, { ...(tx.toJSON() as object), id: randomBytes(32).toString('base64url') });
  },

  'refuses data that is not what the data root says': async (world) => {
    const tx = await transaction(world, 'the data');
    await refused(world, { ...(tx.toJSON() as object), data: Buffer.from('the DATA').toString('base64url') });
  },

  'refuses a reward below the price': async (world) =>
    refused(world, await transaction(world, 'cheap', [], { reward: '1' })),

  'refuses a transaction its wallet cannot pay': async (world) => {
    const balance = (await get(`${world.url}/wallet/${addressOfWallet(world.jwk)}/balance`)).text;
    const target = randomBytes(32).toString('base64url');
    await refused(world, await transaction(world, '', [], { target, quantity: balance }));
  },

  'refuses an anchor that is no recent block': async (world) => {
    const last_tx = randomBytes(48).toString('base64url');
    await refused(world, await transaction(world, 'unanchored', [], { last_tx }));
  },

  'takes a transaction that is there already for processed (208)': async (world) => {
    const tx = await transaction(world, 'twice');
    await accepted(world, tx);
    assert.equal((await post(`${world.url}/tx`, tx)).status, 208);
    await world.mine();
    assert.equal((await post(`${world.url}/tx`, tx)).status, 208);
  },

  'refuses a chunk that is not proven': async (world) => {
    const data = randomBytes(CHUNK + 50_000);
    const tx = await transaction(world, data);
    await accepted(world, Object.assign(Object.create(tx) as Transaction, { data: new Uint8Array() }));
    const chunk = tx.getChunk(0, data);
    const wrong = Buffer.from(data.subarray(0, CHUNK));
    wrong[7] = (wrong[7] ?? 0) ^ 1;
    const { status, text } = await post(`${world.url}/chunk`, { ...chunk, chunk: wrong.toString('base64url') });
    assert.equal(status, 400);
    assert.match(text, /invalid_proof/);
  },

  'refuses chunks of data no transaction is for': async (world) => {
    const data = randomBytes(1000);
    const tx = await transaction(world, data);
    const { status, text } = await post(`${world.url}/chunk`, tx.getChunk(0, data));
    assert.equal(status, 400);
    assert.match(text, /data_root_not_found/);
  },

  'has no data of a transaction before its last chunk has come': async (world) => {
    const data = randomBytes(CHUNK + 50_000);
    const tx = await transaction(world, data);
    await accepted(world, Object.assign(Object.create(tx) as Transaction, { data: new Uint8Array() }));
    assert.equal((await post(`${world.url}/chunk`, tx.getChunk(0, data))).status, 200);
    await world.mine();
    assert.ok(await confirmed(world, tx.id));
    assert.equal((await get(`${world.url}/${tx.id}`)).status, 404);
    assert.equal((await post(`${world.url}/chunk`, tx.getChunk(1, data))).status, 200);
    assert.ok((await get(`${world.url}/${tx.id}`)).bytes.equals(data));
  },

  'finds transactions by tags, with all that GraphQL says of them': async (world) => {
    const mark = freshMark();
    const tags = [
      { name: 'Mark', value: mark },
      { name: 'Content-Type', value: 'text/plain' },
    ];
    const tx = await transaction(world, 'to be found', tags);
    await accepted(world, tx);
    await world.mine();
    const { edges } = await find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }]`);
    const info = await jsonAt(`${world.url}/info`);
    const [node] = edges.map((e) => e.node);
    assert.equal(edges.length, 1);
    assert.equal(node?.id, tx.id);
    assert.equal(node?.owner.address, addressOfWallet(world.jwk));
    assert.equal(node?.signature, tx.signature);
    assert.equal(node?.fee.winston, tx.reward);
    assert.deepEqual(node?.data, { size: '11', type: 'text/plain' });
    assert.deepEqual(node?.tags, tags);
    assert.equal(node?.block?.height, Number(info['height']));
    assert.equal(node?.block?.id, info['current']);
    assert.equal(node?.bundledIn, null);
  },

  'finds transactions by id, owner and recipient, and by all of a search at once': async (world) => {
    const target = randomBytes(32).toString('base64url');
    const tx = await transaction(world, '', [], { target, quantity: '1' });
    await accepted(world, tx);
    await world.mine();
    assert.deepEqual(ids(await find(world.url, `ids: ["${tx.id}"]`)), [tx.id]);
    assert.deepEqual(ids(await find(world.url, `recipients: ["${target}"]`)), [tx.id]);
    const owner = addressOfWallet(world.jwk);
    assert.deepEqual(ids(await find(world.url, `recipients: ["${target}"], owners: ["${owner}"]`)), [tx.id]);
    assert.deepEqual(ids(await find(world.url, `recipients: ["${target}"], owners: ["${target}"]`)), []);
  },

  'finds all of a search page by page, in the order asked for': async (world) => {
    const mark = freshMark();
    const posted: string[] = [];
    for (let i = 0; i < 5; i += 1) {
      const tx = await transaction(world, `page ${i}`, [{ name: 'Mark', value: mark }]);
      await accepted(world, tx);
      await world.mine();
      posted.push(tx.id);
    }
    for (const [sort, expected] of [
      ['HEIGHT_ASC', posted],
      ['HEIGHT_DESC', posted.toReversed()],
    ] as const) {
      const search = `tags: [{ name: "Mark", values: ["${mark}"] }], first: 2, sort: ${sort}`;
      const seen: string[] = [];
      for (let [after, more] = ['', true]; more;) {
        const page = await find(world.url, after === '' ? search : `${search}, after: "${after}"`);
        seen.push(...ids(page));
        [after, more] = [page.edges.at(-1)?.cursor ?? '', page.hasNextPage];
      }
      assert.deepEqual(seen, expected, sort);
    }
  },

  'finds what is in a range of blocks': async (world) => {
    const mark = freshMark();
    const tx = await transaction(world, 'at a height', [{ name: 'Mark', value: mark }]);
    await accepted(world, tx);
    await world.mine();
    const height = Number((await jsonAt(`${world.url}/info`))['height']);
    const search = (min: number, max: number) =>
      find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }], block: { min: ${min}, max: ${max} }`);
    assert.deepEqual(ids(await search(height, height)), [tx.id]);
    assert.deepEqual(ids(await search(0, height - 1)), []);
    assert.deepEqual(ids(await search(height + 1, height + 10)), []);
  },

  'finds a transaction that waits, with no block': async (world) => {
    const mark = freshMark();
    const tx = await transaction(world, 'waits', [{ name: 'Mark', value: mark }]);
    await accepted(world, tx);
    const { edges } = await find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }]`);
    assert.deepEqual(
      edges.map((e) => [e.node.id, e.node.block]),
      [[tx.id, null]],
    );
  },

  'answers one transaction and the newest blocks': async (world) => {
    const tx = await transaction(world, 'single');
    await accepted(world, tx);
    await world.mine();
    const query = `{ transaction(id: "${tx.id}") { id block { height } } blocks(first: 1, sort: HEIGHT_DESC) { edges { node { id height } } } }`;
    const { data } = JSON.parse((await post(`${world.url}/graphql`, { query })).text) as {
      data: { transaction: { id: string }; blocks: { edges: { node: { id: string } }[] } };
    };
    assert.equal(data.transaction.id, tx.id);
    assert.equal(data.blocks.edges[0]?.node.id, (await jsonAt(`${world.url}/info`))['current']);
  },

  'opens a bundle: its items are found by their tags': async (world) => {
    const mark = freshMark();
    const items = await Promise.all([0, 1, 2].map((i) => anItem(mark, [{ name: 'Place', value: String(i) }])));
    const tx = await transaction(world, encodeBundle(items), BUNDLE);
    await accepted(world, tx);
    await world.mine();
    const found = await find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }], sort: HEIGHT_ASC`);
    assert.deepEqual(new Set(ids(found)), new Set(items.map((i) => i.id)));
    const first = found.edges.find((e) => e.node.id === items[0]?.id)?.node;
    assert.equal(first?.owner.address, items[0]?.ownerAddress);
    assert.equal(first?.block?.height, Number((await jsonAt(`${world.url}/info`))['height']));
    assert.deepEqual(first?.tags, items[0]?.tags);
  },

  'gives the data of an item in a bundle': async (world) => {
    const item = await anItem(freshMark(), [], 'inside');
    await accepted(world, await transaction(world, encodeBundle([item]), BUNDLE));
    await world.mine();
    assert.equal((await get(`${world.url}/${item.id}`)).text, 'inside');
  },

  'gives the data of an item in a bundle under /raw': async (world) => {
    const item = await anItem(freshMark(), [], 'inside raw');
    await accepted(world, await transaction(world, encodeBundle([item]), BUNDLE));
    await world.mine();
    assert.equal((await get(`${world.url}/raw/${item.id}`)).text, 'inside raw');
  },

  'says in which bundle an item is, and finds a bundle’s items': async (world) => {
    const items = await Promise.all([anItem(freshMark()), anItem(freshMark())]);
    const tx = await transaction(world, encodeBundle(items), BUNDLE);
    await accepted(world, tx);
    await world.mine();
    const found = await find(world.url, `bundledIn: ["${tx.id}"]`);
    assert.deepEqual(new Set(ids(found)), new Set(items.map((i) => i.id)));
    for (const { node } of found.edges) assert.equal(node.bundledIn?.id, tx.id);
  },

  'gives the signature, key and anchor of an item': async (world) => {
    const item = await anItem(freshMark());
    await accepted(world, await transaction(world, encodeBundle([item]), BUNDLE));
    await world.mine();
    const { node } = (await find(world.url, `ids: ["${item.id}"]`)).edges[0] as Found;
    assert.equal(node.signature, item.signature.toString('base64url'));
    assert.equal(node.owner.key, item.owner.toString('base64url'));
    assert.equal(node.anchor, item.anchor);
    assert.equal(node.data.size, String(item.data.length));
  },

  'opens bundles inside bundles': async (world) => {
    const inner = await anItem(freshMark(), [], 'innermost');
    const signer = arweaveSigner(world.jwk);
    const outer = await createItem({ tags: BUNDLE, data: encodeBundle([inner]) }, signer);
    await accepted(world, await transaction(world, encodeBundle([outer]), BUNDLE));
    await world.mine();
    assert.equal((await get(`${world.url}/${inner.id}`)).text, 'innermost');
    assert.deepEqual(ids(await find(world.url, `ids: ["${inner.id}"]`)), [inner.id]);
  },

  'opens a bundle that came chunk by chunk': async (world) => {
    const mark = freshMark();
    const items = await Promise.all([0, 1].map(() => anItem(mark, [], randomBytes(200_000))));
    const client = clientOf(world.url);
    const uploader = await client.transactions.getUploader(await transaction(world, encodeBundle(items), BUNDLE));
    while (!uploader.isComplete) await uploader.uploadChunk();
    await world.mine();
    const found = await find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }]`);
    assert.deepEqual(new Set(ids(found)), new Set(items.map((i) => i.id)));
  },
};
