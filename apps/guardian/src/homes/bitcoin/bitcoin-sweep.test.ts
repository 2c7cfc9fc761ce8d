/** Deposits of a vault on Bitcoin before their refund opens, on a real regtest node: whoever wants one back that was minted comes too late. */
import { encodeProposalLine, proposalId } from '@isthmus/bridge';
import {
  buildRefund,
  decodeProposal,
  encodeProposal,
  outpointOf,
  planPayment,
  planSweep,
  type DepositTerms,
  type VaultCoin,
} from '@isthmus/chains';
import { BitcoinWorld, DEEP, secretOf, SWEEP_MARGIN, type BitcoinScene } from '../../../bitcoin-harness.js';
import type { Subject } from '../../../units.js';
import { BitcoinStore } from './store.js';

const RATE = 3_000n;
const DUST = 10_000n;
const LARGE = 900_000n;
/** Outputs of one payment: its payer pays a fixed fee. */
const AT_ONCE = 40;

let world: BitcoinWorld;
beforeAll(async () => {
  world = await BitcoinWorld.open();
});
afterEach(() => world.clear());
afterAll(() => world.close());

const refundOf = (coin: VaultCoin, terms: DepositTerms): string =>
  buildRefund(terms, { coins: [coin], to: world.purse.address, feeRate: RATE, secret: secretOf('depositor') }).hex;
const mintedOf = (s: Subject): bigint => s.view.minted;
const spendsOf = (anchor: string, content: string): readonly string[] => decodeProposal({ anchor, content }).spends;

/** A flood of dust with a large deposit behind it, all minted. */
async function flooded(scene: BitcoinScene, subjects: readonly Subject[], count: number) {
  const [dust, large] = [await scene.address(), await scene.address({ refundAfter: 61 })];
  await scene.rounds(subjects, 1);
  for (let left = count; left > 0; left -= AT_ONCE) await scene.payMany(DUST, dust.lock, Math.min(left, AT_ONCE));
  await world.bitcoin.mine();
  const { coin } = await scene.pay(LARGE, large.lock, true);
  await world.bitcoin.mine(DEEP);
  const all = LARGE + DUST * BigInt(count);
  await scene.until(subjects, () => subjects.every((s) => mintedOf(s) === all));
  return { coin, terms: large.terms };
}

it('B9, I3: a flood of dust keeps no large deposit from being swept, nor a payment from being paid', async () => {
  const scene = await world.scene();
  const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
  const { coin, terms } = await flooded(scene, subjects, 60);
  await world.bitcoin.mine(terms.refundAfter - 2 * SWEEP_MARGIN - DEEP);
  for (const s of [...subjects, ...subjects]) await s.look(); // a block is read once the schedule was followed after it
  await scene.withdraw(100_000n, world.purse.address, 2_000n);

  const sweep = await scene.signedBatch(subjects);
  expect(sweep.proposal.withdrawals).toEqual([]);
  const { anchor, content } = sweep.proposal;
  expect(spendsOf(anchor, content)).toContain(outpointOf(coin));
  const paid = await scene.signedBatch(subjects, [sweep.proposal.id]);
  expect(paid.proposal).toMatchObject({ withdrawals: [1n], anchor: `${sweep.txid}:0` });
  expect(spendsOf(paid.proposal.anchor, paid.proposal.content)).toHaveLength(1);
  for (const { hex } of [sweep, paid]) await world.bitcoin.send(hex);

  await world.bitcoin.mine(2 * SWEEP_MARGIN);
  await expect(world.bitcoin.send(refundOf(coin, terms))).rejects.toThrow(/missingorspent/);
  await scene.until(subjects, () => subjects.every((s) => s.view.open.size === 0));
  expect(subjects.map((s) => s.view.paused)).toEqual([false, false]);
});

