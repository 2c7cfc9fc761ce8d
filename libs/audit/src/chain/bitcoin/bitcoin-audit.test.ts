/** The auditor on a real Bitcoin node: nothing to say of a sound bridge, and each fault that guardians or others could make is found and named. */
import { BridgeError, parseBitcoinTerms } from '@isthmus/bridge';
import {
  buildRefund,
  depositScript,
  encodeRegistration,
  memoScript,
  readRegistration,
  NETWORKS,
  vaultKeys,
  vaultScript,
  type DepositTerms,
} from '@isthmus/chains';
import { Purse, startBitcoin, type LocalBitcoin } from '@isthmus/devnet';
import { Block } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { Source } from '../../../../chains/src/ethereum/harness.js';
import { keyOf, secretOf, urlOf } from '../../../../chains/src/bitcoin/harness.js';
import { BITCOIN, BitcoinScene, BTC, DEPOSITOR } from '../../../bitcoin-harness.js';
import { ALICE, threads, TOKEN_CODE } from '../../../token-scene.js';
import { AuditError, hashOf, type AuditReport } from '../../index.js';
import { networkOf, payeeOf } from './networks.js';
import { registeredAddress } from './scripts.js';
import { termsIn } from './terms.js';

const purse = Purse.of('payer');
let bitcoin: LocalBitcoin;
let scene: BitcoinScene;
const sources: Source[] = [];

beforeAll(async () => {
  bitcoin = await startBitcoin({ reward: purse.script });
}, 60_000);
afterAll(async () => {
  await bitcoin.stop();
  await threads.stop();
});
beforeEach(async () => {
  scene = await BitcoinScene.open(bitcoin, purse);
});
afterEach(async () => {
  await scene.close();
  for (const source of sources.splice(0)) await source.close();
});

const audit = async (): Promise<AuditReport> => (await scene.auditor()).audit();
const codes = (report: AuditReport): string[] => [...new Set(report.findings.map((f) => f.code))];
const found = async (): Promise<string[]> => codes(await audit());
const failure = async (act: Promise<unknown>): Promise<string> => {
  const error = await act.then(
    () => null,
    (e: unknown) => e,
  );
  if (error instanceof AuditError) return error.code;
  throw new Error(`It was not refused as an audit: ${String(error)}`);
};

