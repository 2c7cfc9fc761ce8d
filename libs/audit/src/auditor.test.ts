/** The auditor on a real vault and a token it computes itself: nothing to say of a sound bridge, and every finding made to happen. */
import { keccak256, stringToHex, toHex, zeroAddress, type Hex } from 'viem';
import { Source } from '../../chains/src/ethereum/harness.js';
import {
  ALICE,
  CHAIN,
  COIN,
  RECIPIENT,
  Scene,
  SCHEDULER,
  Shelf,
  Stage,
  threads,
  TOKEN,
  TOKEN_CODE,
} from '../harness.js';
import {
  AuditError,
  csvOf,
  hashOf,
  SettledNetwork,
  type Auditor,
  type AuditReport,
  type AuditorOptions,
} from './index.js';

let stage: Stage;
let fresh: Hex;
let scene: Scene;
const sources: Source[] = [];
const scenes: Scene[] = [];

async function begin(options: { code?: string; asset?: Hex } = {}): Promise<void> {
  scene = await Scene.open(stage, options);
  scenes.push(scene);
}

beforeAll(async () => {
  stage = await Stage.open();
  await stage.list(COIN);
});
afterAll(async () => {
  await stage.anvil.stop();
  await threads.stop();
});
beforeEach(async () => {
  fresh = await stage.chain.snapshot();
  await begin();
});
afterEach(async () => {
  for (const one of scenes.splice(0)) await one.close();
  for (const source of sources.splice(0)) await source.close();
  await stage.chain.revert({ id: fresh });
});

async function audit(options: Partial<AuditorOptions> = {}): Promise<AuditReport> {
  return (await scene.auditor(options)).audit();
}
const codes = (report: AuditReport): string[] => [...new Set(report.findings.map((f) => f.code))];
const found = async (options: Partial<AuditorOptions> = {}): Promise<string[]> => codes(await audit(options));
const failure = async (act: Promise<unknown>): Promise<string> => {
  const error = await act.then(
    () => null,
    (e: unknown) => e,
  );
  if (error instanceof AuditError) return error.code;
  throw new Error(`It was not refused as an audit: ${String(error)}`);
};
/** Lets time go by on the chain. */
async function later(seconds: number): Promise<void> {
  await stage.chain.increaseTime({ seconds });
  await stage.chain.mine({ blocks: 1 });
}
const altered = (from: string, to: string): string => {
  if (!TOKEN.includes(from)) throw new Error(`The token has no "${from}".`);
  return TOKEN.replace(from, to);
};
async function other(code: string): Promise<void> {
  await begin({ code });
}