it('B9: dust that costs more than it is worth is left, and a deposit pays for itself where the reserve does not', async () => {
  const scene = await world.scene();
  const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
  const { coin, terms } = await flooded(scene, subjects, 3);
  world.bitcoin.fees.estimate = 100_000n;
  await world.bitcoin.mine(terms.refundAfter - 2 * SWEEP_MARGIN - DEEP);
  const { proposal, hex } = await scene.signedBatch(subjects);
  expect(spendsOf(proposal.anchor, proposal.content).slice(1)).toEqual([outpointOf(coin)]);
  await world.bitcoin.send(hex);
});

it('I3: books that are short stop payments and no sweep', async () => {
  const scene = await world.scene();
  const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
  const first = await scene.funded(subjects);
  await world.bitcoin.mine(20);
  const { lock, terms } = await scene.address();
  await scene.rounds(subjects, 1);
  const { coin } = await scene.pay(LARGE, lock, true);
  await world.bitcoin.mine(DEEP);
  await scene.until(subjects, () => subjects.every((s) => mintedOf(s) === LARGE + 500_000n));
  // All guardians are down while the first deposit is swept or refunded.
  await world.bitcoin.mine(first.terms.refundAfter - 20 - 2 * DEEP);
  await world.bitcoin.send(refundOf(first.coin, first.terms));
  await world.bitcoin.mine(terms.refundAfter - 2 * SWEEP_MARGIN - (first.terms.refundAfter - 20 - 2 * DEEP) - DEEP);
  await scene.withdraw(100_000n);

  const short = async (s: Subject): Promise<void> => {
    await s.look();
    await s.look();
    await expect(s.guardian.sign()).rejects.toMatchObject({ code: 'conservation' });
    await s.guardian.decide();
    await s.guardian.send();
  };
  const [a] = subjects;
  const signed = () => [...a.view.proposals.values()].filter((p) => p.signatures.size >= 2);
  for (let round = 0; round < 10 && signed().length === 0; round += 1) for (const s of subjects) await short(s);
  const [sweep] = signed();
  if (!sweep) throw new Error('Nothing was swept.');
  expect(spendsOf(sweep.anchor, sweep.content).slice(1)).toEqual([outpointOf(coin)]);
  await world.bitcoin.send(scene.combined(a.view, sweep) ?? '');
  for (const s of subjects) await short(s);
  expect([...a.view.proposals.values()].filter((p) => p.withdrawals.length > 0)).toEqual([]);
  expect(a.view.paused).toBe(true);
});

it('B9: nobody signs a sweep of what is not due, or of what is worth less than it costs', async () => {
  const scene = await world.scene();
  const [a, b] = (await scene.guardians()) as [Subject, Subject, Subject];
  const { coin } = await scene.funded([a, b]);
  const last = (await b.database.query('select outpoint from bitcoin_anchor order by place desc limit 1')) as {
    outpoint: string;
  }[];
  const anchor = scene.coin(last[0]?.outpoint ?? '');
  const batch = planSweep({ vault: scene.vault, changeTo: scene.lock, anchor, coins: [coin], unconfirmed: 0, feeRate: RATE, reserve: 20_000n }); // prettier-ignore
  const { content } = encodeProposal(batch, RATE);
  await scene.say(
    0,
    'Propose-Release',
    encodeProposalLine({ epoch: 1n, withdrawals: [], ...encodeProposal(batch, RATE) }),
  );
  await scene.rounds([b], 4);
  const proposal = [...b.view.proposals.values()].find((p) => p.content === content);
  expect(proposal?.signatures.size).toBe(0);
  expect(scene.logged.join('')).toContain('gathers what is not due');
});

