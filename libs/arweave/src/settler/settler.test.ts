/** The settler on a real database and a local Arweave: what it seals, how bundles go their way, and every way that can go wrong. */
import { arweaveSigner, createItem, type Item, type ScheduleEntry } from '@isthmus/ao';
import { addressOfWallet } from '@isthmus/devnet';
import { testWallet } from '@isthmus/store';
import { jest } from '@jest/globals';
import { sampleBundle, sampleResults, sampleSchedule, sampleSigner } from '../../harness.js';
import { SECOND, SettlementStage } from '../../settlement-stage.js';
import { BaseLayerPoster, BundlingServicePoster, imageOf, readCheckpoint, slotKey, type Settler } from '../index.js';
import { SETTLEMENT_STEPS, type SettlementStep } from './steps.js';

let stage: SettlementStage;

const poor = testWallet(1);

beforeAll(async () => {
  stage = await SettlementStage.open();
});
afterAll(() => stage.close());
beforeEach(() => stage.clear());

const schedule = (name: string, slots: number) => sampleSchedule(name, slots, stage.scheduler);
const states = async () => (await stage.store.page(null, 100)).map((b) => b.state);
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'went well',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );

/** What is on Arweave of a process, slot by slot; each once. */
async function settledSlots(process: string): Promise<string[]> {
  const bundles = await stage.settled();
  return bundles
    .flatMap((b) => b.ranges.filter((r) => r.process === process))
    .flatMap((r) => r.entries.map((e) => e.message.id));
}
const ids = (entries: readonly ScheduleEntry[]): string[] => entries.map((e) => e.message.id);

/** Takes all that waits the whole way, in a bounded number of steps. */
async function settleAll(settler: Settler): Promise<void> {
  for (let i = 0; i < 20; i += 1) {
    stage.now += 61 * SECOND;
    await settler.step();
    if (settler.status.backlog.since === null && (await states()).every((s) => s === 'final')) return;
    await stage.arweave.mine(5);
  }
  throw new Error('It never settled.');
}

