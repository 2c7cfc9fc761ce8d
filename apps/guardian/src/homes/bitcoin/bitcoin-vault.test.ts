/** What becomes of a vault on Bitcoin when it changes hands, when its keys are misused, and when depositor and guardians race for a coin. */
import { encodeProposalLine, encodeProposalSignLine, type OpenProposal } from '@isthmus/bridge';
import {
  buildRefund,
  encodeProposal,
  encodeSignatures,
  parseAddress,
  planPayment,
  signBatch,
  type Batch,
  type DepositTerms,
  type VaultCoin,
} from '@isthmus/chains';
import { Transaction } from 'bitcoinjs-lib';
import { BitcoinWorld, DEEP, REGTEST, secretOf, SWEEP_MARGIN, type BitcoinScene } from '../../../bitcoin-harness.js';
import { guardianAddress, type Subject } from '../../../units.js';

/** Satoshis per 1,000 virtual bytes, as nodes say at first, and later: then what was proposed before is too cheap to be signed. */
const RATE = 3_000n;
const HIGHER = 9_000n;

let world: BitcoinWorld;
beforeAll(async () => {
  world = await BitcoinWorld.open();
});
afterEach(() => world.clear());
afterAll(() => world.close());

/** A transaction that pays this withdrawal from these coins, the first its anchor. */
function payment(scene: BitcoinScene, inputs: VaultCoin[], number: bigint, amount: bigint, feeRate = RATE): Batch {
  const { script } = parseAddress(world.purse.address, REGTEST);
  const payouts = [{ number, script, amount, maxFee: 20_000n }];
  return planPayment({ vault: scene.vault, changeTo: scene.lock, inputs, payouts, feeRate });
}

/** Guardian 0 proposes it, by hand; its content. */
async function propose(scene: BitcoinScene, batch: Batch, { epoch = 1n, rate = RATE } = {}): Promise<string> {
  const proposal = encodeProposal(batch, rate);
  const withdrawals = batch.payouts.map((p) => p.number);
  await scene.say(0, 'Propose-Release', encodeProposalLine({ epoch, withdrawals, ...proposal }));
  return proposal.content;
}

const named = ({ view }: Subject, content: string): OpenProposal | undefined =>
  [...view.proposals.values()].find((p) => p.content === content);

/** A round in which a guardian finds the books short, asks for a pause and signs nothing. */
async function asksForPause(subject: Subject): Promise<void> {
  const before = await subject.said('Sign-Release');
  await subject.look(); // a block is read once the schedule was followed after it
  await subject.look();
  await expect(subject.guardian.sign()).rejects.toMatchObject({ code: 'conservation' });
  await subject.guardian.decide();
  await subject.guardian.send();
  await subject.look();
  expect(subject.view.paused).toBe(true);
  expect(await subject.said('Sign-Release')).toEqual(before);
}

const refundOf = (coin: VaultCoin, terms: DepositTerms): string =>
  buildRefund(terms, { coins: [coin], to: world.purse.address, feeRate: RATE, secret: secretOf('depositor') }).hex;

