/** What a test makes the local Arweave do and no real one does on command: forks, drops, faults, a bundling service; and that it goes on from its folder whatever ended it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { constants, createPublicKey, randomBytes, verify } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { arweaveSigner, createItem, deepHash, encodeBundle } from '@isthmus/ao';
import { freePort, projectRoot } from '@isthmus/store';
import { addressOfWallet, makeWallet, startArweave, walletOf, type Jwk, type LocalArweave } from './index.js';
import { anItem, find, get, jsonAt, post, transaction, type World } from './suite.js';

const RICH = 10n ** 16n;
const CHUNK = 256 * 1024;
const BUNDLE = [
  { name: 'Bundle-Format', value: 'binary' },
  { name: 'Bundle-Version', value: '2.0.0' },
];
let jwk: Jwk;
let serviceKey: Jwk;
let arweave: LocalArweave;
let dir: string;
let world: World;

beforeAll(async () => {
  [jwk, serviceKey] = await Promise.all([makeWallet(), makeWallet()]);
});

beforeEach(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-arweave-'));
  fs.mkdirSync(path.join(dir, 'bundler'));
  fs.writeFileSync(path.join(dir, 'bundler/wallet.json'), JSON.stringify(serviceKey), { mode: 0o600 });
  await start();
  await arweave.mint(addressOfWallet(jwk), RICH);
});

afterEach(async () => {
  await arweave.stop();
  fs.rmSync(dir, { recursive: true, force: true });
});

async function start(): Promise<void> {
  arweave = await startArweave({ dir });
  world = { url: arweave.url, jwk, mine: () => arweave.mine().then(() => undefined) };
}

async function restart(): Promise<void> {
  await arweave.stop();
  await start();
}

const statusOf = async (id: string): Promise<number> => (await get(`${arweave.url}/tx/${id}/status`)).status;
const found = async (id: string) => (await find(arweave.url, `ids: ["${id}"]`)).edges[0]?.node;
const balance = async (address: string): Promise<bigint> =>
  BigInt((await get(`${arweave.url}/wallet/${address}/balance`)).text);

/** Posts a transaction, its data with it. */
async function posted(data: Uint8Array | string, tags = [] as { name: string; value: string }[], more: object = {}) {
  const tx = await transaction(world, data, tags, more);
  expect(await post(`${arweave.url}/tx`, tx)).toEqual({ status: 200, text: 'OK' });
  return tx;
}

async function headerOnly(data: Uint8Array, tags = [] as { name: string; value: string }[]) {
  const tx = await transaction(world, data, tags);
  expect((await post(`${arweave.url}/tx`, { ...(tx.toJSON() as object), data: '' })).status).toBe(200);
  return tx;
}

const lever = (pathname: string, body?: Uint8Array): Promise<Response> =>
  fetch(`${arweave.url}/devnet/${pathname}`, { method: 'POST', ...(body ? { body } : {}) });