describe('sealing', () => {
  it('waits for a bundle to fill, and no longer than items may wait', async () => {
    const settler = stage.settler();
    const entries = await schedule('a', 5);
    await stage.place(entries);
    await settler.step();
    expect(await states()).toEqual([]);
    stage.now += 59 * SECOND;
    await settler.step();
    expect(await states()).toEqual([]);
    stage.now += SECOND;
    await settler.step();
    expect(await states()).toEqual(['posted']);
    await settler.stop();
    const many = stage.settler({ bundleBytes: 8000 });
    await stage.place(await schedule('b', 40));
    await many.step();
    expect((await stage.store.newest()).sequence).toBeGreaterThan(2);
    // What is left does not fill another, and waits its time.
    expect(many.status.backlog.slots).toBeGreaterThan(0);
    expect(many.status.backlog.slots).toBeLessThanOrEqual(12);
  });

  it('puts everything on Arweave once and in order, with what it came to', async () => {
    const settler = stage.settler({ bundleBytes: 10_000 });
    const [a, b] = await Promise.all([schedule('a', 30), schedule('b', 7)]);
    const loose = await createItem(
      { tags: [{ name: 'Type', value: 'Scheduler-Location' }], data: '' },
      sampleSigner('x'),
    );
    await stage.keep(loose);
    await stage.place(a);
    await stage.place(b);
    await settleAll(settler);
    expect(await settledSlots(a[0]?.process ?? '')).toEqual(ids(a));
    expect(await settledSlots(b[0]?.process ?? '')).toEqual(ids(b));
    const bundles = await stage.settled();
    expect(bundles.flatMap((x) => x.others.map((o) => o.id))).toContain(loose.id);
    for (const { results, process, to } of bundles.flatMap((x) => x.ranges))
      expect(results).toBe(sampleResults(process === a[0]?.process ? a : b, to));
    expect(new Set(await states())).toEqual(new Set(['final']));
  });

  it('shares a bundle fairly: a flood of one process keeps nobody out', async () => {
    const settler = stage.settler({ bundleBytes: 30_000 });
    const flood = await schedule('flood', 300);
    const small = await Promise.all(Array.from({ length: 5 }, (_, i) => schedule(`small ${i}`, 2)));
    await stage.place(flood);
    for (const entries of small) await stage.place(entries);
    stage.now += 61 * SECOND;
    await settler.sealer.seal();
    await settler.step();
    await stage.arweave.mine();
    const [first] = await stage.settled();
    expect(first?.ranges).toHaveLength(6);
    for (const range of first?.ranges ?? []) if (range.process !== flood[0]?.process) expect(range.to).toBe(1);
    expect((await stage.store.find(1))?.itemBytes).toBeLessThanOrEqual(30_000);
  });

  it('fills its bundles when every process wants a little more than its share: their number costs nobody a bundle each', async () => {
    const crowd = await Promise.all(Array.from({ length: 20 }, (_, i) => schedule(`crowd ${i + 10}`, 1)));
    const slot = Math.max(...crowd.map(([e]) => (e?.assignment.raw.length ?? 0) + (e?.message.raw.length ?? 0)));
    const module = await createItem({ tags: [{ name: 'Type', value: 'Module' }], data: '' }, sampleSigner('author'));
    await stage.keep(module);
    const before = stage.settler();
    await settleAll(before);
    await before.stop();
    for (const entries of crowd) await stage.place(entries, Infinity, module);
    stage.now += 61 * SECOND;
    // A share is three bytes less than each wants.
    await stage.settler({ bundleBytes: 20 * (slot - 3) }).step();
    expect(await stage.store.find(2)).toMatchObject({ slots: 19 });
    expect(await stage.store.find(3)).toMatchObject({ slots: 1 });
  });

  it('gives an item that is larger than a bundle one to itself', async () => {
    const settler = stage.settler({ bundleBytes: 4000 });
    const entries = await schedule('a', 4);
    const large = await createItem(
      { tags: [{ name: 'Type', value: 'Module' }], data: 'x'.repeat(20_000) },
      sampleSigner('m'),
    );
    await stage.keep(large);
    await stage.place(entries, Infinity, large);
    await settleAll(settler);
    const bundles = await stage.settled();
    const alone = bundles.find((b) => b.others.some((o) => o.id === large.id));
    expect(alone?.ranges).toEqual([]);
    expect(await settledSlots(entries[0]?.process ?? '')).toEqual(ids(entries));
  });

  it('settles a module before the first spawn of it', async () => {
    const settler = stage.settler({ bundleBytes: 3000 });
    const modules = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        createItem({ tags: [{ name: 'Type', value: 'Module' }], data: `${i}`.repeat(900) }, sampleSigner('m')),
      ),
    );
    const spawned: [ScheduleEntry[], Item][] = [];
    for (const [i, module] of modules.entries()) {
      await stage.keep(module);
      const entries = await schedule(`p ${i}`, 3);
      await stage.place(entries, Infinity, module);
      spawned.push([entries, module]);
    }
    await settleAll(settler);
    const bundles = await stage.settled();
    for (const [entries, module] of spawned) {
      const of = bundles.find((b) => b.others.some((o) => o.id === module.id))?.seal.sequence ?? Infinity;
      const at = bundles.find((b) => b.ranges.some((r) => r.process === entries[0]?.process))?.seal.sequence ?? -1;
      expect(of).toBeLessThanOrEqual(at);
    }
  });

  it('goes on without the results of a stopped process, and has the whole chain when it goes on', async () => {
    const settler = stage.settler();
    const entries = await schedule('a', 9);
    await stage.place(entries.slice(0, 3), 0);
    stage.now += 61 * SECOND;
    await settler.step(); // slot 0, which has a result
    await settler.step(); // slots 1 and 2, which have waited and have none
    await stage.place(entries.slice(3, 6), -1);
    stage.now += 61 * SECOND;
    await settler.step();
    await stage.evaluate(entries.slice(1, 6));
    await stage.place(entries.slice(6));
    stage.now += 61 * SECOND;
    await settler.step();
    await stage.arweave.mine();
    const ranges = (await stage.settled()).flatMap((b) => b.ranges);
    expect(ranges.map(({ from, to, results }) => [from, to, results])).toEqual([
      [0, 0, sampleResults(entries, 0)],
      [1, 2, null],
      [3, 5, null],
      [6, 8, sampleResults(entries, 8)],
    ]);
  });

  it('knows in which bundle each slot and item is', async () => {
    const settler = stage.settler();
    const entries = await schedule('a', 4);
    await stage.place(entries);
    const { process } = entries[0] as ScheduleEntry;
    const at = (slot: number) =>
      stage.store.ofSlots([{ process, slot }]).then((found) => found.get(slotKey(process, slot)));
    expect(await at(0)).toBeUndefined();
    stage.now += 61 * SECOND;
    await settler.step();
    const row = await stage.store.find(1);
    expect(await at(3)).toEqual({ bundle: 1, seal: row?.seal, state: 'posted', transaction: row?.carrier });
    expect(await at(4)).toBeUndefined();
    expect(await stage.store.ofItem('nobody')).toBeNull();
  });
});