describe('a rotation', () => {
  it('X2: the set that leaves hands the vault over, and the new one pays; the old one signs no payment', async () => {
    const scene = await world.scene();
    const [leaves, stays, joins] = [await scene.guardian(0), await scene.guardian(1), await scene.guardian(3)];
    const all = [leaves, stays, joins];
    await scene.funded(all);
    const line = scene.rotation(2n, [1, 3, 4]);
    for (const s of [leaves, stays]) await s.motions.open(scene.process, line, 'operator');
    await scene.until(all, () => all.every((s) => s.guardian.viewOf(scene.process)?.set.epoch === 2n));
    await scene.withdraw(100_000n);

    const handOver = await scene.signedBatch(all);
    expect(handOver.proposal).toMatchObject({ epoch: 1n, withdrawals: [] });
    expect([...handOver.proposal.signatures.keys()].toSorted()).toEqual(
      [guardianAddress(0), guardianAddress(1)].toSorted(),
    );
    await scene.rounds(all); // nobody pays while the vault is on its way
    expect([...stays.view.proposals.values()].filter((p) => p.epoch === 2n)).toEqual([]);
    await world.bitcoin.send(handOver.hex);
    await world.bitcoin.mine(DEEP);

    const paid = await scene.signedBatch(all, [handOver.proposal.id]);
    expect(paid.proposal).toMatchObject({ epoch: 2n, withdrawals: [1n], anchor: `${handOver.txid}:0` });
    const { view } = stays;
    expect([...paid.proposal.signatures.keys()].every((g) => view.set.guardians.includes(g as never))).toBe(true);
    expect(await leaves.said('Sign-Release')).toHaveLength(1); // the hand-over
    await world.bitcoin.send(paid.hex);
    await world.bitcoin.mine(DEEP);
    await scene.until(all, () => [stays, joins].every((s) => s.view.open.size === 0));
    expect(await stays.motions.list(scene.process)).toEqual([]);
  });

  it('B14, X2: a hand-over that pays too little to be mined is replaced', async () => {
    const scene = await world.scene();
    const all = [await scene.guardian(0), await scene.guardian(1)] as [Subject, Subject];
    await scene.funded(all);
    for (const s of all) await s.motions.open(scene.process, scene.rotation(2n, [1, 3, 4]), 'operator');
    await scene.until(all, () => all.every((s) => s.view.set.epoch === 2n));
    const low = await scene.signedBatch(all);
    world.bitcoin.fees.estimate = HIGHER;
    await scene.rounds(all, 1); // it was seen signed
    await world.bitcoin.send(low.hex);
    await world.bitcoin.mine(DEEP, { only: [] });
    const high = await scene.signedBatch(all, [low.proposal.id]);
    expect(high.proposal).toMatchObject({ epoch: 1n, anchor: low.proposal.anchor, withdrawals: [] });
    await world.bitcoin.send(high.hex); // nodes take it for the other
    await world.bitcoin.mine(DEEP);
    await scene.until(all, async () => (await all[1].motions.list(scene.process)).length === 0);
  });

  it('B14, X2: so is one of many coins that are worth less than their input by then: with all of them, or nodes keep the first', async () => {
    const scene = await world.scene();
    const all = [await scene.guardian(0), await scene.guardian(1)] as [Subject, Subject];
    await scene.payMany(600n, scene.lock, 12, false);
    await scene.funded(all);
    for (const s of all) await s.motions.open(scene.process, scene.rotation(2n, [1, 3, 4]), 'operator');
    await scene.until(all, () => all.every((s) => s.view.set.epoch === 2n));
    const low = await scene.signedBatch(all);
    expect(Transaction.fromHex(low.hex).ins).toHaveLength(14);
    world.bitcoin.fees.estimate = HIGHER;
    await scene.rounds(all, 1); // it was seen signed
    await world.bitcoin.send(low.hex);
    await world.bitcoin.mine(DEEP, { only: [] });
    const high = await scene.signedBatch(all, [low.proposal.id]);
    await world.bitcoin.send(high.hex); // nodes take it for the other
    expect(Transaction.fromHex(high.hex).ins).toHaveLength(14);
  });

  it('I2: what the old set had signed and is mined after the rotation counts; the rest is handed over from there', async () => {
    const scene = await world.scene();
    const all = [await scene.guardian(0), await scene.guardian(1)] as [Subject, Subject];
    await scene.funded(all);
    await scene.withdraw(100_000n);
    const paid = await scene.signedBatch(all);
    for (const s of all) await s.motions.open(scene.process, scene.rotation(2n, [1, 3, 4]), 'operator');
    await scene.until(all, () => all.every((s) => s.view.set.epoch === 2n));
    const early = await scene.signedBatch(all); // over the same anchor: one of the two is mined
    expect(early.proposal.anchor).toBe(paid.proposal.anchor);
    await world.bitcoin.mine(1, { only: [paid.hex] });
    await world.bitcoin.mine(DEEP);
    const late = await scene.signedBatch(all, [early.proposal.id]);
    expect(late.proposal).toMatchObject({ anchor: `${paid.txid}:0`, withdrawals: [] });
    await world.bitcoin.send(late.hex);
    await world.bitcoin.mine(DEEP);
    await scene.until(all, async () => (await all[1].motions.list(scene.process)).length === 0);
    expect(all.map((s) => s.view.paused)).toEqual([false, false]);
  });

  it('X2: a signature of the old set for a payment is refused by process and chain', async () => {
    const scene = await world.scene();
    const [leaves, stays] = [await scene.guardian(0), await scene.guardian(1)];
    const all = [leaves, stays];
    const { coin } = await scene.funded(all);
    await scene.withdraw(100_000n);
    await scene.until(all, () => all.every((s) => s.view.proposals.size > 0));
    const [before] = [...leaves.view.proposals.values()] as [OpenProposal];
    for (const s of all) await s.motions.open(scene.process, scene.rotation(2n, [1, 3, 4]), 'operator');
    await scene.until(all, () => all.every((s) => s.view.set.epoch === 2n));
    const batch = payment(scene, [scene.coin(before.anchor), coin], 1n, 100_000n);
    const signatures = encodeSignatures(signBatch(batch, secretOf(`${scene.name} 0`)));
    // One that was proposed before, and one that names the old epoch or the new.
    await scene.say(0, 'Sign-Release', encodeProposalSignLine({ id: before.id, signatures }));
    const old = await propose(scene, batch);
    const fresh = await propose(scene, batch, { epoch: 2n });
    await scene.rounds(all, 3);
    expect([named(stays, old), named(stays, fresh)]).toEqual([undefined, undefined]);
    const events = await world.events(scene.process);
    expect(events.filter((e) => e.type === 'guardian.bad-line')).toMatchObject([
      { guardian: guardianAddress(0), code: 'unknown-proposal' },
    ]);

    const handOver = await scene.signedBatch(all);
    await world.bitcoin.send(handOver.hex);
    await world.bitcoin.mine();
    // Two of the old set's keys do nothing for what the new set's hold.
    const held = { ...scene.coin(`${handOver.txid}:0`), lock: scene.lock };
    await expect(world.bitcoin.send(scene.stolen(held))).rejects.toThrow(/script-verify|verify/);
  });
});