it('B9, I2: a batch whose deposit was refunded meanwhile gives way to another over the same anchor, and pays once', async () => {
  const scene = await world.scene();
  const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
  const { coin, terms } = await scene.funded(subjects);
  await scene.withdraw(100_000n);
  const dead = await scene.signedBatch(subjects); // and nobody sends it
  expect(spendsOf(dead.proposal.anchor, dead.proposal.content)).toContain(outpointOf(coin));
  await world.bitcoin.mine(terms.refundAfter - DEEP);
  await world.bitcoin.send(refundOf(coin, terms));
  // The operator makes good what is gone: what is paid for nobody is the vault's.
  const { coin: gift } = await scene.pay(600_000n, scene.lock);
  await world.bitcoin.mine(DEEP);
  for (const s of [...subjects, ...subjects]) await s.look();
  const paid = await scene.signedBatch(subjects, [dead.proposal.id]);
  expect(paid.proposal).toMatchObject({ anchor: dead.proposal.anchor, withdrawals: [1n] });
  expect(spendsOf(paid.proposal.anchor, paid.proposal.content).slice(1)).toEqual([outpointOf(gift)]);
  await expect(world.bitcoin.send(dead.hex)).rejects.toThrow(/missingorspent/);
  await world.bitcoin.send(paid.hex);
  await world.bitcoin.mine(DEEP);
  await scene.until(subjects, () => subjects.every((s) => s.view.open.size === 0));
});

it('B9: a sweep that comes after the refund was mined gives way to the next one', async () => {
  const scene = await world.scene();
  const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
  const first = await scene.funded(subjects);
  const { lock } = await scene.address({ refundAfter: 90 });
  await scene.rounds(subjects, 1);
  const { coin } = await scene.pay(LARGE, lock, true);
  await world.bitcoin.mine(first.terms.refundAfter - 2 * SWEEP_MARGIN);
  const late = await scene.signedBatch(subjects);
  expect(spendsOf(late.proposal.anchor, late.proposal.content).slice(1)).toEqual([outpointOf(first.coin)]);
  await world.bitcoin.mine(2 * SWEEP_MARGIN);
  await world.bitcoin.send(refundOf(first.coin, first.terms));
  await world.bitcoin.mine();
  await expect(world.bitcoin.send(late.hex)).rejects.toThrow(/missingorspent/);
  await scene.pay(600_000n, scene.lock);
  await world.bitcoin.mine(20);
  for (const s of [...subjects, ...subjects]) await s.look();
  const next = await scene.signedBatch(subjects, [late.proposal.id]);
  expect(next.proposal.anchor).toBe(late.proposal.anchor);
  expect(spendsOf(next.proposal.anchor, next.proposal.content).slice(1)).toEqual([outpointOf(coin)]);
  await world.bitcoin.send(next.hex);
});

describe('dust at the vault’s own script', () => {
  it('does not make a hand-over dear', async () => {
    const scene = await world.scene();
    const all = [await scene.guardian(0), await scene.guardian(1)] as [Subject, Subject];
    const { coin } = await scene.funded(all);
    for (let i = 0; i < 3; i += 1) await scene.payMany(400n, scene.lock, AT_ONCE);
    await world.bitcoin.mine(DEEP);
    world.bitcoin.fees.estimate = 9_000n;
    for (const s of all) await s.motions.open(scene.process, scene.rotation(2n, [1, 3, 4]), 'operator');
    await scene.until(all, () => all.every((s) => s.view.set.epoch === 2n));
    const { proposal, hex, txid } = await scene.signedBatch(all);
    expect(spendsOf(proposal.anchor, proposal.content).slice(1)).toEqual([outpointOf(coin)]);
    await world.bitcoin.send(hex);
    await world.bitcoin.mine(DEEP);
    await scene.until(all, async () => (await all[1].motions.list(scene.process)).length === 0);
    const { lock } = scene.coin(`${txid}:0`);
    expect(lock.address).not.toBe(scene.lock.address);
  });

  it('is not what the first batch begins with', async () => {
    const scene = await world.scene({ squatted: 600n });
    const [a] = (await scene.guardians()) as [Subject, Subject, Subject];
    await scene.rounds([a], 2);
    const rows: { outpoint: string }[] = await a.database.query('select outpoint from bitcoin_anchor');
    expect(rows.map((r) => scene.coin(r.outpoint).value)).toEqual([50_000n]);
  });
});