describe('a bundle on its way', () => {
  let settler: Settler;
  let entries: ScheduleEntry[];

  beforeEach(async () => {
    settler = stage.settler();
    entries = await schedule('a', 5);
    await stage.place(entries);
    stage.now += 61 * SECOND;
  });

  const carrier = async () => (await stage.store.find(1))?.carrier ?? '';

  it('is posted, confirmed at its depth, final at its own', async () => {
    await settler.step();
    expect(await states()).toEqual(['posted']);
    await stage.arweave.mine();
    await settler.step();
    expect(await states()).toEqual(['posted']);
    await stage.arweave.mine();
    await settler.step();
    expect(await states()).toEqual(['confirmed']);
    await stage.arweave.mine(7);
    await settler.step();
    expect(await states()).toEqual(['confirmed']);
    await stage.arweave.mine();
    await settler.step();
    expect(await states()).toEqual(['final']);
  });

  it('is counted, not waited for, while the gateway is down for an hour', async () => {
    stage.now -= 61 * SECOND;
    await settler.step();
    stage.arweave.faults.fail();
    const more = await schedule('more', 12);
    for (const entry of more) {
      await stage.place([entry]);
      stage.now += 300 * SECOND;
      expect(await codeOf(settler.step())).toBe('unreachable');
    }
    const sealed = await states();
    expect(sealed).toHaveLength(12);
    expect(new Set(sealed)).toEqual(new Set(['sealed']));
    stage.arweave.faults.heal();
    await settleAll(settler);
    expect(await settledSlots(entries[0]?.process ?? '')).toEqual(ids(entries));
    expect(await settledSlots(more[0]?.process ?? '')).toEqual(ids(more));
  });

  it('is sealed on while the gateway is down, once it is known what Arweave has', async () => {
    await settler.step();
    stage.arweave.faults.fail();
    const more = await schedule('b', 5);
    await stage.place(more);
    stage.now += 3600 * SECOND;
    expect(await codeOf(settler.step())).toBe('unreachable');
    expect(await states()).toEqual(['sealed', 'posted']);
    stage.now += 120 * SECOND;
    stage.arweave.faults.heal();
    stage.arweave.faults.fail({ path: '/price' });
    expect(await codeOf(settler.step())).toBe('unreachable');
    expect((await stage.store.find(2))?.error).toMatch(/does not answer/);
  });

  it('is gone on with when only half of it was posted', async () => {
    await settler.stop();
    await stage.clear();
    const large = await createItem(
      { tags: [{ name: 'Type', value: 'Module' }], data: Buffer.alloc(2 * 1024 * 1024, 'isthmus') },
      sampleSigner('m'),
    );
    await stage.keep(large);
    const again = stage.settler();
    await again.step();
    stage.now += 61 * SECOND;
    stage.arweave.faults.refuseChunksAfter(3);
    expect(await codeOf(again.step())).toBe('unreachable');
    expect(await stage.store.find(1)).toMatchObject({ state: 'sealed', parts: 3, signed: 1, failures: 1 });
    const first = await carrier();
    stage.arweave.faults.heal();
    await settleAll(again);
    // The same transaction, not another: nothing was paid twice.
    expect(await stage.store.find(1)).toMatchObject({ state: 'final', carrier: first, signed: 1, failures: 0 });
    expect((await stage.settled())[0]?.others.map((o) => o.id)).toEqual([large.id]);
  });

  it('A13 is posted again when it is dropped before it is mined', async () => {
    await settler.step();
    const first = await carrier();
    await stage.arweave.drop(first);
    await settler.step();
    expect(await states()).toEqual(['posted']); // gateways forget for a moment
    stage.now += 60 * SECOND;
    await settler.step();
    expect(await stage.store.find(1)).toMatchObject({
      state: 'sealed',
      error: 'dropped: the gateway does not know its transaction',
    });
    await settler.step();
    expect(await stage.store.find(1)).toMatchObject({ state: 'posted', carrier: first, signed: 1 });
    await settleAll(settler);
    expect(await settledSlots(entries[0]?.process ?? '')).toEqual(ids(entries));
  });

  it('A13 is signed on another anchor when it was never mined and its own is too old', async () => {
    await settler.step();
    const first = await carrier();
    await stage.arweave.drop(first);
    await stage.arweave.mine(60);
    stage.now += 60 * SECOND;
    await settler.step();
    await settler.step();
    expect(await stage.store.find(1)).toMatchObject({ state: 'posted', signed: 2 });
    expect(await carrier()).not.toBe(first);
    await settleAll(settler);
    expect(await settledSlots(entries[0]?.process ?? '')).toEqual(ids(entries));
  });

  it('A13 goes the same way through a bundling service, and is given to it again when it loses it', async () => {
    await settler.stop();
    const service = `${stage.arweave.url}/bundler`;
    const through = stage.settler({}, new BundlingServicePoster(service, stage.client, arweaveSigner(stage.jwk)));
    await through.step();
    const first = await carrier();
    expect(await states()).toEqual(['posted']);
    await stage.arweave.drop(first);
    stage.now += 60 * SECOND;
    await through.step();
    expect(await stage.store.find(1)).toMatchObject({ state: 'sealed', error: expect.stringMatching(/^dropped/) });
    await settleAll(through);
    // One item, signed once, in a transaction that the service pays: the wallet need have nothing.
    expect(await stage.store.find(1)).toMatchObject({ state: 'final', carrier: first, signed: 1 });
    expect((await stage.client.transaction(first))?.bundledIn).toMatch(/^[\w-]{43}$/);
    expect(await settledSlots(entries[0]?.process ?? '')).toEqual(ids(entries));
  });

  it('counts once when it was posted twice', async () => {
    await settler.step();
    const row = await stage.store.find(1);
    const other = new BaseLayerPoster(stage.client, arweaveSigner(stage.jwk));
    const bytes = await settler.sealer.bytesOf(1);
    const twice = await other.sign(bytes, { scheduler: stage.scheduler.address, sequence: 1, seal: row?.seal ?? '' });
    await other.send(twice, bytes, 0, () => Promise.resolve());
    expect(twice.id).not.toBe(row?.carrier);
    await settleAll(settler);
    expect(await stage.settled()).toHaveLength(1);
    expect(await settledSlots(entries[0]?.process ?? '')).toEqual(ids(entries));
  });

  it('waits for another block when a fork of Arweave takes its own away', async () => {
    await settler.step();
    await stage.arweave.mine(2);
    await settler.step();
    expect(await states()).toEqual(['confirmed']);
    await stage.arweave.fork(2);
    await settler.step();
    expect(await stage.store.find(1)).toMatchObject({
      state: 'posted',
      height: null,
      error: 'its block is gone: Arweave has gone on without it',
    });
    await settleAll(settler);
    expect(await stage.store.find(1)).toMatchObject({ state: 'final', signed: 1, error: null });
  });

  it('is posted again when a fork of Arweave forgets it altogether', async () => {
    await settler.step();
    await stage.arweave.mine(2);
    await settler.step();
    await stage.arweave.fork(2, { lose: true });
    await settler.step();
    expect(await states()).toEqual(['posted']);
    stage.now += 60 * SECOND;
    await settler.step();
    expect(await states()).toEqual(['sealed']);
    await settleAll(settler);
    expect(await settledSlots(entries[0]?.process ?? '')).toEqual(ids(entries));
    expect(await states()).toEqual(['final']);
  });

  it.each([
    ['other', Buffer.from('other')],
    ['more', Buffer.alloc(100_000)],
  ])('is not confirmed by a gateway that gives %s bytes', async (_, given) => {
    await settler.step();
    await stage.arweave.mine(2);
    stage.arweave.faults.answerWith(await carrier(), given);
    expect(await codeOf(settler.step())).toBe('other-bytes');
    expect(await stage.store.find(1)).toMatchObject({ state: 'posted', failures: 1 });
    stage.arweave.faults.heal();
    await settler.step();
    expect(await states()).toEqual(['confirmed']);
  });

  it('has its data sent again when it is in a block and they are not there', async () => {
    await settler.step();
    await stage.arweave.mine();
    await stage.arweave.drop(await carrier());
    await stage.arweave.mine();
    await settler.step();
    expect(await stage.store.find(1)).toMatchObject({
      state: 'sealed',
      error: 'its transaction is in a block and its data is not there',
    });
    await settler.step();
    await settler.step();
    expect(await stage.store.find(1)).toMatchObject({ state: 'confirmed', signed: 1 });
  });

  it('is not paid for again while its transaction is in a block, however long its data is not shown', async () => {
    await settler.step();
    await stage.arweave.mine(2);
    stage.arweave.faults.fail({ path: '/raw', status: 404 });
    for (let i = 0; i < 4; i += 1) {
      await settler.step();
      await settler.step();
      await stage.arweave.mine(60);
    }
    expect(await stage.store.find(1)).toMatchObject({ signed: 1 });
    stage.arweave.faults.heal();
    await settleAll(settler);
    expect(await stage.store.find(1)).toMatchObject({ state: 'final', signed: 1 });
  });

  it('is paid for more and more seldom at a gateway that never knows what it was given', async () => {
    await settler.step();
    stage.arweave.faults.fail({ path: '/tx/', status: 404 });
    for (let i = 0; i < 40; i += 1) {
      await stage.arweave.mine(60);
      stage.now += 60 * SECOND;
      await settler.step().catch(() => undefined);
      await settler.step().catch(() => undefined);
    }
    expect((await stage.store.find(1))?.signed).toBeLessThanOrEqual(7);
  });

  it('pays no price beyond the most that is allowed: a node that asks for all the wallet has gets nothing', async () => {
    await settler.stop();
    const price = jest
      .spyOn(stage.client, 'price')
      .mockImplementation(() => stage.client.balance(addressOfWallet(stage.jwk)));
    try {
      const robbed = stage.settler();
      expect(await codeOf(robbed.step())).toBe('too-dear');
      expect(await stage.store.find(1)).toMatchObject({ state: 'sealed', carrier: null, signed: 0 });
    } finally {
      price.mockRestore();
    }
  });

  it('keeps nobody from being looked at when a gateway will not say how one transaction is', async () => {
    for (const name of ['b', 'c', 'd', 'e', 'f']) {
      await settler.step();
      await stage.place(await schedule(name, 2));
      stage.now += 61 * SECOND;
    }
    await settler.step();
    await stage.arweave.mine(2);
    for (const { sequence, carrier: id } of await stage.store.page(null, 100))
      if (sequence < 6) stage.arweave.faults.fail({ path: `/tx/${id}/status`, status: 451 });
    for (let i = 0; i < 8; i += 1) {
      stage.now += SECOND;
      await settler.step().catch(() => undefined);
    }
    expect(await states()).toEqual(['confirmed', 'posted', 'posted', 'posted', 'posted', 'posted']);
  });

  it('is not posted from an empty wallet, and goes on when that is filled', async () => {
    const wallet = arweaveSigner(poor);
    await settler.stop();
    const short = stage.settler({ minBalance: 1000n }, new BaseLayerPoster(stage.client, wallet));
    expect(await codeOf(short.step())).toBe('wallet-short');
    expect(await stage.store.find(1)).toMatchObject({ state: 'sealed', carrier: null });
    expect(short.status.funds).toMatchObject({ wallet: wallet.address, balance: 0n });
    await stage.arweave.mint(wallet.address, 10n ** 15n);
    await settleAll(short);
    expect(await states()).toEqual(['final']);
    expect(short.status.funds?.balance).toBeGreaterThan(0n);
  });

  it('raises an alarm while there is still money, when it lasts for too few days', async () => {
    await settler.step();
    await settler.stop();
    const worried = stage.settler({ minDays: 10 ** 9 });
    expect(await codeOf(worried.step())).toBe('wallet-short');
    const { days, balance, pricePerMiB, bytesPerDay } = worried.status.funds ?? {};
    expect(Number(balance)).toBeGreaterThan(0);
    const { bytes = 0 } = (await stage.store.find(1)) ?? {};
    expect(bytesPerDay).toBe(bytes);
    expect(Number(days) / (Number(balance) / ((Number(pricePerMiB) * bytes) / 2 ** 20))).toBeCloseTo(1, 2);
    expect(await states()).toEqual(['posted']); // which keeps nobody from posting
  });

  it('says when it is behind', async () => {
    await settler.step();
    expect(await codeOf(settler.step())).toBe('went well');
    stage.now += 2 * 3600 * SECOND;
    expect(await codeOf(settler.step())).toBe('behind');
    await stage.arweave.mine(2);
    expect(await codeOf(settler.step())).toBe('went well');
  });
});