describe('B16, I3: a coin of the vault spent by what nobody proposed', () => {
  it('stops everything and asks for a pause, from its first block on', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    const { coin } = await scene.funded(subjects);
    await scene.withdraw(100_000n);
    await world.bitcoin.send(scene.stolen(coin));
    await world.bitcoin.mine();
    for (const s of subjects) await asksForPause(s);
    await world.bitcoin.mine(DEEP);
    for (const s of subjects) await asksForPause(s);
  });

  it('so does the anchor alone, which the books could spare', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    await scene.funded(subjects);
    const [anchor] = (await subjects[0].database.query('select outpoint from bitcoin_anchor')) as {
      outpoint: string;
    }[];
    await world.bitcoin.send(scene.stolen(scene.coin(anchor?.outpoint ?? '')));
    await world.bitcoin.mine();
    await scene.withdraw(100_000n);
    for (const s of subjects) await asksForPause(s);
    expect(subjects[0].view.proposals.size).toBe(0);
  });

  it('a batch that was proposed is none of that', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    await scene.funded(subjects);
    await scene.withdraw(100_000n);
    const { hex } = await scene.signedBatch(subjects);
    await world.bitcoin.send(hex);
    await world.bitcoin.mine();
    await scene.rounds(subjects);
    expect(subjects.map((s) => s.view.paused)).toEqual([false, false]);
  });
});

describe('B9: the refund of a deposit and its sweep', () => {
  it('a refund that is mined before the guardians looked leaves nothing to credit', async () => {
    const scene = await world.scene();
    const { lock, terms } = await scene.address();
    const { coin } = await scene.pay(500_000n, lock, true);
    await world.bitcoin.mine(terms.refundAfter);
    await world.bitcoin.send(refundOf(coin, terms));
    await world.bitcoin.mine(DEEP);
    const subjects = (await scene.guardians()).slice(0, 2);
    await scene.rounds(subjects, 3);
    expect(subjects.map((s) => s.view.minted)).toEqual([0n, 0n]);
    const rows = await subjects[0]!.database.query(`select state, reason from bitcoin_coin where kind = 'deposit'`);
    expect(rows).toEqual([{ state: 'refused', reason: 'refunded' }]);
  });

  it('I3: one that is mined after the deposit was minted makes the books short, from its first block on', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    const { coin, terms } = await scene.funded(subjects);
    await world.bitcoin.mine(terms.refundAfter - DEEP);
    await world.bitcoin.send(refundOf(coin, terms));
    await world.bitcoin.mine();
    for (const s of subjects) await asksForPause(s);
    await world.bitcoin.mine(DEEP);
    for (const s of subjects) await asksForPause(s);
  });

  it('a deposit is swept by proposal before its refund opens, and the refund comes too late', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    const { coin, terms } = await scene.funded(subjects);
    await world.bitcoin.mine(terms.refundAfter - 2 * SWEEP_MARGIN - DEEP - 1);
    await scene.rounds(subjects, 3);
    expect(subjects[0].view.proposals.size).toBe(0); // one block too early
    await world.bitcoin.mine();
    const { hex, proposal } = await scene.signedBatch(subjects);
    expect(proposal.withdrawals).toEqual([]);
    expect(Transaction.fromHex(hex).ins).toHaveLength(2);
    await world.bitcoin.send(hex);
    await world.bitcoin.mine(2 * SWEEP_MARGIN);
    await expect(world.bitcoin.send(refundOf(coin, terms))).rejects.toThrow(/missingorspent/);
    await scene.rounds(subjects, 3);
    expect(subjects.map((s) => [s.view.paused, s.view.minted])).toEqual([
      [false, 500_000n],
      [false, 500_000n],
    ]);
  });
});

