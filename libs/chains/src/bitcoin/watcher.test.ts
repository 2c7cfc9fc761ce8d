import { startBitcoin, type LocalBitcoin } from '@isthmus/devnet';
import { confirmationsFor } from './finality.js';
import { BitcoinStage, POLICY, RECIPIENT, REGTEST, urlOf } from './harness.js';
import { HeaderChain, MemoryHeaderStore } from './headers.js';
import { memoScript } from './memo.js';
import { planPayment } from './batch.js';
import { checkInclusion, type ParsedBlock } from './block.js';
import { BitcoinPool } from './rpc.js';
import { buildRefund } from './refund.js';
import { NETWORKS } from './network.js';
import { depositScript, type DepositTerms } from './vault-script.js';
import { BitcoinWatcher, REGISTRATION_LEEWAY_MS } from './watcher.js';

let stage: BitcoinStage;
beforeAll(async () => {
  stage = await BitcoinStage.open();
});
afterAll(() => stage.bitcoin.stop());
beforeEach(() => stage.watch());

describe('deposits', () => {
  it('B1: what is unconfirmed is nothing; B5: the exact minimum is credited, less is kept with the reason', async () => {
    const { lock } = stage.deposit();
    await stage.pay(
      { address: lock.address, value: POLICY.minDeposit },
      { address: lock.address, value: POLICY.minDeposit - 1n },
    );
    const watcher = stage.watcher();
    expect((await stage.watch(watcher)).receipts).toEqual([]);
    await stage.bitcoin.mine();
    const { receipts } = await stage.watch(watcher);
    expect(receipts.map((r) => watcher.standing(r))).toEqual([
      { state: 'confirming', confirmations: 1, required: 2 },
      { state: 'refused', reason: 'below-minimum' },
    ]);
    await stage.bitcoin.mine();
    await stage.watch(watcher);
    expect(watcher.standing(receipts[0]!)).toMatchObject({ state: 'final', confirmations: 2 });
  });

  it('B7: several outputs of one transaction are each a deposit, of what the output holds', async () => {
    const [one, two] = [stage.deposit(), stage.deposit({ recipient: '0x52908400098527886E0F7030069857D2E4169EE7' })];
    const tx = await stage.pay(
      { address: one.lock.address, value: 40_000n },
      { address: two.lock.address, value: 50_000n },
      { address: one.lock.address, value: 60_000n },
    );
    await stage.bitcoin.mine();
    const { receipts } = await stage.watch();
    expect(receipts.map(({ reference, value }) => [reference, value])).toEqual(
      [40_000n, 50_000n, 60_000n].map((value, i) => [
        `bip122:${REGTEST.genesis.slice(0, 32)}:${tx.getId()}:${i}`,
        value,
      ]),
    );
    expect(receipts.map(({ to }) => (to.kind === 'deposit' ? to.terms.recipient : to.kind))).toEqual([
      RECIPIENT,
      two.terms.recipient,
      RECIPIENT,
    ]);
    expect(receipts.every(({ together }) => together === 150_000n)).toBe(true);
  });

  it('B6: to the vault itself they need one memo; without, they are kept with the reason', async () => {
    const vault = (value: bigint) => ({ address: stage.plain.address, value });
    const memo = { script: memoScript({ recipient: RECIPIENT, tags: [] }), value: 0n };
    await stage.pay(vault(40_000n), memo, vault(50_000n));
    await stage.pay(vault(60_000n));
    await stage.pay(vault(70_000n), { script: Buffer.from('6a0441414141', 'hex'), value: 0n });
    await stage.bitcoin.mine();
    const { receipts } = await stage.watch();
    const told = Object.fromEntries(
      receipts.map((r) => [String(r.value), r.to.kind === 'memo' ? r.to.memo.recipient : r.to]),
    );
    expect(told).toEqual({
      40000: RECIPIENT,
      50000: RECIPIENT,
      60000: { kind: 'unclaimed', fault: 'memo-missing' },
      70000: { kind: 'unclaimed', fault: 'memo-malformed' },
    });
    const [unclaimed] = receipts.filter(({ to }) => to.kind === 'unclaimed');
    expect(stage.watcher().standing(unclaimed!)).toMatchObject({
      state: 'refused',
      reason: expect.stringMatching(/^memo-/),
    });
  });

  it('B2: replaced by a payment to somebody else before they are mined are nothing', async () => {
    const { lock } = stage.deposit();
    const from = await stage.purse.coin(stage.bitcoin.node);
    const pay = (address: string, fee: bigint) =>
      stage.purse.pay(stage.bitcoin.node, [{ address, value: 90_000n }], { from, fee });
    await stage.bitcoin.send(await pay(lock.address, 1_000n));
    await stage.bitcoin.send(await pay(stage.purse.address, 5_000n));
    await stage.bitcoin.mine(3);
    expect((await stage.watch()).receipts).toEqual([]);
  });

  it('B3: spent twice after one confirmation are gone with their block, and never were final', async () => {
    const { lock } = stage.deposit();
    const from = await stage.purse.coin(stage.bitcoin.node);
    const pay = (address: string) => stage.purse.pay(stage.bitcoin.node, [{ address, value: 90_000n }], { from });
    await stage.bitcoin.send(await pay(lock.address));
    await stage.bitcoin.mine();
    const watcher = stage.watcher();
    const [receipt] = (await stage.watch(watcher)).receipts;
    expect(watcher.standing(receipt!)).toMatchObject({ state: 'confirming', confirmations: 1 });
    await stage.bitcoin.branch(1, { only: [await pay(stage.purse.address)] });
    const after = await stage.watch(watcher);
    expect(after).toMatchObject({ rewinds: 1, receipts: [] });
    expect(watcher.standing(receipt!)).toEqual({ state: 'orphaned' });
  });

  it('B3: of a block that is gone, but in one of the new branch, are found there again', async () => {
    const { lock } = stage.deposit();
    await stage.pay({ address: lock.address, value: 90_000n });
    await stage.bitcoin.mine();
    const watcher = stage.watcher();
    const [first] = (await stage.watch(watcher)).receipts;
    await stage.bitcoin.branch(1);
    await stage.bitcoin.mine();
    const [again] = (await stage.watch(watcher)).receipts;
    expect(again!.reference).toBe(first!.reference);
    expect(again!.blockHash).not.toBe(first!.blockHash);
    expect(watcher.standing(first!)).toEqual({ state: 'orphaned' });
    expect(watcher.standing(again!)).toMatchObject({ state: 'confirming' });
  });

  it('B4: of a block’s reward wait a hundred blocks', async () => {
    const { lock } = stage.deposit({ refundAfter: 500 });
    await stage.bitcoin.mine(1, { script: lock.script });
    const watcher = stage.watcher();
    const [receipt] = (await stage.watch(watcher)).receipts;
    expect(watcher.standing(receipt!)).toEqual({ state: 'confirming', confirmations: 1, required: 100 });
    await stage.bitcoin.mine(98);
    await stage.watch(watcher);
    expect(watcher.standing(receipt!)).toMatchObject({ state: 'confirming', confirmations: 99 });
    await stage.bitcoin.mine();
    await stage.watch(watcher);
    expect(watcher.standing(receipt!)).toMatchObject({ state: 'final' });
  });

  it('B8: to an address used again each have their own time, and are not credited when their refund is near', async () => {
    const { lock } = stage.deposit({ refundAfter: 20 });
    const watcher = stage.watcher();
    await stage.pay({ address: lock.address, value: 90_000n });
    await stage.bitcoin.mine(9);
    const [first] = (await stage.watch(watcher)).receipts;
    expect(watcher.standing(first!)).toMatchObject({ state: 'final' });
    await stage.bitcoin.mine();
    await stage.watch(watcher);
    expect(watcher.standing(first!)).toEqual({ state: 'refused', reason: 'refund-near' });
    await stage.pay({ address: lock.address, value: 80_000n });
    await stage.bitcoin.mine(2);
    const [second] = (await stage.watch(watcher)).receipts;
    expect(watcher.standing(first!)).toEqual({ state: 'refused', reason: 'refund-near' });
    expect(watcher.standing(second!)).toMatchObject({ state: 'final', confirmations: 2 });
  });

  it('B9, B16: a coin that is spent is told, and whether the depositor took it back', async () => {
    const { terms, lock } = stage.deposit({ refundAfter: 5 });
    const tx = await stage.pay({ address: lock.address, value: 90_000n });
    await stage.bitcoin.mine(5);
    await stage.watch();
    const coins = [{ txid: tx.getId(), vout: 0, value: 90_000n }];
    const refund = buildRefund(terms, { coins, to: stage.purse.address, feeRate: 1_000n, secret: stage.depositor });
    await stage.bitcoin.send(refund.hex);
    await stage.bitcoin.mine();
    expect((await stage.watch()).spends).toMatchObject([{ txid: tx.getId(), vout: 0, by: refund.txid, refund: true }]);
    expect(await stage.pool.unspent(tx.getId(), 0)).toBe(false);
  });

  it.each([
    ['', true],
    ['00', true],
    ['0000', true],
    ['80', true],
    ['0080', true],
    ['01', false],
    ['02', false],
    ['8000', false],
    ['0180', false],
  ])(
    'B9: spent with %j before the script: whether it is the depositor’s way is what Bitcoin makes of it',
    async (selector, refund) => {
      const { lock } = stage.deposit();
      const tx = await stage.pay({ address: lock.address, value: 90_000n });
      await stage.bitcoin.mine();
      await stage.watch();
      const outpoint = { txid: tx.getId(), vout: 0 };
      const witness = [Buffer.alloc(71, 1), Buffer.from(selector, 'hex'), Buffer.from(lock.witnessScript)];
      const spending = { txid: 'ab'.repeat(32), coinbase: false, inputs: [{ ...outpoint, witness }], outputs: [] };
      const block = { header: { hash: 'cd'.repeat(32) }, txs: [spending] } as unknown as ParsedBlock;
      const { spends } = await stage.watcher().look(block, stage.headers.tip.height);
      expect(spends).toMatchObject([{ ...outpoint, refund }]);
      const alone = { ...spending, inputs: [{ ...outpoint, witness: witness.slice(1) }] };
      const { spends: others } = await stage
        .watcher()
        .look({ ...block, txs: [alone] } as never, stage.headers.tip.height);
      expect(others).toMatchObject([{ refund: false }]);
    },
  );

  describe('to an address that was registered after they were mined', () => {
    const said = (terms: DepositTerms, since: number) => {
      const { script } = depositScript(terms);
      stage.index.add(script, { kind: 'deposit', since, terms, refundAfter: terms.refundAfter });
      return [{ script: Buffer.from(script).toString('hex'), since }];
    };
    const backFrom = async (watcher: ReturnType<typeof stage.watcher>, late: ReturnType<typeof said>) => {
      const found = [];
      for await (const step of watcher.lookBack(late, stage.cursor)) found.push(step);
      return found;
    };
    const termsOf = (words: string, change: Partial<DepositTerms> = {}): DepositTerms => ({
      ...stage.deposit().terms,
      tags: [{ name: 'X-Words', value: words }],
      ...change,
    });

    it('B19: are found when it is, whoever had read the block, with what spent them since', async () => {
      const terms = termsOf('spent', { refundAfter: 2 });
      const watcher = stage.watcher();
      const tx = await stage.pay({ address: depositScript(terms).address, value: 90_000n });
      await stage.bitcoin.mine(2);
      const coins = [{ txid: tx.getId(), vout: 0, value: 90_000n }];
      const refund = buildRefund(terms, { coins, to: stage.purse.address, feeRate: 1_000n, secret: stage.depositor });
      await stage.bitcoin.send(refund.hex);
      await stage.bitcoin.mine(2);
      expect((await stage.watch(watcher)).receipts).toEqual([]);
      const late = said(terms, stage.headers.tip.time * 1_000);
      const found = await backFrom(watcher, late);
      expect(found.flatMap(({ receipts }) => receipts)).toMatchObject([{ txid: tx.getId(), value: 90_000n }]);
      expect(found.flatMap(({ spends }) => spends)).toMatchObject([{ txid: tx.getId(), refund: true }]);
      // Another watcher, that has read none of it yet, sees the same.
      expect(await backFrom(stage.watcher(), late)).toEqual(found);
    });

    it('B19: do not count when they were mined longer before than is looked back, for whoever reads them when', async () => {
      const terms = termsOf('early');
      const tx = await stage.pay({ address: depositScript(terms).address, value: 90_000n });
      await stage.bitcoin.mine();
      const before = stage.cursor;
      const watcher = stage.watcher();
      await stage.watch(watcher);
      const newest = stage.headers.tip.time * 1_000;
      expect(await backFrom(watcher, said(terms, newest + REGISTRATION_LEEWAY_MS + 1))).toEqual([]);
      stage.cursor = before;
      expect((await stage.watch()).receipts).toEqual([]);
      expect(await backFrom(watcher, said(terms, newest + REGISTRATION_LEEWAY_MS))).toMatchObject([
        { receipts: [{ txid: tx.getId() }] },
      ]);
      stage.cursor = before;
      expect((await stage.watch()).receipts).toMatchObject([{ txid: tx.getId() }]);
    });

    it.each(['a refund', 'a payment'])(
      'B19: nor when %s brought them out of the vault: who reads it later sees what others saw',
      async (way) => {
        const terms = termsOf(way);
        const { address: to, script } = depositScript(terms);
        const from = stage.deposit({ refundAfter: 2 });
        const coin = await stage.coin(90_000n, from.lock, true);
        await stage.bitcoin.mine();
        await stage.watch();
        const payouts = [{ number: 1n, script, amount: 60_000n, maxFee: 9_000n }];
        const paid = { vault: stage.vault, changeTo: stage.plain, feeRate: 1_000n, inputs: [coin], payouts };
        const hex =
          way === 'a refund'
            ? buildRefund(from.terms, { coins: [coin], to, feeRate: 1_000n, secret: stage.depositor }).hex
            : stage.signed(planPayment(paid));
        await stage.bitcoin.send(hex);
        await stage.bitcoin.mine();
        const before = stage.cursor;
        const watcher = stage.watcher();
        const { receipts } = await stage.watch(watcher);
        const late = said(terms, stage.headers.tip.time * 1_000 + REGISTRATION_LEEWAY_MS + 1);
        expect(await backFrom(watcher, late)).toEqual([]);
        stage.cursor = before;
        expect((await stage.watch()).receipts).toEqual(receipts);
      },
    );
  });

  it('B13: are proved by their header alone', async () => {
    const { lock } = stage.deposit();
    const tx = await stage.pay({ address: lock.address, value: 90_000n });
    await stage.bitcoin.mine();
    const watcher = stage.watcher();
    const [receipt] = (await stage.watch(watcher)).receipts;
    const proof = await watcher.prove(receipt!);
    const header = stage.headers.at(receipt!.height)!;
    expect(checkInclusion(proof, header)).toMatchObject({ txid: tx.getId() });
    expect(() => checkInclusion(proof, stage.headers.at(receipt!.height - 1)!)).toThrow('does not commit');
  });
});