describe('a fork', () => {
  it('takes a confirmation back: the transaction waits again, and is mined again', async () => {
    await arweave.mine(3);
    const item = await anItem('forked');
    const tx = await posted(encodeBundle([item]), BUNDLE);
    const first = await arweave.mine();
    const paid = await balance(addressOfWallet(jwk));
    const other = await arweave.fork(1);
    expect(other.height).toBe(first.height + 1);
    expect((await jsonAt(`${arweave.url}/block/height/${first.height}`))['indep_hash']).not.toBe(first.hash);
    expect((await get(`${arweave.url}/block/hash/${first.hash}`)).status).toBe(404);
    expect(await statusOf(tx.id)).toBe(202);
    expect((await found(item.id))?.block).toBeNull();
    expect((await get(`${arweave.url}/raw/${item.id}`)).status).toBe(404);
    expect(await balance(addressOfWallet(jwk))).toBe(paid + BigInt(tx.reward));
    await arweave.mine();
    expect(await statusOf(tx.id)).toBe(200);
    expect((await found(item.id))?.block?.height).toBe(other.height + 1);
    expect(await balance(addressOfWallet(jwk))).toBe(paid);
  });

  it('loses its transactions when told so; they may be posted again', async () => {
    await arweave.mine(3);
    const item = await anItem('lost');
    const tx = await posted(encodeBundle([item]), BUNDLE);
    await arweave.mine();
    await arweave.fork(1, { lose: true });
    expect(await statusOf(tx.id)).toBe(404);
    expect(await found(item.id)).toBeUndefined();
    expect((await post(`${arweave.url}/tx`, tx)).status).toBe(200);
    await arweave.mine();
    expect((await get(`${arweave.url}/raw/${item.id}`)).text).toBe('lost');
  });

  it('keeps mined what it is told to keep', async () => {
    await arweave.mine(3);
    const [kept, other] = [
      await posted('kept'),
      await posted('not kept', [], { last_tx: arweave.node.weave.anchor() }),
    ];
    await arweave.mine();
    await arweave.fork(1, { keep: [kept.id] });
    expect([await statusOf(kept.id), await statusOf(other.id)]).toEqual([200, 202]);
  });

  it('deeper than its anchor drops a transaction', async () => {
    await arweave.mine(3);
    const head = arweave.node.weave.head.hash;
    const tx = await posted('anchored in what goes', [], { last_tx: head });
    await arweave.mine();
    await arweave.fork(2);
    await arweave.mine();
    expect(await statusOf(tx.id)).toBe(404);
  });

  it('never takes the first block', async () => {
    await arweave.mine(2);
    await expect(arweave.fork(3)).rejects.toThrow(RangeError);
    expect((await lever('fork/3')).status).toBe(400);
  });

  it('creates and destroys no winston', async () => {
    const target = randomBytes(32).toString('base64url');
    await arweave.mine(3);
    const inAll = () => arweave.node.weave.supply() + arweave.node.weave.head.pool;
    await posted('', [], { target, quantity: '700' });
    await arweave.mine();
    expect(await balance(target)).toBe(700n);
    expect(inAll()).toBe(RICH);
    await arweave.fork(2);
    expect(await balance(target)).toBe(0n);
    expect(inAll()).toBe(RICH);
  });
});

describe('what is dropped', () => {
  it('before it is mined is unknown afterwards, and may be posted again', async () => {
    const tx = await posted('dropped');
    await arweave.drop(tx.id);
    expect(await statusOf(tx.id)).toBe(404);
    expect((await post(`${arweave.url}/tx`, tx)).status).toBe(200);
  });

  it('after it is mined has lost its data and its items, until chunks are posted again', async () => {
    const item = await anItem('gone');
    const data = encodeBundle([item]);
    const tx = await posted(data, BUNDLE);
    await arweave.mine();
    await arweave.drop(tx.id);
    expect(await statusOf(tx.id)).toBe(200);
    for (const id of [tx.id, item.id]) expect((await get(`${arweave.url}/raw/${id}`)).status).toBe(404);
    expect(await found(item.id)).toBeUndefined();
    await restart();
    expect((await get(`${arweave.url}/raw/${tx.id}`)).status).toBe(404);
    expect((await post(`${arweave.url}/chunk`, tx.getChunk(0, data))).status).toBe(200);
    expect((await get(`${arweave.url}/raw/${item.id}`)).text).toBe('gone');
  });
});

describe('a gateway', () => {
  it('is down for as many requests as it is told, and then well again', async () => {
    expect((await lever('fail?count=2')).status).toBe(200);
    const seen = [];
    for (let i = 0; i < 3; i += 1) seen.push((await get(`${arweave.url}/info`)).status);
    expect(seen).toEqual([503, 503, 200]);
  });

  it('is down until it is healed, on one path only', async () => {
    arweave.faults.fail({ path: '/graphql' });
    for (let i = 0; i < 5; i += 1) await expect(find(arweave.url, 'first: 1')).rejects.toThrow();
    expect((await get(`${arweave.url}/info`)).status).toBe(200);
    arweave.faults.heal();
    expect((await find(arweave.url, 'first: 1')).edges).toEqual([]);
  });

  it('does not answer at all', async () => {
    arweave.faults.fail({ count: 1, status: null });
    await expect(fetch(`${arweave.url}/info`, { signal: AbortSignal.timeout(100) })).rejects.toThrow();
    expect((await get(`${arweave.url}/info`)).status).toBe(200);
  });

  it('answers other bytes for an id, wherever they are asked for', async () => {
    const tx = await posted('right');
    await arweave.mine();
    expect((await lever(`answer/${tx.id}`, Buffer.from('wrong'))).status).toBe(200);
    const { offset } = await jsonAt(`${arweave.url}/tx/${tx.id}/offset`);
    const wrong = Buffer.from('wrong').toString('base64url');
    expect((await get(`${arweave.url}/raw/${tx.id}`)).text).toBe('wrong');
    expect((await get(`${arweave.url}/tx/${tx.id}/data`)).text).toBe(wrong);
    expect((await jsonAt(`${arweave.url}/chunk/${Number(offset)}`))['chunk']).toBe(wrong);
    await lever('heal');
    expect((await get(`${arweave.url}/raw/${tx.id}`)).text).toBe('right');
  });

  it('refuses chunks after so many: a half-posted bundle is mined without its items, and opened when the rest comes', async () => {
    const item = await anItem('half', [], randomBytes(CHUNK + 50_000));
    const data = encodeBundle([item]);
    const tx = await headerOnly(data, BUNDLE);
    arweave.faults.refuseChunksAfter(1);
    const answers = [];
    for (const i of [0, 1]) answers.push((await post(`${arweave.url}/chunk`, tx.getChunk(i, data))).status);
    expect(answers).toEqual([200, 503]);
    await arweave.mine();
    await restart(); // which heals
    expect(await found(item.id)).toBeUndefined();
    expect((await post(`${arweave.url}/chunk`, tx.getChunk(1, data))).status).toBe(200);
    expect((await get(`${arweave.url}/raw/${item.id}`)).bytes.equals(item.data)).toBe(true);
  });
});

