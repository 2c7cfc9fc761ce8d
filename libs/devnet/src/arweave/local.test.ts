/** What a test makes the local Arweave do and no real one does on command: forks, drops, faults, bundles as nobody should post them. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { arweaveSigner, createItem, encodeBundle } from '@isthmus/ao';
import { jest } from '@jest/globals';
import { Bench, RICH } from './harness.js';
import { addressOfWallet } from './index.js';
import { anItem, BUNDLE, CHUNK, find, get, jsonAt, post } from './suite/index.js';

let bench: Bench;

beforeEach(async () => {
  bench = await Bench.open();
});

afterEach(() => bench.close());

describe('a fork', () => {
  it('takes a confirmation back: the transaction waits again, and is mined again', async () => {
    await bench.arweave.mine(3);
    const item = await anItem('forked');
    const tx = await bench.posted(encodeBundle([item]), BUNDLE);
    const first = await bench.arweave.mine();
    const paid = await bench.balance(addressOfWallet(bench.jwk));
    const other = await bench.arweave.fork(1);
    expect(other.height).toBe(first.height + 1);
    expect((await jsonAt(`${bench.url}/block/height/${first.height}`))['indep_hash']).not.toBe(first.hash);
    expect((await get(`${bench.url}/block/hash/${first.hash}`)).status).toBe(404);
    expect(await bench.statusOf(tx.id)).toBe(202);
    expect((await bench.found(item.id))?.block).toBeNull();
    expect((await get(`${bench.url}/raw/${item.id}`)).status).toBe(404);
    expect(await bench.balance(addressOfWallet(bench.jwk))).toBe(paid + BigInt(tx.reward));
    await bench.arweave.mine();
    expect(await bench.statusOf(tx.id)).toBe(200);
    expect((await bench.found(item.id))?.block?.height).toBe(other.height + 1);
    expect(await bench.balance(addressOfWallet(bench.jwk))).toBe(paid);
  });

  it('loses its transactions when told so; they may be posted again', async () => {
    await bench.arweave.mine(3);
    const item = await anItem('lost');
    const tx = await bench.posted(encodeBundle([item]), BUNDLE);
    await bench.arweave.mine();
    await bench.arweave.fork(1, { lose: true });
    expect(await bench.statusOf(tx.id)).toBe(404);
    expect(await bench.found(item.id)).toBeUndefined();
    expect((await post(`${bench.url}/tx`, tx)).status).toBe(200);
    await bench.arweave.mine();
    expect((await get(`${bench.url}/raw/${item.id}`)).text).toBe('lost');
  });

  it('keeps mined what it is told to keep', async () => {
    await bench.arweave.mine(3);
    const [kept, other] = [
      await bench.posted('kept'),
      await bench.posted('not kept', [], { last_tx: bench.arweave.node.weave.anchor() }),
    ];
    await bench.arweave.mine();
    await bench.arweave.fork(1, { keep: [kept.id] });
    expect([await bench.statusOf(kept.id), await bench.statusOf(other.id)]).toEqual([200, 202]);
  });

  it('deeper than its anchor drops a transaction', async () => {
    await bench.arweave.mine(3);
    const head = bench.arweave.node.weave.head.hash;
    const tx = await bench.posted('anchored in what goes', [], { last_tx: head });
    await bench.arweave.mine();
    await bench.arweave.fork(2);
    await bench.arweave.mine();
    expect(await bench.statusOf(tx.id)).toBe(404);
  });

  it('gives a wallet the last transaction it had before', async () => {
    await bench.arweave.mine(3);
    const lastTx = async () => (await get(`${bench.url}/wallet/${addressOfWallet(bench.jwk)}/last_tx`)).text;
    const first = await bench.posted('first');
    await bench.arweave.mine();
    await bench.posted('second', [], { last_tx: first.id });
    await bench.arweave.mine();
    await bench.arweave.fork(1);
    expect(await lastTx()).toBe(first.id);
    await bench.arweave.fork(3);
    expect(await lastTx()).toBe('');
  });

  it('never takes the first block', async () => {
    await bench.arweave.mine(2);
    await expect(bench.arweave.fork(3)).rejects.toThrow(RangeError);
    expect((await bench.lever('fork/3')).status).toBe(400);
  });

  it('creates and destroys no winston', async () => {
    const target = randomBytes(32).toString('base64url');
    await bench.arweave.mine(3);
    const inAll = () => bench.arweave.node.weave.supply() + bench.arweave.node.weave.head.pool;
    await bench.posted('', [], { target, quantity: '700' });
    await bench.arweave.mine();
    expect(await bench.balance(target)).toBe(700n);
    expect(inAll()).toBe(RICH);
    await bench.arweave.fork(2);
    expect(await bench.balance(target)).toBe(0n);
    expect(inAll()).toBe(RICH);
  });
});

describe('what is dropped', () => {
  it('before it is mined is unknown afterwards, and may be posted again', async () => {
    const tx = await bench.posted('dropped');
    await bench.arweave.drop(tx.id);
    expect(await bench.statusOf(tx.id)).toBe(404);
    expect((await post(`${bench.url}/tx`, tx)).status).toBe(200);
  });

  it('after it is mined has lost its data and its items, until chunks are posted again', async () => {
    const item = await anItem('gone');
    const data = encodeBundle([item]);
    const tx = await bench.posted(data, BUNDLE);
    await bench.arweave.mine();
    await bench.arweave.drop(tx.id);
    expect(await bench.statusOf(tx.id)).toBe(200);
    for (const id of [tx.id, item.id]) expect((await get(`${bench.url}/raw/${id}`)).status).toBe(404);
    expect(await bench.found(item.id)).toBeUndefined();
    await bench.restart();
    expect((await get(`${bench.url}/raw/${tx.id}`)).status).toBe(404);
    expect((await post(`${bench.url}/chunk`, tx.getChunk(0, data))).status).toBe(200);
    expect((await get(`${bench.url}/raw/${item.id}`)).text).toBe('gone');
  });
});

describe('a gateway', () => {
  it('is down for as many requests as it is told, and then well again', async () => {
    expect((await bench.lever('fail?count=2')).status).toBe(200);
    const seen = [];
    for (let i = 0; i < 3; i += 1) seen.push((await get(`${bench.url}/info`)).status);
    expect(seen).toEqual([503, 503, 200]);
  });

  it('is down until it is healed, on one path only', async () => {
    bench.arweave.faults.fail({ path: '/graphql' });
    for (let i = 0; i < 5; i += 1) await expect(find(bench.url, 'first: 1')).rejects.toThrow();
    expect((await get(`${bench.url}/info`)).status).toBe(200);
    bench.arweave.faults.heal();
    expect((await find(bench.url, 'first: 1')).edges).toEqual([]);
  });

  it('does not answer at all', async () => {
    bench.arweave.faults.fail({ count: 1, status: null });
    const stop = new AbortController();
    const { faults } = bench.arweave;
    const asked = jest.spyOn(faults, 'meet');
    const silence = fetch(`${bench.url}/info`, { signal: stop.signal }).then(
      () => 'answered',
      () => 'silent',
    );
    while (asked.mock.calls.length === 0) await delay(5); // looked at again until the test's own bound
    expect((await get(`${bench.url}/info`)).status).toBe(200); // who asks later is answered
    stop.abort();
    expect(await silence).toBe('silent');
  });

  it('answers other bytes for an id, wherever they are asked for', async () => {
    const tx = await bench.posted('right');
    await bench.arweave.mine();
    expect((await bench.lever(`answer/${tx.id}`, Buffer.from('wrong'))).status).toBe(200);
    const { offset } = await jsonAt(`${bench.url}/tx/${tx.id}/offset`);
    const wrong = Buffer.from('wrong').toString('base64url');
    expect((await get(`${bench.url}/raw/${tx.id}`)).text).toBe('wrong');
    expect((await get(`${bench.url}/tx/${tx.id}/data`)).text).toBe(wrong);
    expect((await jsonAt(`${bench.url}/chunk/${Number(offset)}`))['chunk']).toBe(wrong);
    await bench.lever('heal');
    expect((await get(`${bench.url}/raw/${tx.id}`)).text).toBe('right');
  });

  it('refuses chunks after so many: a half-posted bundle is mined without its items, and opened when the rest comes', async () => {
    const item = await anItem('half', [], randomBytes(CHUNK + 50_000));
    const data = encodeBundle([item]);
    const tx = await bench.postedAlone(data, BUNDLE);
    bench.arweave.faults.refuseChunksAfter(1);
    const answers = [];
    for (const i of [0, 1]) answers.push((await post(`${bench.url}/chunk`, tx.getChunk(i, data))).status);
    expect(answers).toEqual([200, 503]);
    await bench.arweave.mine();
    await bench.restart(); // which heals
    expect(await bench.found(item.id)).toBeUndefined();
    expect((await post(`${bench.url}/chunk`, tx.getChunk(1, data))).status).toBe(200);
    expect((await get(`${bench.url}/raw/${item.id}`)).bytes.equals(item.data)).toBe(true);
  });
});

describe('a bundle', () => {
  it('posted twice, by two transactions, has each item once, where it was mined first', async () => {
    const item = await anItem('double');
    const first = await bench.posted(encodeBundle([item]), BUNDLE);
    await bench.arweave.mine();
    const second = await bench.posted(encodeBundle([item]), BUNDLE);
    await bench.arweave.mine();
    expect((await find(bench.url, 'tags: [{ name: "Mark", values: ["double"] }]')).edges).toHaveLength(1);
    expect((await bench.found(item.id))?.bundledIn?.id).toBe(first.id);
    expect((await find(bench.url, `bundledIn: ["${second.id}"]`)).edges.map((e) => e.node.id)).toEqual([item.id]);
  });

  it('with an item that is none has the others', async () => {
    const [good, bad] = await Promise.all([anItem('good'), anItem('bad')]);
    const data = encodeBundle([bad, good]);
    data[data.indexOf(bad.raw) + 10]! ^= 0xff; // inside its signature: it is no longer the item its header names
    const tx = await bench.posted(data, BUNDLE);
    await bench.arweave.mine();
    const { edges } = await find(bench.url, `bundledIn: ["${tx.id}"]`);
    expect(edges.map((e) => e.node.id)).toEqual([good.id]);
  });

  it('whose lengths do not add up has none, and is there as it is', async () => {
    const data = Buffer.concat([encodeBundle([await anItem('short')]), Buffer.from('more')]);
    const tx = await bench.posted(data, BUNDLE);
    await bench.arweave.mine();
    expect((await find(bench.url, `bundledIn: ["${tx.id}"]`)).edges).toEqual([]);
    expect((await get(`${bench.url}/raw/${tx.id}`)).bytes.equals(data)).toBe(true);
  });

  it('inside bundles is opened down to the fourth, and no further', async () => {
    const signer = arweaveSigner(bench.jwk);
    const items = [await anItem('innermost')];
    for (let i = 0; i < 4; i += 1)
      items.unshift(await createItem({ tags: BUNDLE, data: encodeBundle([items[0] as (typeof items)[0]]) }, signer));
    await bench.posted(encodeBundle([items[0] as (typeof items)[0]]), BUNDLE);
    await bench.arweave.mine();
    const seen = await Promise.all(items.map(async ({ id }) => (await bench.found(id)) !== undefined));
    expect(seen).toEqual([true, true, true, true, false]);
  });
});

describe('a search', () => {
  const marked = { name: 'Mark', value: 'page' };
  const page = (more: string) => find(bench.url, `tags: [{ name: "Mark", values: ["page"] }], first: 2, ${more}`);
  const idsOf = ({ edges }: Awaited<ReturnType<typeof find>>) => edges.map((e) => e.node.id);

  it('goes on after its cursor, whatever came in between', async () => {
    const old: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      old.push((await bench.posted(`page ${i}`, [marked])).id);
      await bench.arweave.mine();
    }
    const newest = await page('sort: HEIGHT_DESC');
    expect(idsOf(newest)).toEqual([old[3], old[2]]);
    await bench.posted('came in between', [marked]);
    const next = await page(`sort: HEIGHT_DESC, after: "${newest.edges[1]?.cursor}"`);
    expect([idsOf(next), next.hasNextPage]).toEqual([[old[1], old[0]], false]);
  });

  it('has what waits after all that is mined', async () => {
    const waits = await bench.posted('waits', [marked]);
    const { edges } = await page('sort: HEIGHT_DESC');
    expect(edges.map((e) => [e.node.id, e.node.block])).toEqual([[waits.id, null]]);
    await bench.arweave.mine();
    const later = await bench.posted('later', [marked]);
    expect(idsOf(await page('sort: HEIGHT_ASC'))).toEqual([waits.id, later.id]);
    expect(idsOf(await page('sort: HEIGHT_DESC'))).toEqual([later.id, waits.id]);
    expect(idsOf(await page('block: { min: 0 }'))).toEqual([waits.id]);
  });

  it('is in another order after a fork that changed it', async () => {
    await bench.arweave.mine(3);
    const last_tx = bench.arweave.node.weave.anchor();
    const [first, second] = [
      await bench.posted('a', [marked], { last_tx }),
      await bench.posted('b', [marked], { last_tx }),
    ];
    await bench.arweave.mine();
    expect(idsOf(await page('sort: HEIGHT_ASC'))).toEqual([first.id, second.id]);
    await bench.arweave.fork(1, { keep: [second.id] });
    await bench.arweave.mine();
    expect(idsOf(await page('sort: HEIGHT_ASC'))).toEqual([second.id, first.id]);
  });

  it('leaves out what has a tag, or what is in bundles, when told so', async () => {
    const item = await anItem('page');
    const bundle = await bench.posted(encodeBundle([item]), [...BUNDLE, marked]);
    expect(idsOf(await page('sort: HEIGHT_ASC'))).toEqual([bundle.id, item.id]);
    expect(idsOf(await page('bundledIn: null'))).toEqual([bundle.id]);
    const without =
      'tags: [{ name: "Mark", values: ["page"] }, { name: "Bundle-Format", values: ["binary"], op: NEQ }]';
    expect(idsOf(await find(bench.url, without))).toEqual([item.id]);
  });

  it.each([
    ['less than one', 'first: 0'],
    ['too many values', `owners: [${'"v",'.repeat(101)}]`],
    ['what comes after no place', 'after: "bm8"'],
  ])('for %s is refused', async (_, asked) => {
    await expect(find(bench.url, asked)).rejects.toThrow(/at least|At most|cursor/);
  });
});