describe('I12 settlement ended at any step', () => {
  it.each(SETTLEMENT_STEPS.filter((s) => !s.startsWith('checkpoint')))('%s loses and doubles nothing', async (step) => {
    const entries = await schedule('a', 6);
    await stage.place(entries);
    let armed = true;
    stage.onStep = (reached: SettlementStep) => {
      if (armed && reached === step) throw new Error(`ended at ${step}`);
    };
    const first = stage.settler();
    stage.now += 61 * SECOND;
    const until = async (settler: Settler) => {
      for (let i = 0; i < 4; i += 1) {
        await settler.step();
        await stage.arweave.mine(2);
      }
    };
    await expect(until(first)).rejects.toThrow(`ended at ${step}`);
    await first.stop();
    armed = false;
    const second = stage.settler();
    await until(second);
    await stage.arweave.mine(10);
    await second.step();
    expect(await settledSlots(entries[0]?.process ?? '')).toEqual(ids(entries));
    expect(await states()).toEqual(['final']);
    expect((await stage.store.find(1))?.signed).toBe(1);
  });
});

describe('several gateways on one database', () => {
  it('one settles, and another goes on where it ended', async () => {
    const [first, second] = [stage.settler(), stage.settler()];
    await stage.place(await schedule('a', 5));
    stage.now += 61 * SECOND;
    await Promise.all([first.step(), second.step()]);
    expect(first.status.leads).not.toBe(second.status.leads);
    expect(await states()).toEqual(['posted']);
    const [leader, other] = first.status.leads ? [first, second] : [second, first];
    await leader.stop();
    await stage.arweave.mine(2);
    await other.step();
    expect(await states()).toEqual(['confirmed']);
  });

  it('seal no number twice when both believe that they lead', async () => {
    await stage.place(await schedule('a', 5));
    stage.now += 61 * SECOND;
    const [first, second] = [stage.settler(), stage.settler()];
    await Promise.all([first.sealer.seal(), second.sealer.seal()]);
    expect(await stage.store.newest()).toMatchObject({ sequence: 1 });
    expect((await stage.store.find(1))?.items).toBe(11);
  });
});