describe('a sound bridge', () => {
  async function traffic(): Promise<void> {
    await scene.fund(1_000_000n);
    const terms = scene.terms({ tags: [{ name: 'X-A', value: 'ü' }] });
    await scene.register(terms);
    const paid = await scene.payTerms(terms, 200_000n);
    await scene.mint(paid, { tags: Buffer.from('X-A=ü').toString('hex') });
    await scene.payVault(30_000n, null);
    await scene.payVault(999n);
    await scene.payVault(40_000n);
    const first = await scene.withdraw(100_000n);
    const second = await scene.withdraw(50_000n);
    await scene.release([first, second], [paid]);
    await scene.withdraw(20_000n);
  }

  it('I3 I7 has no findings, and its figures are exact', async () => {
    await traffic();
    const report = await (await scene.auditor({ knownCode: [TOKEN_CODE] })).audit();
    expect(report).toMatchObject({ format: 'isthmus.audit.1', result: 'fine', findings: [], more: 0 });
    expect(report.assets).toEqual([
      {
        asset: BTC,
        process: scene.process,
        balance: '1120999',
        locked: '1120999',
        claimable: '0',
        supply: '1030000',
        balances: '1030000',
        holders: 1,
        inFlight: '20000',
        minted: '1200000',
        burned: '170000',
        released: '150000',
        unattested: '0',
        waiting: '40000',
        unmintable: '30999',
        costs: '0',
        unshown: '0',
        surplus: '0',
        deposits: 5,
        mints: 2,
        burns: 3,
        releases: 2,
      },
    ]);
    const { height } = bitcoin.node;
    expect(report.inputs).toMatchObject({ chain: BITCOIN, vault: scene.lock.address, height: String(height) });
  });

  it('I3 I7 takes the sweep fee off what an output credits, and for the vault’s own; whoever mints all of it is found', async () => {
    const other = await BitcoinScene.open(bitcoin, purse, 700n);
    try {
      await other.fund(100_000n);
      await other.payVault(40_000n);
      const fine = await (await other.auditor()).audit();
      expect(fine).toMatchObject({
        result: 'fine',
        assets: [{ balance: '140000', supply: '99300', waiting: '39300', unmintable: '0', surplus: '1400' }],
      });
      await other.mint(await other.payVault(50_000n), { amount: 50_000n });
      expect(codes(await (await other.auditor()).audit())).toEqual(['mint-differs']);
    } finally {
      await other.close();
    }
  });

  it('gives whoever audits it the same report, going on or from nothing; an address registered later is looked for again', async () => {
    await traffic();
    const going = await scene.auditor();
    expect(hashOf(await going.audit())).toBe(hashOf(await audit()));
    const terms = scene.terms();
    const coin = await scene.payTerms(terms, 70_000n);
    expect((await going.audit()).assets[0]?.deposits).toBe(5);
    await scene.register(terms);
    await scene.mint(coin);
    const later = await going.audit();
    expect(later).toMatchObject({ result: 'fine', assets: [{ deposits: 6, mints: 3 }] });
    expect(hashOf(later)).toBe(hashOf(await audit()));
  });

  it('B19: what is paid out of the vault to an address long before it is registered counts for nobody, going on or from nothing', async () => {
    await scene.fund(100_000n);
    const early = scene.terms();
    await scene.release([await scene.withdraw(60_000n, 5_000n, depositScript(early))]);
    const going = await scene.auditor();
    await going.audit();
    scene.now += 7 * 3_600_000;
    await scene.register(early);
    const report = await audit();
    expect(report).toMatchObject({ result: 'fine', assets: [{ balance: '40000', deposits: 1, releases: 1 }] });
    expect(hashOf(await going.audit())).toBe(hashOf(report));
  });

  it('goes on through a rotation: the vault’s coins are the next set’s, what moved them cost the surplus', async () => {
    await scene.fund(500_000n);
    await scene.payVault(30_000n, null);
    const next = ['a', 'b', 'c'].map((word) => keyOf(secretOf(`${word} of ${scene.process}`)));
    const keys = next.map((key) => Buffer.from(key).toString('hex')).join(',');
    const guardians =
      '0x70997970C51812dc3A010C7d01b50e0d17dc79C8,0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC,0x90F79bf6EB2c4f870365E785982E1f101E93b906';
    await scene.agree({ Action: 'Attest-Decision', 'Decision-Nonce': '1' }, `rotate 2 2 1 ${guardians} ${keys}`);
    const burnt = 1_500n;
    const whole = scene.plan([{ number: 1n, script: purse.script, amount: 100_000n, maxFee: 50_000n }]);
    const lock = vaultScript(vaultKeys(next, 2), NETWORKS.regtest);
    const handover = { ...whole, payouts: [], change: { lock, value: 500_000n - burnt }, fee: burnt };
    await scene.propose(handover, []);
    await scene.send(handover);
    expect(await audit()).toMatchObject({
      result: 'fine',
      assets: [{ balance: String(530_000n - burnt), costs: String(burnt), surplus: '0' }],
    });
  });

  it('a deposit taken back before it was minted, or that only waits until it can be, is nobody’s delay', async () => {
    await scene.fund(100_000n);
    const terms = scene.terms({ refundAfter: 9 });
    await scene.register(terms);
    const coin = await scene.payTerms(terms, 60_000n);
    expect(await audit()).toMatchObject({ result: 'fine', assets: [{ waiting: '60000' }] });
    await bitcoin.mine(9);
    expect(await audit()).toMatchObject({ result: 'fine', assets: [{ waiting: '0', unmintable: '60000' }] });
    await refund(terms, coin);
    expect(await audit()).toMatchObject({ result: 'fine', assets: [{ waiting: '0', unmintable: '0', surplus: '0' }] });
  });
});