describe('I2: who lost its database', () => {
  it.each([
    ['signed', false],
    ['mined', true],
  ])('signs no second payment over the change of the first, which is %s', async (_, isMined) => {
    const scene = await world.scene();
    const [a, b] = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    await scene.funded([a, b]);
    await scene.withdraw(100_000n);
    const first = await scene.signedBatch([a, b]);
    if (isMined) {
      await world.bitcoin.send(first.hex);
      await world.bitcoin.mine();
    }
    await scene.withdraw(50_000n);
    const change = scene.coin(`${first.txid}:0`);
    const [twice, next] = [
      payment(scene, [change], 1n, 100_000n, HIGHER),
      payment(scene, [change], 2n, 50_000n, HIGHER),
    ];
    const refused = await propose(scene, twice, { rate: HIGHER });
    const good = await propose(scene, next, { rate: HIGHER });
    world.bitcoin.fees.estimate = HIGHER;
    const restored = await scene.guardian(2);
    await scene.rounds([restored, b], 1);
    const isBacked = () => (named(restored, good)?.signatures.size ?? 0) > 0;
    const isRefused = (id: string | undefined) => scene.whyNot(id).length > 0;
    await scene.until(
      [restored, b],
      () => isBacked() && isRefused(named(restored, refused)?.id) && isRefused(first.proposal.id),
    );
    await scene.rounds([restored, b], 1); // nor is it signed when it is looked at again
    expect(named(restored, refused)?.signatures.size).toBe(0);
    expect(scene.whyNot(named(restored, refused)?.id)).toEqual(['other-anchor']);
    expect(scene.whyNot(first.proposal.id)).toEqual(isMined ? ['other-anchor'] : ['fee']);
  });

  it('signs none over another coin of the vault, which is no anchor', async () => {
    const scene = await world.scene();
    const [a, b] = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    const { lock } = await scene.address();
    await scene.rounds([a, b], 1);
    const { coin: other } = await scene.pay(300_000n, lock, true);
    const { coin: memo } = await scene.payMemo(200_000n);
    await world.bitcoin.mine(DEEP);
    await scene.until([a, b], () => b.guardian.viewOf(scene.process)?.minted === 500_000n);
    await scene.rounds([a, b], 1);
    await scene.withdraw(100_000n);
    const first = await scene.signedBatch([a, b]);
    const contents: string[] = [];
    for (const coin of [other, memo])
      contents.push(await propose(scene, payment(scene, [coin], 1n, 100_000n, HIGHER), { rate: HIGHER }));
    world.bitcoin.fees.estimate = HIGHER;
    const restored = await scene.guardian(2);
    await scene.rounds([restored, b], 1);
    const isRefused = (content: string) => scene.whyNot(named(restored, content)?.id).length > 0;
    await scene.until([restored, b], () => contents.every(isRefused));
    await scene.rounds([restored, b], 1); // nor when they are looked at again
    for (const content of contents) {
      expect(named(restored, content)?.signatures.size).toBe(0);
      expect(scene.whyNot(named(restored, content)?.id)).toEqual(['other-anchor']);
    }
    expect(first.proposal.withdrawals).toEqual([1n]);
  });
});