describe('a bundle', () => {
  it('posted twice, by two transactions, has each item once, where it was mined first', async () => {
    const item = await anItem('double');
    const first = await posted(encodeBundle([item]), BUNDLE);
    await arweave.mine();
    const second = await posted(encodeBundle([item]), BUNDLE);
    await arweave.mine();
    expect((await find(arweave.url, 'tags: [{ name: "Mark", values: ["double"] }]')).edges).toHaveLength(1);
    expect((await found(item.id))?.bundledIn?.id).toBe(first.id);
    expect((await find(arweave.url, `bundledIn: ["${second.id}"]`)).edges.map((e) => e.node.id)).toEqual([item.id]);
  });

  it('with an item that is none has the others', async () => {
    const [good, bad] = await Promise.all([anItem('good'), anItem('bad')]);
    const data = encodeBundle([bad, good]);
    data[data.indexOf(bad.raw) + 10] = 0xff; // inside its signature: it is no longer the item its header names
    await posted(data, BUNDLE);
    await arweave.mine();
    expect([await found(good.id), await found(bad.id)]).toEqual([expect.objectContaining({ id: good.id }), undefined]);
  });

  it('whose lengths do not add up has none, and is there as it is', async () => {
    const data = Buffer.concat([encodeBundle([await anItem('short')]), Buffer.from('more')]);
    const tx = await posted(data, BUNDLE);
    await arweave.mine();
    expect((await find(arweave.url, `bundledIn: ["${tx.id}"]`)).edges).toEqual([]);
    expect((await get(`${arweave.url}/raw/${tx.id}`)).bytes.equals(data)).toBe(true);
  });

  it('inside bundles is opened down to the fourth, and no further', async () => {
    const signer = arweaveSigner(jwk);
    const items = [await anItem('innermost')];
    for (let i = 0; i < 4; i += 1)
      items.unshift(await createItem({ tags: BUNDLE, data: encodeBundle([items[0] as (typeof items)[0]]) }, signer));
    await posted(encodeBundle([items[0] as (typeof items)[0]]), BUNDLE);
    await arweave.mine();
    const seen = await Promise.all(items.map(async ({ id }) => (await found(id)) !== undefined));
    expect(seen).toEqual([true, true, true, true, false]);
  });
});