async function refund(terms: DepositTerms, coin: { txid: string; vout: number; value: bigint }): Promise<void> {
  const { hex } = buildRefund(terms, { coins: [coin], to: purse.address, feeRate: 2_000n, secret: DEPOSITOR });
  await bitcoin.mine(1, { only: [hex] });
}

describe('safety', () => {
  it('I4 mint-without-deposit: minted, and no output is there', async () => {
    await scene.fund(100_000n);
    await scene.mint({ txid: 'ab'.repeat(32), vout: 0, value: 5n, lock: scene.lock, deposit: false });
    expect(await found()).toEqual(['mint-without-deposit', 'undercollateralised']);
  });

  it('I8 mint-of-refused: minted for money without a memo, or too little', async () => {
    await scene.mint(await scene.payVault(50_000n, null));
    await scene.mint(await scene.payVault(999n));
    const { findings } = await audit();
    expect(findings.map((f) => f.code)).toEqual(['mint-of-refused', 'mint-of-refused']);
    const reasons = findings.map((f) => String(/credited: (.*)\.$/.exec(f.detail)?.[1]));
    expect(new Set(reasons)).toEqual(new Set(['below-minimum', 'memo-missing']));
  });

  it('I7 mint-differs: another recipient, another amount than the output says', async () => {
    await scene.mint(await scene.payVault(50_000n), { recipient: Buffer.alloc(32, 3).toString('base64url') });
    await scene.mint(await scene.payVault(50_000n), { amount: 50_001n });
    const report = await audit();
    expect(codes(report)).toEqual(['mint-differs', 'undercollateralised']);
    const details = report.findings
      .filter((f) => f.code === 'mint-differs')
      .map((f) => /: (\w+) is/.exec(f.detail)?.[1]);
    expect(new Set(details)).toEqual(new Set(['amount', 'recipient']));
  });

  it('I2 double-release: one withdrawal paid by two transactions', async () => {
    await scene.fund(1_000_000n);
    const payout = await scene.withdraw(100_000n);
    const first = scene.plan([payout]);
    await scene.propose(first, [1n]);
    await scene.send(first);
    const second = scene.plan([payout]);
    await scene.propose(second, [1n]);
    await scene.send(second);
    expect(await found()).toEqual(['double-release', 'undercollateralised']);
  });

  it('release-differs: paid to somebody else, or for a higher fee than is allowed', async () => {
    await scene.fund(1_000_000n);
    const payout = await scene.withdraw(100_000n);
    const batch = scene.plan([payout]);
    const [paid] = batch.payouts;
    if (!paid) throw new Error('It pays nobody.');
    const elsewhere = { ...batch, payouts: [{ ...paid, script: Purse.of('thief').script }] };
    await scene.propose(elsewhere, [1n]);
    await scene.send(elsewhere);
    const second = scene.plan([await scene.withdraw(100_000n)]);
    const greedy = { ...second, payouts: second.payouts.map((p) => ({ ...p, fee: 5_001n })) };
    await scene.propose(greedy, [2n]);
    await scene.send(greedy);
    const differ = (await audit()).findings.filter((f) => f.code === 'release-differs');
    expect(differ.map((f) => f.subject)).toEqual([1, 2].map((n) => `${scene.process}/${n}`));
    expect(differ[0]?.detail).toContain(': recipient is');
    expect(differ[1]?.detail).toContain(': fee 5001 is above 5000');
  });

  it('a guardian that names another withdrawal for the same transaction changes nothing', async () => {
    await scene.fund(1_000_000n);
    const payout = await scene.withdraw(100_000n);
    await scene.withdrawTo('bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppk', 100_000n, 5_000n);
    const batch = scene.plan([payout]);
    await scene.propose(batch, [2n], 2);
    await scene.propose(batch, [1n]);
    await scene.send(batch);
    expect(await audit()).toMatchObject({ result: 'fine', assets: [{ unattested: '100000', releases: 1 }] });
  });

  it('I4 unknown-spend: coins of the vault in a transaction that nobody proposed, or not for all it names', async () => {
    await scene.fund(1_000_000n);
    const payout = await scene.withdraw(100_000n);
    await scene.send(scene.plan([payout]));
    const report = await audit();
    expect(codes(report)).toEqual(['undercollateralised', 'unknown-spend']);
    expect(report.findings.at(-1)?.detail).toContain('100000 of the vault’s coins, and nobody proposed it');
    // It names two, and was proposed for one: that is no proposal of it.
    const batch = scene.plan([payout, { ...payout, number: 2n }]);
    await scene.propose(batch, [1n]);
    await scene.send(batch);
    const details = (await audit()).findings.filter((f) => f.code === 'unknown-spend').map((f) => f.detail);
    expect(details.filter((d) => d.includes('and nobody proposed it'))).toHaveLength(2);
  });

  it('I3 mint-refunded: the depositor took the coin back, and it was minted, whichever is known first', async () => {
    await scene.fund(100_000n);
    const terms = scene.terms({ refundAfter: 9 });
    await scene.register(terms);
    const [one, other] = [await scene.payTerms(terms, 60_000n), await scene.payTerms(terms, 70_000n)];
    await scene.mint(one);
    const going = await scene.auditor();
    expect(codes(await going.audit())).toEqual([]);
    await bitcoin.mine(9);
    await refund(terms, one);
    await refund(terms, other);
    expect(codes(await going.audit())).toEqual(['mint-refunded', 'undercollateralised']);
    await scene.mint(other);
    const report = await going.audit();
    expect(report.findings.filter((f) => f.code === 'mint-refunded')).toHaveLength(2);
    expect(report.assets[0]?.surplus).toBe('-130000');
    expect(hashOf(report)).toBe(hashOf(await audit()));
  });
});