describe('a final bundle that Arweave no longer has', () => {
  let settler: Settler;
  let at = 0;
  const final = async (): Promise<string> => {
    settler = stage.settler({ spotCheckMs: 600 * SECOND, checkpointSlots: 2 }, null, () => at);
    await stage.place(await schedule('a', 5));
    await settleAll(settler);
    await stage.place(await schedule('b', 5));
    await settleAll(settler);
    stage.now += 600 * SECOND;
    return (await stage.store.find(2))?.carrier ?? '';
  };
  const lost = async () => (await stage.store.lost(10)).bundles;

  it('is found by a look at random, said until it is back, and looked at no more often than told', async () => {
    const carrier = await final();
    const before = settler.status.spotChecks;
    at = 0; // the first
    await stage.arweave.drop(carrier);
    await settler.step();
    expect([settler.status.spotChecks, await lost()]).toEqual([before + 1, []]);
    at = 0.99; // the second
    stage.now += 599 * SECOND;
    await settler.step();
    expect(settler.status.spotChecks).toBe(before + 1);
    stage.now += SECOND;
    expect(await codeOf(settler.step())).toBe('bundle-lost');
    expect(await codeOf(settler.step())).toBe('bundle-lost');
    expect(await lost()).toEqual([{ sequence: 2, lost: 'gone' }]);
  });

  it('and one that comes back with other bytes; it is well again when they are right again', async () => {
    const carrier = await final();
    at = 0.99;
    for (const bytes of ['others', 'x'.repeat(100_000)]) {
      stage.arweave.faults.answerWith(carrier, Buffer.from(bytes));
      expect(await codeOf(settler.step())).toBe('bundle-lost');
      expect(await lost()).toEqual([{ sequence: 2, lost: 'other' }]);
      at = 0; // those that were lost are looked at whatever chance says
      stage.now += 600 * SECOND;
    }
    stage.arweave.faults.heal();
    await settler.step();
    expect(await lost()).toEqual([]);
  });

  it('a gateway that cannot be asked has lost nothing', async () => {
    await final();
    stage.arweave.faults.fail({ path: '/raw' });
    expect(await codeOf(settler.step())).toBe('unreachable');
    expect(await lost()).toEqual([]);
  });

  it('is posted again when the operator says so: the same seal and bytes by another transaction, and it counts once', async () => {
    const carrier = await final();
    const before = await stage.store.find(2);
    await stage.arweave.drop(carrier);
    at = 0.99;
    expect(await codeOf(settler.step())).toBe('bundle-lost');
    expect(await settler.repost(2)).toBe(true);
    expect(await settler.repost(2)).toBe(false); // on its way
    await settler.step();
    const after = await stage.store.find(2);
    expect(after).toMatchObject({ state: 'posted', seal: before?.seal, sha256: before?.sha256, signed: 2, lost: null });
    expect(after?.carrier).not.toBe(carrier);
    expect(await settler.oldestUnconfirmed()).toBeGreaterThan(stage.now - 600 * SECOND);
    expect(await settler.repost(2)).toBe(false); // posted
    await stage.arweave.mine(2);
    await settler.step();
    expect(await states()).toEqual(['confirmed', 'final']);
    for (const _ of ['once', 'twice']) expect(await settler.repost(2)).toBe(false); // to be paid for again otherwise
    await settleAll(settler);
    expect((await stage.store.find(2))?.signed).toBe(2);
    expect(await states()).toEqual(['final', 'final']);
    expect((await stage.settled()).map((b) => b.seal.sequence)).toEqual([1, 2]);
    expect(await settler.repost(3)).toBe(false);
  });

  it('also when there was a checkpoint in it', async () => {
    settler = stage.settler();
    await stage.place(await schedule('a', 5));
    const checkpoint = await createItem({ tags: [], data: 'memory' }, stage.scheduler);
    await stage.database.query(`insert into settlement_checkpoint (id, process, nonce, item) values ($1, 'p', 1, $2)`, [
      checkpoint.id,
      checkpoint.raw,
    ]);
    await settleAll(settler);
    expect(await stage.store.ofItem(checkpoint.id)).toMatchObject({ bundle: 1, state: 'final' });
    expect(await settler.repost(1)).toBe(false); // nobody has seen it lost
    expect((await stage.store.find(1))?.state).toBe('final');
    expect(await settler.repost(1, true)).toBe(true);
    await settleAll(settler);
    expect(await stage.store.find(1)).toMatchObject({ state: 'final', signed: 2 });
  });
});