describe('the bundling service', () => {
  const send = (raw: Buffer, pathname = 'tx') =>
    fetch(`${arweave.url}/bundler/${pathname}`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: new Uint8Array(raw),
    });

  it('answers a receipt, and posts what it took with the next block', async () => {
    const [one, two] = await Promise.all([anItem('served'), anItem('served')]);
    const receipt = (await (await send(one.raw)).json()) as Record<string, unknown>;
    expect(receipt).toMatchObject({ id: one.id, winc: '0', version: '0.2.0', public: serviceKey.n });
    const parts = ['0.2.0', one.id, String(receipt['deadlineHeight']), String(receipt['timestamp']), '', ''];
    const key = createPublicKey({ key: { kty: 'RSA', n: serviceKey.n, e: 'AQAB' }, format: 'jwk' });
    const signature = Buffer.from(String(receipt['signature']), 'base64url');
    const message = deepHash(parts.map((p) => Buffer.from(p)));
    expect(verify('sha256', message, { key, padding: constants.RSA_PKCS1_PSS_PADDING }, signature)).toBe(true);
    expect((await send(two.raw, 'tx/solana')).status).toBe(200);
    const status = () => jsonAt(`${arweave.url}/bundler/v1/tx/${one.id}/status`);
    expect(await status()).toMatchObject({ status: 'CONFIRMED' });
    await arweave.mine();
    const node = await found(one.id);
    expect(node?.bundledIn?.id).toBe((await found(two.id))?.bundledIn?.id);
    expect(await status()).toMatchObject({ status: 'FINALIZED', bundleId: node?.bundledIn?.id });
    const bundle = await jsonAt(`${arweave.url}/tx/${node?.bundledIn?.id}`);
    expect(bundle['owner']).toBe(serviceKey.n);
  });

  it('says 202 of an item it has, and takes it again when its bundle was lost', async () => {
    const item = await anItem('again');
    await arweave.mine(3);
    expect((await send(item.raw)).status).toBe(200);
    expect((await send(item.raw)).status).toBe(202);
    await arweave.mine();
    expect((await send(item.raw)).status).toBe(202);
    await arweave.fork(1, { lose: true });
    expect((await send(item.raw)).status).toBe(200);
  });

  it('refuses an item nobody signed so, and what is none', async () => {
    const { raw } = await anItem('forged');
    raw[raw.length - 1] = (raw[raw.length - 1] as number) ^ 1;
    expect((await send(raw)).status).toBe(400);
    expect((await send(Buffer.from('no item'))).status).toBe(400);
  });

  it('remembers what waits, and loses it when told so', async () => {
    const [kept, lost] = await Promise.all([anItem('kept'), anItem('lost')]);
    await send(kept.raw);
    await send(lost.raw);
    await arweave.drop(lost.id);
    await restart();
    await arweave.mine();
    expect([await found(kept.id), await found(lost.id)]).toEqual([expect.objectContaining({ id: kept.id }), undefined]);
  });
});

describe('its folder', () => {
  const snapshot = async () => ({
    info: await jsonAt(`${arweave.url}/info`),
    money: await balance(addressOfWallet(jwk)),
    found: (await find(arweave.url, 'first: 100, sort: HEIGHT_ASC')).edges,
  });

  async function someHistory(): Promise<void> {
    await posted(encodeBundle(await Promise.all([anItem('a'), anItem('b')])), BUNDLE);
    await arweave.mine(3);
    await posted('mined, then forked away', [], { last_tx: arweave.node.weave.anchor() });
    await arweave.mine();
    await arweave.fork(1);
    await headerOnly(randomBytes(1000));
  }

  it('holds all: started again, everything is as it was', async () => {
    await someHistory();
    const before = await snapshot();
    await restart();
    expect(await snapshot()).toEqual(before);
  });

  it('may end in a line that was torn: it is as if it had never been', async () => {
    await someHistory();
    const before = await snapshot();
    await arweave.stop();
    fs.appendFileSync(path.join(dir, 'journal'), '0123456789abcdef [{"kind":"mint","addr');
    await start();
    expect(await snapshot()).toEqual(before);
    await arweave.mine();
    await restart();
    expect(Number((await jsonAt(`${arweave.url}/info`))['height'])).toBe(Number(before.info['height']) + 1);
  });

  it('damaged in the middle is refused, not read in part', async () => {
    await someHistory();
    await arweave.stop();
    const file = path.join(dir, 'journal');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"winston":"1', '"winston":"9'));
    await expect(startArweave({ dir })).rejects.toThrow(/damaged/);
    fs.rmSync(dir, { recursive: true });
    await start();
  });

  it('is cleared of data nothing refers to', async () => {
    const tx = await posted('to be dropped');
    await arweave.drop(tx.id);
    expect(fs.readdirSync(path.join(dir, 'data'))).toHaveLength(1);
    await restart();
    expect(fs.readdirSync(path.join(dir, 'data'))).toEqual([]);
  });
});