describe('an audit that cannot be made', () => {
  it('a block without one of its transactions is none', async () => {
    await scene.fund(100_000n);
    const liar = await Source.open(urlOf(bitcoin).replace(/\/\/.*@/, '//'));
    sources.push(liar);
    const [login] = [`Basic ${Buffer.from(bitcoin.credentials).toString('base64')}`];
    liar.behaviour = async ({ method, params }) => {
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
      const headers = { 'content-type': 'application/json', authorization: login };
      const { result } = (await (await fetch(bitcoin.url, { method: 'POST', body, headers })).json()) as {
        result: unknown;
      };
      return result;
    };
    const chain = { ...scene.chainOptions(), rpcUrls: [liar.url] };
    const through = async (): Promise<AuditReport> => (await scene.auditor({ chain })).audit();
    expect(codes(await through())).toEqual([]);
    liar.lie('getblock', (text) => {
      const block = Block.fromHex(String(text));
      if ((block.transactions?.length ?? 0) > 1) block.transactions?.pop();
      return block.toHex();
    });
    expect(await failure(through())).toBe('malformed');
    const both = { ...chain, rpcUrls: [urlOf(bitcoin), liar.url] };
    liar.lie('getblockhash', () => '00'.repeat(32));
    expect(await failure((await scene.auditor({ chain: both })).audit())).toBe('sources-differ');
  });

  it('what was final and is another block ends an auditor; a wrong network or vault begins none', async () => {
    await scene.fund(100_000n);
    const auditor = await scene.auditor();
    await auditor.audit();
    await bitcoin.branch(1);
    expect(await failure(auditor.audit())).toBe('incomplete');
    const finality = { tag: 'finalized' } as const;
    expect(await failure(scene.auditor({ chain: { ...scene.chainOptions(), finality } }))).toBe('bad-request');
  });
});