describe('a sound bridge', () => {
  async function traffic(): Promise<void> {
    const tags = toHex('X-A=1\nX-B=ü');
    await scene.mint(await scene.deposit(1000n, ALICE, tags));
    await scene.mint(await scene.deposit(500n, RECIPIENT, toHex('no tags')));
    await scene.transfer(100n, stage.other.address);
    await scene.withdraw(300n, 5n);
    await scene.attest(1n, await scene.release(1n, 300n, { fee: 3n, maxFee: 5n }), 3n);
    await scene.withdraw(200n);
    await scene.release(2n, 200n);
    await scene.withdraw(50n);
    await scene.deposit(7n);
    await scene.deposit(11n, zeroAddress);
  }

  it('has no findings, and its figures are exact', async () => {
    await traffic();
    const report = await audit({ knownCode: [TOKEN_CODE] });
    expect(report).toMatchObject({ format: 'isthmus.audit.1', result: 'fine', findings: [], more: 0 });
    expect(report.assets).toEqual([
      {
        asset: `${CHAIN}/slip44:60`,
        process: scene.process,
        balance: '1018',
        locked: '1018',
        claimable: '0',
        supply: '950',
        balances: '950',
        holders: 3,
        inFlight: '250',
        minted: '1500',
        burned: '550',
        released: '500',
        unattested: '200',
        waiting: '7',
        unmintable: '11',
        costs: '0',
        unshown: '0',
        surplus: '0',
        deposits: 4,
        mints: 2,
        burns: 3,
        releases: 2,
      },
    ]);
    const head = await stage.client.getBlock();
    expect(report.inputs).toMatchObject({ chain: CHAIN, height: String(head.number), blockHash: head.hash });
    expect(report.inputs.processes[0]).toMatchObject({ process: scene.process, slot: 10, code: TOKEN_CODE });
    expect(csvOf(report).split('\r\n')[1]).toContain(',1018,1018,0,950,950,3,250,1500,');
  });

  it('gives whoever audits it the same report; going on reads only what is new', async () => {
    await traffic();
    const source = await Source.open(stage.anvil.url);
    sources.push(source);
    const going = await scene.auditor({ chain: { rpcUrls: [source.url], finality: { confirmations: 1 } } });
    const first = await going.audit();
    expect(hashOf(await audit())).toBe(hashOf(first));
    await scene.fund(1n);
    const slots: number[] = [];
    source.asked.length = 0;
    const second = await going.audit();
    const asked = source.asked
      .filter((c) => c.method === 'eth_getLogs')
      .map((c) => (c.params[0] as { fromBlock: Hex }).fromBlock);
    expect(asked).toEqual([toHex(BigInt(first.inputs.height) + 1n)]);
    expect(second.inputs.processes[0]?.slot).toBe(12);
    const whole = await audit({ onSlot: (_, slot) => slots.push(slot) });
    expect(hashOf(whole)).toBe(hashOf(second));
    expect(hashOf(second)).not.toBe(hashOf(first));
    expect(slots).toHaveLength(13);
  });

  it('at an earlier height and slot is as it was then', async () => {
    await traffic();
    const auditor = await scene.auditor();
    const height = await stage.client.getBlockNumber();
    const then = await auditor.audit();
    await scene.withdraw(100n);
    await scene.release(4n, 100n);
    await scene.fund(5n);
    const again = await (await scene.auditor()).audit({ height, slot: 10 });
    expect(hashOf(again)).toBe(hashOf(then));
    // A height and a slot of two times are refused, either way round.
    expect(await failure((await scene.auditor()).audit({ height }))).toBe('not-of-one-time');
    expect(await failure((await scene.auditor()).audit({ slot: 10 }))).toBe('not-of-one-time');
    expect(await failure((await scene.auditor()).audit({ slot: 99 }))).toBe('bad-request');
    expect(await failure((await scene.auditor()).audit({ height: height + 99n }))).toBe('bad-request');
  });

  it('holds money that could not be paid for its owner', async () => {
    const picky = await stage.deploy('Recipient', [1]);
    await scene.fund(100n);
    await scene.withdraw(60n, 1n, picky);
    await scene.attest(1n, await scene.release(1n, 60n, { recipient: picky }), 0n, 'held');
    const held = await audit();
    expect(held).toMatchObject({
      result: 'fine',
      assets: [{ balance: '100', locked: '40', claimable: '60', surplus: '0' }],
    });
    await stage.call('Recipient', picky, 'claim', [stage.vault, COIN, stage.other.address]);
    expect(await audit()).toMatchObject({ result: 'fine', assets: [{ balance: '40', claimable: '0', surplus: '0' }] });
  });
});

