/** The local Arweave as a service: items taken and bundled, its folder whatever ended it, a process of its own, bad input. */
import { spawn, type ChildProcess } from 'node:child_process';
import { constants, createPublicKey, randomBytes, verify } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { deepHash, encodeBundle } from '@isthmus/ao';
import { freePort, projectRoot } from '@isthmus/store';
import { isDue } from './clock.js';
import { Bench, RICH, SERVICE } from './harness.js';
import { addressOfWallet, startArweave, walletOf } from './index.js';
import { anItem, BUNDLE, find, get, jsonAt, post, transaction } from './suite/index.js';

let bench: Bench;

beforeEach(async () => {
  bench = await Bench.open();
});

afterEach(() => bench.close());

describe('the bundling service', () => {
  const send = (raw: Buffer, pathname = 'tx') =>
    fetch(`${bench.url}/bundler/${pathname}`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: new Uint8Array(raw),
    });

  it('answers a receipt, and posts what it took with the next block', async () => {
    const [one, two] = await Promise.all([anItem('served'), anItem('served')]);
    const receipt = (await (await send(one.raw)).json()) as Record<string, unknown>;
    expect(receipt).toMatchObject({ id: one.id, winc: '0', version: '0.2.0', public: SERVICE.n });
    const parts = ['0.2.0', one.id, String(receipt['deadlineHeight']), String(receipt['timestamp']), '', ''];
    const key = createPublicKey({ key: { kty: 'RSA', n: SERVICE.n, e: 'AQAB' }, format: 'jwk' });
    const signature = Buffer.from(String(receipt['signature']), 'base64url');
    const message = deepHash(parts.map((p) => Buffer.from(p)));
    expect(verify('sha256', message, { key, padding: constants.RSA_PKCS1_PSS_PADDING }, signature)).toBe(true);
    expect((await send(two.raw, 'tx/solana')).status).toBe(200);
    const status = () => jsonAt(`${bench.url}/bundler/v1/tx/${one.id}/status`);
    expect(await status()).toMatchObject({ status: 'CONFIRMED' });
    await bench.arweave.mine();
    const node = await bench.found(one.id);
    expect(node?.bundledIn?.id).toBe((await bench.found(two.id))?.bundledIn?.id);
    expect(await status()).toMatchObject({ status: 'FINALIZED', bundleId: node?.bundledIn?.id });
    const bundle = await jsonAt(`${bench.url}/tx/${node?.bundledIn?.id}`);
    expect(bundle['owner']).toBe(SERVICE.n);
  });

  it('says 202 of an item it has, and takes it again when its bundle was lost', async () => {
    const item = await anItem('again');
    await bench.arweave.mine(3);
    expect((await send(item.raw)).status).toBe(200);
    expect((await send(item.raw)).status).toBe(202);
    await bench.arweave.mine();
    expect((await send(item.raw)).status).toBe(202);
    await bench.arweave.fork(1, { lose: true });
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
    await bench.arweave.drop(lost.id);
    await bench.restart();
    await bench.arweave.mine();
    expect([await bench.found(kept.id), await bench.found(lost.id)]).toEqual([
      expect.objectContaining({ id: kept.id }),
      undefined,
    ]);
  });
});

describe('its folder', () => {
  const snapshot = async () => ({
    info: await jsonAt(`${bench.url}/info`),
    money: await bench.balance(addressOfWallet(bench.jwk)),
    found: (await find(bench.url, 'first: 100, sort: HEIGHT_ASC')).edges,
  });

  async function someHistory(): Promise<void> {
    await bench.posted(encodeBundle(await Promise.all([anItem('a'), anItem('b')])), BUNDLE);
    await bench.arweave.mine(3);
    await bench.posted('mined, then forked away', [], { last_tx: bench.arweave.node.weave.anchor() });
    await bench.arweave.mine();
    await bench.arweave.fork(1);
    await bench.postedAlone(randomBytes(1000));
  }

  it('holds all: started again, everything is as it was', async () => {
    await someHistory();
    const before = await snapshot();
    await bench.restart();
    expect(await snapshot()).toEqual(before);
  });

  it('may end in a line that was torn: it is as if it had never been', async () => {
    await someHistory();
    const before = await snapshot();
    await bench.arweave.stop();
    fs.appendFileSync(path.join(bench.dir, 'journal'), '0123456789abcdef [{"kind":"mint","addr');
    await bench.start();
    expect(await snapshot()).toEqual(before);
    await bench.arweave.mine();
    await bench.restart();
    expect(Number((await jsonAt(`${bench.url}/info`))['height'])).toBe(Number(before.info['height']) + 1);
  });

  it('damaged in the middle is refused, not read in part', async () => {
    await someHistory();
    await bench.arweave.stop();
    const file = path.join(bench.dir, 'journal');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"winston":"1', '"winston":"9'));
    await expect(startArweave({ dir: bench.dir })).rejects.toThrow(/damaged/);
    fs.rmSync(bench.dir, { recursive: true });
    await bench.start();
  });

  it('is cleared of data nothing refers to', async () => {
    const tx = await bench.posted('to be dropped');
    await bench.arweave.drop(tx.id);
    expect(fs.readdirSync(path.join(bench.dir, 'data'))).toHaveLength(1);
    await bench.restart();
    expect(fs.readdirSync(path.join(bench.dir, 'data'))).toEqual([]);
  });
});