describe('a database that is not what it was', () => {
  it('settles nothing while Arweave has bundles it has never heard of: an old copy would fork the settlement', async () => {
    const entries = await schedule('a', 5);
    await stage.place(entries);
    const settler = stage.settler();
    await settleAll(settler);
    await settler.stop();
    await stage.database.query(
      'truncate settlement_bundle, settlement_range, settlement_item, settlement_progress cascade',
    );
    const restored = stage.settler();
    expect(await codeOf(restored.step())).toBe('old-database');
    expect(await states()).toEqual([]);
  });

  it('restored minutes after a seal, while the index does not show that yet, seals nothing: the number would be given twice', async () => {
    await stage.place(await schedule('a', 5));
    const settler = stage.settler();
    await settleAll(settler);
    const before = await stage.backup();
    const { height } = stage.arweave.node.weave.head;
    await stage.place(await schedule('b', 5));
    await settleAll(settler);
    await settler.stop();
    expect((await stage.store.newest()).sequence).toBe(2);
    await before();
    await stage.place(await schedule('c', 5));
    stage.arweave.faults.lagIndexAt(height); // it shows bundle 1 only
    const restored = stage.settler({ indexMs: 600 * SECOND });
    for (let minute = 0; minute < 10; minute += 1) {
      await restored.step();
      expect(restored.status.sealsFrom).toBe(stage.now + (10 - minute) * 60 * SECOND);
      stage.now += 60 * SECOND;
    }
    stage.arweave.faults.heal();
    expect(await codeOf(restored.step())).toBe('old-database');
    expect((await stage.store.newest()).sequence).toBe(1);
    expect(await stage.settled()).toHaveLength(2); // no fork
  });

  it('waits once for the index in a run, and again when another gateway had the lead; then seals', async () => {
    await stage.place(await schedule('a', 5));
    const settler = stage.settler({ indexMs: 600 * SECOND });
    await settler.step();
    stage.now += 599 * SECOND;
    await settler.step();
    expect(await states()).toEqual([]);
    stage.now += SECOND;
    await settler.step();
    expect(settler.status.sealsFrom).toBeNull();
    await settleAll(settler);
    expect(await states()).toEqual(['final']);
    await stage.place(await schedule('b', 5));
    stage.now += 61 * SECOND;
    await settler.step(); // at once
    expect((await stage.store.newest()).sequence).toBe(2);
    await settler.stop();
    const next = stage.settler({ indexMs: 600 * SECOND });
    await next.step();
    expect(next.status.sealsFrom).toBe(stage.now + 600 * SECOND);
  });

  it('seals nothing by an index that stands still: one that lacks what was confirmed may lack more', async () => {
    await stage.place(await schedule('a', 5));
    const settler = stage.settler();
    await settleAll(settler);
    await settler.stop();
    await stage.place(await schedule('b', 5));
    stage.now += 61 * SECOND;
    stage.arweave.faults.lagIndexAt(0);
    const again = stage.settler();
    expect(await codeOf(again.step())).toBe('index-behind');
    expect(await states()).toEqual(['final']);
    stage.arweave.faults.heal();
    await settleAll(again);
    expect(await states()).toEqual(['final', 'final']);
  });

  it('is not kept from settling by a stranger who claims to carry its next bundle', async () => {
    const theirs = sampleSigner('stranger');
    const forged = await sampleBundle(
      { sequence: 1, previous: null, parts: [{ schedule: await sampleSchedule('x', 3, theirs), from: 0, to: 2 }] },
      theirs,
    );
    const poster = new BaseLayerPoster(stage.client, arweaveSigner(stage.jwk));
    const label = { scheduler: stage.scheduler.address, sequence: 1, seal: forged.seal.item.id };
    await poster.send(await poster.sign(forged.bytes, label), forged.bytes, 0, () => Promise.resolve());
    await stage.arweave.mine();
    const entries = await schedule('a', 5);
    await stage.place(entries);
    await settleAll(stage.settler());
    expect(await states()).toEqual(['final']);
  });

  it('posts nothing of a bundle whose rows have changed since it was sealed', async () => {
    const entries = await schedule('a', 5);
    await stage.place(entries);
    const settler = stage.settler();
    stage.now += 61 * SECOND;
    stage.arweave.faults.fail({ path: '/price' });
    expect(await codeOf(settler.step())).toBe('unreachable');
    stage.arweave.faults.heal();
    await stage.database.query("update assignment set message = message || 'x' where nonce = 3");
    expect(await codeOf(settler.step())).toBe('rows-changed');
    expect(await states()).toEqual(['sealed']);
  });
});