describe('from Arweave', () => {
  it('the report is the same as from a gateway; what is settled later is read on', async () => {
    await scene.fund(100n);
    await scene.withdraw(10n);
    const shelf = new Shelf();
    await shelf.settle(scene, 1);
    await shelf.settle(scene, 3);
    const network = new SettledNetwork(shelf, SCHEDULER.address, [scene.process]);
    const auditor = await scene.auditor({ network });
    expect(hashOf(await auditor.audit())).toBe(hashOf(await audit()));
    expect(network.last).toMatchObject({ sequence: 2, tx: 'tx-2' });
    await scene.attest(1n, await scene.release(1n, 10n));
    // The release is final, and its burn was settled: nothing is amiss while the rest is not settled yet.
    expect(await auditor.audit()).toMatchObject({ result: 'fine', assets: [{ unattested: '10' }] });
    // A release whose burn nobody has settled yet is not judged before the schedule has come so far, or patience is over.
    await scene.withdraw(20n);
    await later(2); // a block tells whole seconds: in the second of the last slot that is shown it would count as before it
    await scene.release(2n, 20n);
    expect(await auditor.audit()).toMatchObject({
      result: 'fine',
      assets: [{ surplus: '0', releases: 2, unshown: '20' }],
    });
    expect(
      codes(
        await (
          await scene.auditor({
            network: new SettledNetwork(shelf, SCHEDULER.address, [scene.process]),
            patienceMs: -1,
          })
        ).audit(),
      ),
    ).toContain('release-without-burn');
    await shelf.settle(scene, 5);
    expect(await auditor.audit()).toMatchObject({ result: 'fine', assets: [{ releases: 2, burns: 1 }] });
    await shelf.settle(scene, 6);
    expect(hashOf(await auditor.audit())).toBe(hashOf(await audit()));
    expect(shelf.read.filter((tx, i) => shelf.read.indexOf(tx) === i)).toEqual(['tx-1', 'tx-2', 'tx-3', 'tx-4']);
    expect(shelf.read.filter((tx) => tx === 'tx-1')).toHaveLength(2); // one for each auditor
  });

  it('A13 a bundle that is forged, or missing, gives no audit', async () => {
    await scene.fund(100n);
    const shelf = new Shelf();
    await shelf.settle(scene, 1);
    await shelf.settle(scene, 2);
    const open = () => audit({ network: new SettledNetwork(shelf, SCHEDULER.address, [scene.process]) });
    expect(codes(await open())).toEqual([]);
    const [first, second] = shelf.posted;
    if (!first || !second) throw new Error('Nothing was settled.');
    shelf.posted.shift();
    expect(await failure(open())).toBe('bad-schedule');
    const forged = Buffer.from(second.bytes);
    forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1;
    shelf.posted.splice(0, 1, first, { ...second, bytes: forged });
    expect(await failure(open())).toBe('bad-schedule');
  });
});