describe('a process of its own', () => {
  let child: ChildProcess | undefined;
  afterEach(() => void child?.kill('SIGKILL'));

  async function run(port: number): Promise<void> {
    const config = path.join(bench.dir, 'config.json');
    const fund = { [addressOfWallet(bench.jwk)]: String(RICH) };
    fs.writeFileSync(config, JSON.stringify({ dir: path.join(bench.dir, 'own'), port, fund }));
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
    const tx = await transaction({ ...bench.world, url }, 'acknowledged');
    expect((await post(`${url}/tx`, tx)).status).toBe(200);
    const ended = once(child as ChildProcess, 'exit');
    child?.kill('SIGKILL');
    await ended;
    await run(port);
    expect((await get(`${url}/tx/${tx.id}/status`)).status).toBe(202);
    await fetch(`${url}/devnet/mine`, { method: 'POST' });
    expect((await get(`${url}/${tx.id}`)).text).toBe('acknowledged');
    expect((await get(`${url}/wallet/${addressOfWallet(bench.jwk)}/balance`)).text).toBe(
      String(RICH - BigInt(tx.reward)),
    );
  });
});

describe('blocks by the clock', () => {
  it('are mined while something waits, is about to be bundled or is not yet settled, and now and then', async () => {
    const due = (items = 0, idleMs = 0) => isDue(bench.arweave.node.weave, items, idleMs);
    expect([due(), due(1), due(0, 59_999), due(0, 60_000)]).toEqual([false, true, false, true]);
    await bench.posted('waits');
    expect(due()).toBe(true);
    await bench.arweave.mine(30);
    expect(due()).toBe(true);
    await bench.arweave.mine();
    expect(due()).toBe(false);
  });

  it('take what was posted, with nobody asking for them', async () => {
    await bench.arweave.stop();
    bench.arweave = await startArweave({ dir: bench.dir, blockMs: 10 });
    const tx = await bench.posted('by itself');
    while ((await bench.statusOf(tx.id)) !== 200) await delay(10); // looked at again until the test's own bound
  });
});

describe('bad input', () => {
  it('an anchor is no transaction that waits itself', async () => {
    const first = await bench.posted('waits');
    const second = await transaction(bench.world, 'after it', [], { last_tx: first.id });
    const refusal = { status: 400, text: 'Invalid anchor (last_tx from mempool).' };
    expect(await post(`${bench.url}/tx`, second)).toEqual(refusal);
    await bench.arweave.mine();
    expect((await post(`${bench.url}/tx`, second)).status).toBe(200);
  });

  it('a port that is in use is named with what changes it, and the folder is not touched', async () => {
    const dir = path.join(bench.dir, 'other');
    await expect(startArweave({ dir, port: bench.arweave.port })).rejects.toThrow(/ISTHMUS_ARWEAVE_PORT/);
    expect(fs.existsSync(dir)).toBe(false);
  });

  it('an anchor is good for 50 blocks, and no more', async () => {
    const last_tx = bench.arweave.node.weave.head.hash;
    const [inTime, late] = [
      await transaction(bench.world, 'in time', [], { last_tx }),
      await transaction(bench.world, 'late', [], { last_tx }),
    ];
    await bench.arweave.mine(49);
    expect((await post(`${bench.url}/tx`, inTime)).status).toBe(200);
    await bench.arweave.mine();
    expect(await post(`${bench.url}/tx`, late)).toEqual({ status: 400, text: 'Invalid anchor (last_tx).' });
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
    const response = await fetch(`${bench.url}/${where}`, { method: 'POST', body });
    const text = await response.text();
    expect(response.status === 400 || text.includes('"errors"')).toBe(true);
    expect((await get(`${bench.url}/health`)).status).toBe(200);
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
    const { status } = await get(`${bench.url}/${where}`);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
  });

  it('a body that is too long is refused before it is all read', async () => {
    const response = await fetch(`${bench.url}/chunk`, { method: 'POST', body: Buffer.alloc(2 * 1024 * 1024) }).catch(
      () => null,
    );
    expect(response === null || response.status === 413).toBe(true);
    expect((await get(`${bench.url}/health`)).status).toBe(200);
  });

  it.each(['mint/x/5', 'mine/0', 'mine/1001', 'mine/x', 'drop/x', 'nothing'])(
    'POST /devnet/%s is refused',
    async (what) => {
      expect((await bench.lever(what)).status).toBeGreaterThanOrEqual(400);
    },
  );

  it('levers are not pulled by GET', async () => {
    expect((await get(`${bench.url}/devnet/mine`)).status).toBe(405);
  });

  it('a wallet file others may read is refused', async () => {
    const file = path.join(bench.dir, 'open.json');
    fs.writeFileSync(file, JSON.stringify(bench.jwk), { mode: 0o644 });
    await expect(walletOf(file)).rejects.toThrow(/chmod 600/);
  });
});