it('addresses and registrations come to what the bridge’s own rules say, whatever is registered', () => {
  const network = networkOf(BITCOIN);
  const process = Buffer.alloc(32, 7).toString('base64url');
  const secrets = [1, 2, 3].map((n) => secretOf(`property ${n}`));
  const vault = vaultKeys(secrets.map(keyOf), 2);
  const set = { keys: secrets.map((s) => Buffer.from(keyOf(s)).toString('hex')), threshold: 2 };
  const recipient = fc.constantFrom(ALICE, process, '', ALICE.toLowerCase(), `0x${'00'.repeat(20)}`);
  const refundTo = fc.constantFrom(
    Buffer.from(keyOf(DEPOSITOR)).toString('hex'),
    `02${'ff'.repeat(32)}`,
    purse.address,
    purse.address.toUpperCase(),
    vaultScript(vault, NETWORKS.regtest).address,
    'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn',
  );
  const tags = fc.array(
    fc.record({
      name: fc.constantFrom('X-A', 'X-B', 'A'),
      value: fc.constantFrom('1', '', 'a\nX-C=2', 'ü', 'x'.repeat(1025)),
    }),
    { maxLength: 3 },
  );
  const refundAfter = fc.constantFrom(0, 1, 16, 17, 128, 1_008, 65_535, 65_536, 1.5);
  const more = fc.constantFrom({}, {}, {}, { other: 1 });
  fc.assert(
    fc.property(recipient, refundTo, tags, refundAfter, more, (to, refundOwner, list, after, rest) => {
      const data = Buffer.from(
        JSON.stringify({ recipient: to, tags: list, refund: refundOwner, refundAfter: after, ...rest }),
      );
      const said = { target: process, tags: encodeRegistration(sample).tags, data };
      const terms = readRegistration(said, { network: NETWORKS.regtest, process, vault, leastRefund: 17 });
      const own = registeredAddress(data, { network, process, set, leastRefund: 17 });
      expect(own?.script ?? null).toBe(terms && Buffer.from(depositScript(terms).script).toString('hex'));
      if (own) expect(payeeOf(Buffer.from(own.script, 'hex'), network)).toBe(depositScript(terms ?? sample).address);
    }),
    { numRuns: 500 },
  );
});

it('reads the terms of a home as the bridge does: the same are good, and the same are none', () => {
  const n = fc.constantFrom('0', '1', '2', '72', '144', '01', '10000', '65535', '65536', '2147483648', '-1', '', 'x');
  const refunds = fc.oneof(n, fc.constantFrom('8', '9', '150', '151'));
  const step = fc.tuple(
    fc.constantFrom('1', '5', '9', '*', '0', '05'),
    fc.constantFrom('1', '2', '3', '144', '145', '0'),
  );
  const final = fc.array(step, { minLength: 1, maxLength: 3 }).map((steps) => steps.map((s) => s.join(':')).join());
  const good = fc.constantFrom('*:1', '5:1,*:2', '5:2,9:3,*:144');
  const end = fc.constantFrom('', '', '', '', ' ', '\n', ' more=1');
  let count = 0;
  fc.assert(
    fc.property(n, n, n, n, refunds, fc.oneof(good, final), end, (start, least, fee, margin, refund, table, more) => {
      const text = `start=${start} least=${least} fee=${fee} margin=${margin} refund=${refund} final=${table}${more}`;
      const [theirs, own] = [orNull(() => parseBitcoinTerms(text)), orNull(() => termsIn(text))];
      if (own) count += 1;
      expect(own).toEqual(
        theirs && {
          startHeight: theirs.startHeight,
          least: theirs.minDeposit,
          fee: theirs.sweepFee,
          margin: theirs.sweepMargin,
          refund: theirs.leastRefund,
          confirmations: theirs.finality[0]?.confirmations,
        },
      );
    }),
    { numRuns: 20_000 },
  );
  expect(count).toBeGreaterThan(0);
});

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof AuditError || error instanceof BridgeError) return null;
    throw error;
  }
}

const sample: DepositTerms = {
  network: NETWORKS.regtest,
  vault: vaultKeys([keyOf(DEPOSITOR)], 1),
  process: 'P'.repeat(42) + 'A',
  recipient: ALICE,
  tags: [],
  refund: { kind: 'key', key: keyOf(DEPOSITOR) },
  refundAfter: 60,
};

it('a memo credits whom it names, in its one form only', async () => {
  const good = Buffer.from(memoScript({ recipient: ALICE, tags: [] }));
  await scene.mint(await scene.payVault(50_000n, good));
  const longer = Buffer.concat([Buffer.from([0x6a, 0x4c]), good.subarray(1)]);
  await scene.payVault(50_000n, longer);
  expect(await audit()).toMatchObject({ result: 'fine', assets: [{ waiting: '0', unmintable: '50000' }] });
});