describe('checkpoints', () => {
  const SLOTS = 12;
  let entries: ScheduleEntry[];

  beforeEach(async () => {
    entries = await schedule('a', SLOTS);
    await stage.place(entries);
    const process = entries[0]?.process;
    await stage.database.query('insert into checkpoint (process, nonce, size) values ($1, 7, 131072)', [process]);
    await stage.database.query('insert into checkpoint_page (process, page, bytes) values ($1, 1, $2)', [
      process,
      Buffer.alloc(65_536, 3),
    ]);
    stage.now += 61 * SECOND;
  });

  it('are signed now and then, settled once, and kept: their bundle may have to be posted again', async () => {
    const settler = stage.settler({ checkpointSlots: 5 });
    await settleAll(settler);
    await settleAll(settler);
    const others = (await stage.settled()).flatMap((b) => b.others);
    const [found, more] = others.flatMap((o) => readCheckpoint(o) ?? []);
    expect(more).toBeUndefined();
    expect(found).toMatchObject({ process: entries[0]?.process, nonce: 7, results: sampleResults(entries, 7) });
    const image = found && (await imageOf(found));
    expect([...(image?.pages.keys() ?? [])]).toEqual([1]);
    const kept: { id: string }[] = await stage.database.query('select id from settlement_checkpoint');
    expect(kept).toEqual([{ id: found?.item.id }]);
    expect(new Set(await states())).toEqual(new Set(['final']));
  });

  it('are not made before their time', async () => {
    const settler = stage.settler({ checkpointSlots: 9 });
    await settleAll(settler);
    expect((await stage.settled()).flatMap((b) => b.others)).toHaveLength(1);
  });

  it.each(['checkpoint.before-commit', 'checkpoint.after-commit'] as const)(
    'I12 are made once when settlement ends at %s',
    async (step) => {
      stage.onStep = (reached) => {
        if (reached === step) throw new Error('ended');
      };
      const first = stage.settler({ checkpointSlots: 5 });
      await expect(first.step()).rejects.toThrow('ended');
      await first.stop();
      stage.onStep = () => undefined;
      const second = stage.settler({ checkpointSlots: 5 });
      await settleAll(second);
      await settleAll(second);
      const others = (await stage.settled()).flatMap((b) => b.others);
      expect(others.flatMap((o) => readCheckpoint(o) ?? [])).toHaveLength(1);
    },
  );
});