describe('what guardians propose', () => {
  it('I4: nobody squats a transaction by naming it first at another rate', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    const { coin } = await scene.funded(subjects);
    const rows: { outpoint: string }[] = await subjects[0].database.query('select outpoint from bitcoin_anchor');
    const inputs = [scene.coin(rows[0]?.outpoint ?? ''), coin];
    const payouts = [{ number: 1n, script: world.purse.script, amount: 100_000n, maxFee: 20_000n }];
    const batch = planPayment({ vault: scene.vault, changeTo: scene.lock, inputs, payouts, feeRate: RATE });
    await scene.withdraw(100_000n);
    const line = (rate: bigint) => encodeProposalLine({ epoch: 1n, withdrawals: [1n], ...encodeProposal(batch, rate) });
    await scene.say(2, 'Propose-Release', line(5_000n));
    await scene.say(2, 'Propose-Release', line(RATE));
    const paid = await scene.signedBatch(subjects);
    expect(paid.txid).toBe(batch.txid);
    expect(paid.proposal.content.startsWith(`r${RATE}t`)).toBe(true);
    const [squat] = [...subjects[0].view.proposals.values()].filter((p) => p.content.startsWith('r5000t'));
    expect(squat?.signatures.size).toBe(0);
  });

  it('I2, I4: what a transaction pays stands in it: nobody relabels it for another withdrawal that is paid the same', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    await scene.funded(subjects);
    await scene.withdraw(100_000n);
    const first = await scene.signedBatch(subjects);
    await scene.withdraw(100_000n);
    const { epoch, anchor, content } = first.proposal;
    const bytes = content.slice(content.indexOf('t'));
    // Ids follow from the text: among some there is one before and one after that of the true proposal.
    for (let rate = 1_001; rate <= 1_006; rate += 1)
      await scene.say(
        2,
        'Propose-Release',
        encodeProposalLine({ epoch, anchor, withdrawals: [2n], content: `r${rate}${bytes}` }),
      );
    await world.bitcoin.send(first.hex);
    const second = await scene.signedBatch(subjects, [first.proposal.id]);
    expect(second.proposal).toMatchObject({ anchor: `${first.txid}:0`, withdrawals: [2n] });
    await world.bitcoin.mine(DEEP);
    await world.bitcoin.send(second.hex);
    await scene.rounds(subjects, 3);
    await world.bitcoin.mine(DEEP);
    await scene.until(subjects, () => subjects.every((s) => s.view.open.size === 0));
    const kept: { payouts: { number: string }[] }[] = await subjects[0].database.query(
      'select payouts from bitcoin_proposal where txid = $1',
      [first.txid],
    );
    expect(kept.map(({ payouts }) => payouts.map((p) => p.number))).toEqual([['1']]);
    const lines: { line: string }[] = await subjects[0].database.query(
      'select line from observed_release where process = $1 order by number',
      [scene.process],
    );
    expect(lines.map(({ line }) => line.split(' ').slice(0, 2))).toEqual([
      ['1', first.txid],
      ['2', second.txid],
    ]);
  });

  it('B9: what was signed is remembered, though a flood of other proposals made the process forget it first', async () => {
    const scene = await world.scene();
    const [a, b] = (await scene.guardians()) as [Subject, Subject, Subject];
    const { coin } = await scene.funded([a, b]);
    await scene.withdraw(100_000n);
    const rows: { outpoint: string }[] = await a.database.query('select outpoint from bitcoin_anchor');
    const inputs = [scene.coin(rows[0]?.outpoint ?? ''), coin];
    const payouts = [{ number: 1n, script: world.purse.script, amount: 100_000n, maxFee: 20_000n }];
    const made = planPayment({ vault: scene.vault, changeTo: scene.lock, inputs, payouts, feeRate: RATE });
    const line = (rate: bigint) => encodeProposalLine({ epoch: 1n, withdrawals: [1n], ...encodeProposal(made, rate) });
    for (let rate = RATE; rate < RATE + 40n; rate += 1n) await scene.say(2, 'Propose-Release', line(rate));
    const id = proposalId(scene.process, line(RATE));
    await scene.say(1, 'Sign-Release', `${id} ${'ab'.repeat(71)}`);
    await scene.until([a], async () => {
      const backed: { id: string }[] = await a.database.query('select id from bitcoin_proposal where backed');
      return backed.some((row) => row.id === id);
    });
    expect(a.view.proposals.has(id)).toBe(false); // the signature came after the flood
  });

  it('is bounded, but for what somebody else has signed or a block has', async () => {
    const scene = await world.scene();
    const a = await scene.guardian(0);
    const store = await BitcoinStore.open(a.database, scene.process);
    const row = (n: number) => ({
      txid: `tx ${n}`,
      id: `id ${n}`,
      proposer: 'one',
      epoch: 1n,
      anchor: `x:${n}`,
      content: '',
      payouts: [],
    });
    await store.learn(1, { proposals: [row(1), row(2), row(3), { ...row(4), proposer: 'two' }] });
    await store.learn(2, { backed: [{ id: 'id 1', by: 'two' }, { id: 'id 2', by: 'one' }] }); // prettier-ignore
    await a.database.query(
      `insert into bitcoin_coin (process, txid, vout, value, script, vault, kind, height, position, together, coinbase, state, minted, spent_by, spent_height)
       values ($1, 'c', 0, 1, '', '', 'memo', 1, 0, 1, false, 'credited', false, 'tx 3', 2)`,
      [scene.process],
    );
    for (let slot = 3; slot < 13; slot += 1)
      await store.learn(slot, { proposals: Array.from({ length: 101 }, (_, i) => row(slot * 1_000 + i)) });
    expect(await store.isKept('tx 2', 'id 2')).toBe(true); // many, and all of a moment
    await store.learn(6_000, { proposals: [row(6_000)] });
    const kept = await Promise.all([1, 2, 3, 4].map((n) => store.isKept(`tx ${n}`, `id ${n}`)));
    expect(kept).toEqual([true, false, true, true]);
    const [{ count } = { count: '' }]: { count: string }[] = await a.database.query(
      'select count(*) from bitcoin_proposal',
    );
    expect(Number(count)).toBeLessThanOrEqual(1_003);
  });
});