describe('a process of its own', () => {
  let child: ChildProcess | undefined;
  afterEach(() => void child?.kill('SIGKILL'));

  async function run(port: number): Promise<void> {
    const config = path.join(dir, 'config.json');
    const fund = { [addressOfWallet(jwk)]: String(RICH) };
    fs.writeFileSync(config, JSON.stringify({ dir: path.join(dir, 'own'), port, fund }));
    const entry = path.join(projectRoot(), 'dist/libs/devnet/src/arweave/main.js');
    child = spawn(process.execPath, [entry], {
      env: { ...process.env, ISTHMUS_CONFIG: config },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const healthy = () =>
      fetch(`http://127.0.0.1:${port}/health`).then(
        (r) => r.ok,
        () => false,
      );
    while (!(await healthy())) {
      if (child.exitCode !== null) throw new Error('The process ended.');
      await delay(30); // asked again until the test's own bound
    }
  }

  it('goes on after kill -9 with all it had acknowledged, and funds a wallet once', async () => {
    const port = await freePort();
    await run(port);
    const url = `http://127.0.0.1:${port}`;
    const tx = await transaction({ ...world, url }, 'acknowledged');
    expect((await post(`${url}/tx`, tx)).status).toBe(200);
    const ended = once(child as ChildProcess, 'exit');
    child?.kill('SIGKILL');
    await ended;
    await run(port);
    expect((await get(`${url}/tx/${tx.id}/status`)).status).toBe(202);
    await fetch(`${url}/devnet/mine`, { method: 'POST' });
    expect((await get(`${url}/${tx.id}`)).text).toBe('acknowledged');
    expect((await get(`${url}/wallet/${addressOfWallet(jwk)}/balance`)).text).toBe(String(RICH - BigInt(tx.reward)));
  });
});

describe('bad input', () => {
  it('an anchor is good for 50 blocks, and no more', async () => {
    const last_tx = arweave.node.weave.head.hash;
    const [inTime, late] = [
      await transaction(world, 'in time', [], { last_tx }),
      await transaction(world, 'late', [], { last_tx }),
    ];
    await arweave.mine(49);
    expect((await post(`${arweave.url}/tx`, inTime)).status).toBe(200);
    await arweave.mine();
    expect(await post(`${arweave.url}/tx`, late)).toEqual({ status: 400, text: 'Invalid anchor (last_tx).' });
  });

  it.each([
    ['no JSON', 'tx', '{'],
    ['no transaction', 'tx', '{"format":2}'],
    ['format 1', 'tx', '{"format":1}'],
    ['no chunk', 'chunk', '[]'],
    ['no search', 'graphql', '{"query":7}'],
    ['a search for what there is not', 'graphql', '{"query":"{ nothing }"}'],
    ['a cursor of something else', 'graphql', '{"query":"{ transactions(after: \\"x\\") { edges { cursor } } }"}'],
  ])('%s is answered as such, and nothing ends', async (_, where, body) => {
    const response = await fetch(`${arweave.url}/${where}`, { method: 'POST', body });
    const text = await response.text();
    expect(response.status === 400 || text.includes('"errors"')).toBe(true);
    expect((await get(`${arweave.url}/health`)).status).toBe(200);
  });

  it.each([
    'tx/short',
    'wallet/short/balance',
    'price/many',
    'price/-1',
    'chunk/0',
    'chunk/99999999',
    'block/height/9999',
    'nothing/there',
    '%ff',
  ])('GET /%s is a client’s error', async (where) => {
    const { status } = await get(`${arweave.url}/${where}`);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
  });

  it('a body that is too long is refused before it is all read', async () => {
    const response = await fetch(`${arweave.url}/chunk`, { method: 'POST', body: Buffer.alloc(2 * 1024 * 1024) }).catch(
      () => null,
    );
    expect(response === null || response.status === 413).toBe(true);
    expect((await get(`${arweave.url}/health`)).status).toBe(200);
  });

  it.each(['mint/x/5', 'mine/0', 'mine/1001', 'mine/x', 'drop/x', 'nothing'])(
    'POST /devnet/%s is refused',
    async (what) => {
      expect((await lever(what)).status).toBeGreaterThanOrEqual(400);
    },
  );

  it('levers are not pulled by GET', async () => {
    expect((await get(`${arweave.url}/devnet/mine`)).status).toBe(405);
  });

  it('a wallet file others may read is refused', async () => {
    const file = path.join(dir, 'open.json');
    fs.writeFileSync(file, JSON.stringify(jwk), { mode: 0o644 });
    await expect(walletOf(file)).rejects.toThrow(/chmod 600/);
  });
});
