/** What is true of a node: blocks, wallets, transactions and their data. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { addressOfWallet } from '../wallet.js';
import {
  accepted,
  CHUNK,
  clientOf,
  confirmed,
  get,
  jsonAt,
  post,
  refused,
  transaction,
  type Fact,
  type Transaction,
} from './world.js';

export const NODE_FACTS: Readonly<Record<string, Fact>> = {
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
};