describe('a rotation to keys that make no vault', () => {
  const broken = (scene: BitcoinScene): string =>
    scene.rotation(2n, [1, 3, 4]).replace(/[0-9a-f]{66}$/, `02${'ff'.repeat(32)}`);

  it('is not voted for', async () => {
    const scene = await world.scene();
    const [a] = (await scene.guardians()) as [Subject, Subject, Subject];
    await scene.rounds([a], 2);
    await a.motions.open(scene.process, broken(scene), 'operator');
    await a.round();
    expect(await a.motions.list(scene.process)).toEqual([]);
    expect(await a.said('Attest-Decision')).toEqual([]);
    await a.motions.open(scene.process, scene.rotation(2n, [1, 3, 4]), 'operator');
    await a.round();
    expect(await a.said('Attest-Decision')).toHaveLength(1);
  });

  it('stops no guardian when it was decided in spite of that: the vault stays where it is', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    await scene.funded(subjects);
    for (const i of [0, 1]) await scene.say(i, 'Attest-Decision', broken(scene), { 'Decision-Nonce': '1' });
    await scene.rounds(subjects, 4);
    expect(subjects.map((s) => s.view.set.epoch)).toEqual([2n, 2n]);
    expect([...subjects[0].view.proposals.values()]).toEqual([]);
  });
});