describe('safety', () => {
  it('I7 mint-differs: another amount, recipient, sender, transaction, other tags than the deposit’s', async () => {
    const changes = {
      amount: { amount: 101n },
      recipient: { recipient: stage.other.address },
      sender: { sender: ALICE },
      tags: { tags: 'ab' },
      transaction: { tx: keccak256(stringToHex('other')) },
    };
    for (const change of Object.values(changes)) await scene.mint({ ...(await scene.deposit(100n)), ...change });
    await scene.fund(100n);
    const differ = (await audit()).findings.filter((f) => f.code === 'mint-differs');
    expect(differ.map((f) => f.subject)).toEqual([1, 2, 3, 4, 5].map((n) => `${CHAIN}:${stage.vault}:${n}`));
    for (const [i, what] of Object.keys(changes).entries()) expect(differ[i]?.detail).toContain(`: ${what}`);
  });

  it('I3 undercollateralised: one unit short is seen, one to spare is not', async () => {
    await scene.fund(100n);
    await scene.mint({ ...(await scene.deposit(100n)), amount: 101n });
    const short = await audit();
    expect(short.findings.find((f) => f.code === 'undercollateralised')?.detail).toMatch(
      /^1 short: 201 is owed, and there is 200/,
    );
    expect(short.assets[0]?.surplus).toBe('-1');
    await stage.chain.setBalance({ address: stage.vault, value: 202n });
    // Money that nobody counts does not cover: the vault would not pay it out.
    expect(await found()).toContain('undercollateralised');
  });

  it('I4 mint-without-deposit: no such deposit, another vault’s, or another id', async () => {
    await scene.fund(100n);
    await scene.mint({ sequence: 2n, tx: keccak256('0x'), amount: 5n, recipient: ALICE });
    expect(await found()).toEqual(['mint-without-deposit', 'undercollateralised']);
    const forged = await scene.deposit(5n);
    await other(TOKEN);
    await scene.mint(forged, keccak256(stringToHex('some id')));
    expect(await found()).toEqual(['mint-without-deposit', 'undercollateralised']);
    await other(altered('not HOME.isReference(reference:sub(#CHAIN + 2), VAULT)', 'false'));
    const reference = `${CHAIN}:${ALICE}:1`;
    const line = [
      keccak256(stringToHex(`isthmus/deposit/1\n${reference}`)),
      reference,
      forged.tx,
      ALICE,
      ALICE,
      '5',
      '-',
    ];
    await scene.agree({ Action: 'Attest-Deposits' }, line.join(' '));
    expect(await found()).toContain('mint-without-deposit');
  });

  it('mint-differs: a notice that says something else, or none', async () => {
    await other(
      altered('"Action", "Credit-Notice", "Quantity", amount,', '"Action", "Credit-Notice", "Quantity", "1",'),
    );
    await scene.fund(100n);
    expect(await found()).toEqual(['mint-differs']);
    await other(altered('if not extra then notice', 'if extra then notice'));
    await scene.mint(await scene.deposit(1n, ALICE, toHex('X-A=1')));
    expect(await found()).toContain('mint-differs');
  });

  it('I1 double-mint: a token that forgets what it minted', async () => {
    await other(altered('local done = id and minted[id]', 'local done = nil'));
    const deposit = await scene.deposit(100n);
    await scene.mint(deposit);
    expect(await found()).toEqual([]);
    await scene.mint(deposit);
    expect(await found()).toEqual(['double-mint', 'undercollateralised']);
  });

  it('I2 release-without-burn: signed by a quorum, and never burned, or for another process', async () => {
    await scene.fund(100n);
    await scene.release(1n, 10n);
    expect(await found()).toEqual(['release-without-burn', 'undercollateralised']);
    await scene.release(2n, 10n, { process: 'P'.repeat(42) + 'A' });
    const { findings } = await audit();
    const numbers = findings.filter((f) => f.code === 'release-without-burn').map((f) => f.subject.split('/')[1]);
    expect(new Set(numbers)).toEqual(new Set(['1', '2'])); // in the order of the processes' ids, which are hashes
  });

  it('release-differs: another amount or recipient than what was burned, a higher fee than its most', async () => {
    await scene.fund(100n);
    const changes = { amount: { amount: 11n }, recipient: { recipient: ALICE }, fee: { fee: 2n, maxFee: 2n } };
    for (const [i, change] of Object.values(changes).entries()) {
      await scene.withdraw(10n);
      const { amount = 10n, ...rest }: { amount?: bigint; recipient?: Hex; fee?: bigint; maxFee?: bigint } = change;
      await scene.release(BigInt(i + 1), amount, rest);
    }
    await scene.withdraw(10n);
    await scene.release(4n, 10n, { fee: 1n });
    const differ = (await audit()).findings.filter((f) => f.code === 'release-differs');
    expect(differ.map((f) => f.subject)).toEqual([1, 2, 3].map((n) => `${scene.process}/${n}`));
    for (const [i, what] of Object.keys(changes).entries()) expect(differ[i]?.detail).toContain(`: ${what}`);
  });

  it('attested-without-release: the process holds for paid what the chain did not pay', async () => {
    await scene.fund(100n);
    await scene.withdraw(10n);
    await scene.attest(1n, keccak256('0x'));
    const report = await audit();
    expect(codes(report)).toEqual(['attested-without-release']);
    expect(report.assets[0]?.surplus).toBe('10');
  });

  it('attested-differs: another transaction, fee or outcome', async () => {
    await scene.fund(100n);
    const changes = { transaction: { tx: keccak256('0x01') }, fee: { fee: 1n }, outcome: { outcome: 'held' } };
    for (const [i, change] of Object.values(changes).entries()) {
      await scene.withdraw(10n);
      const number = BigInt(i + 1);
      const paid = await scene.release(number, 10n);
      const said: { tx?: Hex; fee?: bigint; outcome?: string } = change;
      await scene.attest(number, said.tx ?? paid, said.fee ?? 0n, said.outcome ?? 'paid');
    }
    const { findings } = await audit();
    expect(findings.map((f) => [f.code, f.subject])).toEqual(
      [1, 2, 3].map((n) => ['attested-differs', `${scene.process}/${n}`]),
    );
    for (const [i, what] of Object.keys(changes).entries()) expect(findings[i]?.detail).toContain(`: ${what}`);
  });

  it.each([
    [
      'credits more than it mints',
      'credit(recipient, amount)\n  local notice',
      'credit(recipient, amount) credit(recipient, "1")\n  local notice',
      ['sum of balances'],
    ],
    [
      'burns more than it says',
      'totals.burned = add(totals.burned, quantity)',
      'totals.burned = add(totals.burned, add(quantity, "1"))',
      ['burned', 'in flight', 'sum of balances', 'supply'],
    ],
    [
      'says less is released',
      'totals.released = add(totals.released, withdrawal.amount)',
      '',
      ['in flight', 'released'],
    ],
    [
      'counts more minted',
      'totals.minted = sum',
      'totals.minted = add(sum, "1")',
      ['minted', 'sum of balances', 'supply'],
    ],
  ])('supply-differs: a token that %s', async (_, from, to, subjects) => {
    await other(altered(from, to));
    await scene.fund(100n);
    await scene.withdraw(10n);
    await scene.attest(1n, await scene.release(1n, 10n));
    const { findings } = await audit({ knownCode: [TOKEN_CODE] });
    expect(findings.filter((f) => f.code === 'supply-differs').map((f) => f.subject)).toEqual(subjects);
    expect(findings.map((f) => f.code)).toContain('unknown-code');
  });

  it('balance-below-count: the chain’s coin is gone, a token took money away', async () => {
    await scene.fund(100n);
    await stage.chain.setBalance({ address: stage.vault, value: 99n });
    expect(await found()).toEqual(['balance-below-count', 'undercollateralised']);
    await stage.chain.setBalance({ address: stage.vault, value: 100n });
    expect(await found()).toEqual([]);
    const asset = await stage.deploy('RebaseToken');
    await stage.list(asset);
    await stage.call('RebaseToken', asset, 'mint', [stage.account.address, 1000n]);
    await stage.call('RebaseToken', asset, 'approve', [stage.vault, 1000n]);
    await begin({ asset });
    const { transactionHash: tx } = await stage.call('Vault', stage.vault, 'deposit', [asset, 1000n, ALICE, '0x']);
    await scene.mint({ sequence: 2n, tx, amount: 1000n, recipient: ALICE });
    expect(await audit()).toMatchObject({ result: 'fine', assets: [{ balance: '1000', locked: '1000', deposits: 1 }] });
    await stage.call('RebaseToken', asset, 'rebase', [50n]);
    expect(await audit()).toMatchObject({ result: 'safety', assets: [{ balance: '500', surplus: '-500' }] });
  });

  it('vault-count-differs: a source that hides a release; one that hides a deposit gets no audit', async () => {
    await scene.fund(100n);
    await scene.withdraw(10n);
    await scene.attest(1n, await scene.release(1n, 10n));
    const source = await Source.open(stage.anvil.url);
    sources.push(source);
    const chain = { rpcUrls: [source.url], finality: { confirmations: 1 } };
    const hide = (indexed: number) => (logs: unknown) =>
      (logs as { topics: string[]; data: string }[]).filter(
        (l) => (l.data.length > 300 ? 'deposit' : 'release') !== ['deposit', 'release'][indexed],
      );
    source.lie('eth_getLogs', hide(1));
    expect(await found({ chain })).toEqual(['attested-without-release', 'vault-count-differs']);
    source.honest();
    source.lie('eth_getLogs', hide(0));
    expect(await failure(found({ chain }))).toBe('incomplete');
  });
});