describe('finality', () => {
  it('rises with all that a block pays the vault', () => {
    const table = [
      { upTo: 1_000_000n, confirmations: 1 },
      { upTo: null, confirmations: 6 },
    ];
    expect([1n, 1_000_000n, 1_000_001n, 10n ** 12n].map((n) => confirmationsFor(table, n, false))).toEqual([
      1, 1, 6, 6,
    ]);
    expect(confirmationsFor(table, 1n, true)).toBe(100);
  });

  it('that is broken stops everything', async () => {
    await stage.bitcoin.mine(5);
    await stage.watch();
    await stage.bitcoin.branch(3);
    expect((await stage.watch()).rewinds).toBe(1);
    await stage.bitcoin.branch(4);
    await expect(stage.watch()).rejects.toMatchObject({ code: 'finality-violated' });
    stage.cursor = { height: stage.headers.tip.height, blockHash: stage.headers.tip.hash };
  });
});

describe('sources', () => {
  let other: LocalBitcoin;
  beforeAll(async () => {
    other = await startBitcoin();
  });
  afterAll(() => other.stop());
  const pool = (urls: string[], agreement: number, network = REGTEST) =>
    new BitcoinPool({ urls, agreement, network, timeoutMs: 3_000 });
  const chain = () => HeaderChain.open(REGTEST, new MemoryHeaderStore());

  it('X10: that do not answer, in too small a number, stop the watcher', async () => {
    const two = pool([urlOf(stage.bitcoin), 'http://127.0.0.1:1'], 2);
    await expect(two.sync(stage.headers)).rejects.toMatchObject({ code: 'agreement-lost' });
    await expect(two.hashAt(1)).rejects.toMatchObject({ code: 'agreement-lost' });
    stage.bitcoin.outages.fail();
    await expect(stage.watch()).rejects.toMatchObject({ code: 'agreement-lost' });
    stage.bitcoin.outages.heal();
    await stage.watch();
  });

  it('X10: on two branches, of which one has less work, do not agree', async () => {
    const headers = await chain();
    const two = pool([urlOf(stage.bitcoin), urlOf(other)], 2);
    await two.sync(headers);
    expect(headers.tip.hash).toBe(stage.bitcoin.node.chain.tip.rhash());
    await expect(two.hashAt(headers.tip.height)).rejects.toMatchObject({ code: 'agreement-lost' });
    const one = pool([urlOf(other)], 1);
    const behind = other.node.height;
    await expect(one.hashAt(behind + 1)).rejects.toThrow('out of range');
    await expect(one.hashAt(behind)).resolves.not.toBe(headers.at(behind)!.hash);
    const misled = new BitcoinWatcher(one, headers, stage.index, stage.coins, POLICY);
    const before = headers.at(behind - 1)!;
    await expect(misled.step({ height: before.height, blockHash: before.hash })).rejects.toThrow('on another branch');
  });

  it('X1: of another network, or with a wrong login, are not heard', async () => {
    await expect(pool([urlOf(stage.bitcoin)], 1, NETWORKS.signet).hashAt(0)).rejects.toThrow('does not serve signet');
    await expect(pool([stage.bitcoin.url], 1).hashAt(0)).rejects.toThrow('HTTP 401');
  });

  it('give a block only as what it hashes to', async () => {
    await expect(stage.pool.block('11'.repeat(32))).rejects.toThrow('Block not found');
    const { hash } = stage.headers.tip;
    expect((await stage.pool.block(hash)).header.hash).toBe(hash);
  });

  it('tell what a fee is, when they know', async () => {
    expect(await stage.pool.feeRate(3)).toBeNull();
    stage.bitcoin.fees.estimate = 12_345n;
    expect(await stage.pool.feeRate(3)).toBe(12_345n);
    stage.bitcoin.fees.estimate = null;
  });
});