describe('liveness', () => {
  it('deposit-not-minted, once patience is over', async () => {
    await scene.deposit(100n);
    await later(3590);
    expect(await audit()).toMatchObject({ result: 'fine', assets: [{ waiting: '100' }] });
    await later(60);
    expect(await audit()).toMatchObject({
      result: 'liveness',
      findings: [{ code: 'deposit-not-minted', kind: 'liveness', subject: `${CHAIN}:${stage.vault}:1` }],
    });
    expect(await found({ patienceMs: 7_200_000 })).toEqual([]);
  });

  it('withdrawal-not-released, then release-not-attested', async () => {
    await scene.fund(100n);
    await scene.withdraw(10n);
    await later(3700);
    expect(await found()).toEqual(['withdrawal-not-released']);
    await scene.release(1n, 10n);
    expect(await found()).toEqual([]);
    await later(3700);
    expect(await found()).toEqual(['release-not-attested']);
  });

  it('paused: the process, and the vault', async () => {
    await scene.fund(100n);
    await scene.agree({ Action: 'Attest-Decision', 'Decision-Nonce': '1' }, 'pause');
    expect((await audit()).findings.map((f) => f.subject)).toEqual([scene.process]);
    await stage.pause();
    expect((await audit()).findings.map((f) => f.subject)).toEqual([stage.vault, scene.process].toSorted());
  });
});

describe('an audit that cannot be made', () => {
  it('I9 sources that differ, or do not answer, give none', async () => {
    await scene.fund(100n);
    const [liar, dead] = [await Source.open(stage.anvil.url), await Source.open(stage.anvil.url)];
    sources.push(liar, dead);
    liar.lie('eth_getLogs', () => []);
    dead.fail();
    const finality = { confirmations: 1 };
    expect(await failure(found({ chain: { rpcUrls: [stage.anvil.url, liar.url], finality } }))).toBe('sources-differ');
    expect(await failure(found({ chain: { rpcUrls: [stage.anvil.url, dead.url], finality } }))).toBe('unreachable');
  }, 30_000);

  it('what was final and is another block ends an auditor', async () => {
    await scene.fund(100n);
    const auditor: Auditor = await scene.auditor();
    await auditor.audit();
    await stage.chain.request({ method: 'anvil_reorg', params: [1, []] } as never);
    expect(await failure(auditor.audit())).toBe('incomplete');
  });

  it('A12 a schedule that is not as it was signed is named', async () => {
    await scene.fund(100n);
    const entries = scene.network.entries.get(scene.process) ?? [];
    const [spawn, first, second] = entries;
    if (!spawn || !first || !second) throw new Error('The schedule is short.');
    const shown: [string, typeof entries][] = [
      ['another order', [spawn, { ...second }, first]],
      ['one left out', [spawn, second]],
      ['another message in its place', [spawn, { assignment: first.assignment, message: second.message }]],
    ];
    for (const [, list] of shown) {
      scene.network.entries.set(scene.process, list);
      expect(await failure(audit())).toBe('bad-schedule');
    }
    scene.network.entries.set(scene.process, entries);
    expect(await failure(audit({ scheduler: 'x'.repeat(43) }))).toBe('bad-schedule');
    expect(await found()).toEqual([]);
    expect(await failure(audit({ processes: ['x'.repeat(43)] }))).toBe('bad-schedule');
    expect(await failure(audit({ processes: [] }))).toBe('bad-request');
    expect(await failure(audit({ processes: [scene.process, scene.process] }))).toBe('bad-request');
  });
});
