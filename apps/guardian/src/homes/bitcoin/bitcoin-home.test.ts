/** Three guardians of a vault on Bitcoin, between a real regtest node and a real schedule. */
import { depositId, encodeDepositLine } from '@isthmus/bridge';
import { depositScript } from '@isthmus/chains';
import { ALICE } from '../../../harness.js';
import { BitcoinWorld, CHAIN, DEEP, SMALL, SWEEP_MARGIN, type BitcoinScene } from '../../../bitcoin-harness.js';
import type { Subject } from '../../../units.js';

let world: BitcoinWorld;
beforeAll(async () => {
  world = await BitcoinWorld.open();
});
afterEach(() => world.clear());
afterAll(() => world.close());

const minted = (subject: Subject): bigint => subject.view.minted;
const reasons = (subject: Subject): Promise<{ state: string; reason: string | null }[]> =>
  subject.database.query(
    `select state, reason from bitcoin_coin where kind <> 'change' order by height, position, vout`,
  );

async function released(scene: BitcoinScene, subject: Subject): Promise<string[]> {
  await subject.look();
  const rows: { number: string; line: string }[] = await subject.database.query(
    'select number, line from observed_release where process = $1 order by number',
    [scene.process],
  );
  return rows.map((r) => r.line);
}

describe('a deposit', () => {
  it('to an address is minted by two of three, once it is final', async () => {
    const scene = await world.scene();
    const subjects = await scene.guardians();
    const { lock } = await scene.address();
    const third = subjects.slice(0, 2);
    await scene.rounds(third, 2);
    await scene.pay(SMALL + 1n, lock, true);
    await world.bitcoin.mine(DEEP - 1);
    await scene.rounds(third, 3);
    expect(third.map(minted)).toEqual([0n, 0n]);
    await world.bitcoin.mine();
    await scene.until(third, () => third.every((s) => minted(s) === SMALL + 1n));
    expect(await reasons(third[0]!)).toEqual([
      { state: 'anchor', reason: null },
      { state: 'credited', reason: null },
    ]);
  });
});

it('B19 I12: a deposit that was paid before its address was registered is minted, also by who is killed in between', async () => {
  const scene = await world.scene();
  const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
  await scene.rounds(subjects, 2);
  await scene.pay(400_000n, depositScript(scene.termsOf()), true);
  await world.bitcoin.mine(DEEP);
  await scene.rounds(subjects, 2);
  expect(await reasons(subjects[0])).toHaveLength(1);
  await scene.address();
  await subjects[0].guardian.follow(); // it is known, and not looked for yet
  await subjects[0].restart();
  await scene.rounds(subjects, 2);
  await scene.until(subjects, () => subjects.every((s) => minted(s) === 400_000n));
});

it('I3 I7: each output is credited with what it holds less the sweep fee, and sweeps are paid by that: the vault keeps what it owes', async () => {
  const scene = await world.scene({ sweepFee: 1_000n });
  const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
  const { terms, lock } = await scene.address();
  await scene.rounds(subjects, 2);
  const paid = [9_999n, 10_000n, 400_000n];
  for (const value of paid) await scene.pay(value, lock, true);
  await scene.payMemo(60_000n);
  await world.bitcoin.mine(DEEP);
  const credited = 9_000n + 399_000n + 59_000n;
  await scene.until(subjects, () => subjects.every((s) => minted(s) === credited));
  expect((await reasons(subjects[0])).flatMap((r) => r.reason ?? [])).toEqual(['below-minimum']);
  const asset = { id: '', process: scene.process };
  const surplus = async () => (await subjects[0].home.holdings(asset)) - credited;
  expect(await surplus()).toBe(50_000n + 3n * 1_000n);
  await world.bitcoin.mine(terms.refundAfter - 2 * SWEEP_MARGIN - DEEP);
  const { hex, proposal } = await scene.signedBatch(subjects);
  expect(proposal.withdrawals).toEqual([]);
  await world.bitcoin.send(hex);
  await world.bitcoin.mine(DEEP);
  await scene.rounds(subjects, 3);
  // Two of the three were swept at once, at three satoshis a byte: what they brought for it is more.
  expect(await surplus()).toBeGreaterThan(50_000n + 1_000n);
  expect(await surplus()).toBeLessThan(50_000n + 3_000n);
});

describe('a withdrawal', () => {
  it('is proposed, signed by two, mined, attested and released', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2);
    await scene.funded(subjects);
    await scene.withdraw(100_000n);
    const { hex, txid } = await scene.signedBatch(subjects);
    await world.bitcoin.send(hex);
    await world.bitcoin.mine(DEEP - 1);
    await scene.rounds(subjects);
    expect(await released(scene, subjects[0]!)).toEqual([]);
    await world.bitcoin.mine();
    await scene.until(subjects, () => subjects.every((s) => s.view.open.size === 0));
    expect((await released(scene, subjects[0]!))[0]).toMatch(new RegExp(`^1 ${txid} [0-9]+ paid$`));
  });
});

describe('a memo deposit', () => {
  it('is minted; B6: a payment without one is recorded, and credits nobody', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2);
    await scene.rounds(subjects, 2);
    await scene.payMemo(40_000n);
    await scene.pay(30_000n, scene.lock);
    await world.bitcoin.mine(DEEP);
    await scene.until(subjects, () => subjects.every((s) => minted(s) === 40_000n));
    await scene.rounds(subjects);
    expect(subjects.map(minted)).toEqual([40_000n, 40_000n]);
    expect((await reasons(subjects[0]!)).map((r) => r.state)).toEqual(
      expect.arrayContaining(['anchor', 'credited', 'refused']),
    );
    expect((await reasons(subjects[0]!)).flatMap((r) => r.reason ?? [])).toEqual(['memo-missing']);
  });
});

it('I5, B3: a deposit whose block is replaced before it is final is not minted', async () => {
  const scene = await world.scene();
  const subjects = (await scene.guardians()).slice(0, 2);
  const { lock } = await scene.address();
  await scene.rounds(subjects, 2);
  await scene.pay(SMALL + 1n, lock, true);
  await world.bitcoin.mine(DEEP - 1);
  await scene.rounds(subjects, 2);
  expect(await reasons(subjects[0]!)).toHaveLength(2);
  await world.bitcoin.branch(DEEP - 1);
  await scene.rounds(subjects, 3);
  expect(await reasons(subjects[0]!)).toHaveLength(1);
  expect(subjects.map(minted)).toEqual([0n, 0n]);
});

describe('B3: a minted deposit that a reorg takes away', () => {
  const lost = (subjects: readonly Subject[]) => subjects.map((s) => s.guardian.lostDeposits);
  const whyNot = async (subject: Subject) => [...(await subject.guardian.sign()).values()];

  /** Two guardians have minted it after one confirmation, and a withdrawal waits; what else the payer's coin can be spent by. */
  async function minting() {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    const { lock } = await scene.address();
    await scene.rounds(subjects, 2);
    const { bitcoin, purse } = world;
    const from = await purse.coin(bitcoin.node);
    const spend = (script: Uint8Array) => purse.pay(bitcoin.node, [{ script, value: 400_000n }], { from });
    const [deposit, otherwise] = [await spend(lock.script), await spend(purse.script)];
    await bitcoin.send(deposit);
    await bitcoin.mine();
    await scene.until(subjects, () => subjects.every((s) => minted(s) === 400_000n));
    await scene.rounds(subjects, 1);
    return { scene, subjects, deposit, otherwise };
  }

  /** Both read all there is of the chain: a block is read once the schedule was followed after it. */
  const look = async (subjects: readonly Subject[]) => {
    for (const s of [...subjects, ...subjects]) await s.look();
  };

  it('I3: and that never comes back is lost after as many blocks as make anything final: the books are short by it', async () => {
    const { scene, subjects, otherwise } = await minting();
    await scene.withdraw(100_000n);
    await world.bitcoin.branch(1, { only: [otherwise] });
    await look(subjects);
    expect(lost(subjects)).toEqual([0, 0]);
    for (const s of subjects) expect(await whyNot(s)).toEqual(['behind']);
    await world.bitcoin.mine(DEEP - 1);
    await look(subjects);
    expect(lost(subjects)).toEqual([0, 0]);
    for (const s of subjects) expect(await whyNot(s)).toEqual(['behind']);
    await subjects[0].restart(); // what it counts is kept
    await world.bitcoin.mine();
    await look(subjects);
    expect(lost(subjects)).toEqual([1, 1]);
    for (const s of subjects) await expect(s.guardian.sign()).rejects.toMatchObject({ code: 'conservation' });
    expect(scene.logged.filter((line) => line.includes('is on the chain no more'))).toHaveLength(2);
    // It is said once, and remembered.
    await subjects[0].restart();
    await look(subjects);
    expect(lost(subjects)).toEqual([1, 1]);
    expect(scene.logged.filter((line) => line.includes('is on the chain no more'))).toHaveLength(2);
    // Whoever fills the vault up makes the books whole.
    await scene.pay(400_000n, scene.lock);
    await world.bitcoin.mine(DEEP);
    await look(subjects);
    for (const s of subjects) expect(await whyNot(s)).not.toContain('behind');
  });

  it.each([
    ['in time is not lost', DEEP - 1, [0, 0]],
    ['later is lost until then', DEEP, [1, 1]],
  ])('and comes back %s', async (_, blocks, meanwhile) => {
    const { subjects, deposit } = await minting();
    await world.bitcoin.branch(1);
    await look(subjects);
    await world.bitcoin.mine(blocks, { only: [] });
    await look(subjects);
    expect(lost(subjects)).toEqual(meanwhile);
    await world.bitcoin.mine(1, { only: [deposit] });
    await look(subjects);
    expect(lost(subjects)).toEqual([0, 0]);
    await world.bitcoin.mine(2 * DEEP);
    await look(subjects);
    expect(lost(subjects)).toEqual([0, 0]);
    for (const s of subjects) expect(await whyNot(s)).toEqual([]);
  });

  it('one that was minted and never seen is awaited as long as no block was surely mined after it was minted', async () => {
    const scene = await world.scene();
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    await scene.rounds(subjects, 2);
    const reference = `${CHAIN}:${'ab'.repeat(32)}:0`;
    const said = { id: depositId(reference), reference, txHash: 'ab'.repeat(32), sender: '-', recipient: ALICE };
    for (const i of [0, 1])
      await scene.say(i, 'Attest-Deposits', encodeDepositLine({ ...said, amount: 70_000n, tags: '-' }));
    await scene.withdraw(30_000n);
    await look(subjects);
    expect(subjects.map(minted)).toEqual([70_000n, 70_000n]);
    await world.bitcoin.mine(2 * DEEP);
    await look(subjects);
    for (const s of subjects) expect(await whyNot(s)).toEqual(['behind']);
    expect(lost(subjects)).toEqual([0, 0]);
    // Hours later, as the blocks have it.
    for (const s of subjects) await s.database.query('update bitcoin_unseen set minted_at = minted_at - 3 * 3600000');
    await look(subjects);
    await world.bitcoin.mine(DEEP - 1);
    await look(subjects);
    expect(lost(subjects)).toEqual([0, 0]);
    await world.bitcoin.mine();
    await look(subjects);
    expect(lost(subjects)).toEqual([1, 1]);
    for (const s of subjects) await expect(s.guardian.sign()).rejects.toMatchObject({ code: 'conservation' });
  });
});

it('B14, B15: a batch that is not mined is replaced at a higher fee, and pays once', async () => {
  const scene = await world.scene();
  const subjects = (await scene.guardians()).slice(0, 2);
  await scene.funded(subjects);
  await scene.withdraw(100_000n);
  const old = await scene.signedBatch(subjects);
  await scene.rounds(subjects);
  await world.bitcoin.mine(4);
  world.bitcoin.fees.estimate = 9_000n;
  const higher = await scene.signedBatch(subjects, [old.proposal.id]);
  expect(higher.proposal).toMatchObject({ anchor: old.proposal.anchor, withdrawals: [1n] });
  await world.bitcoin.send(old.hex);
  await world.bitcoin.send(higher.hex);
  await world.bitcoin.mine(DEEP);
  await scene.until(subjects, () => subjects.every((s) => s.view.open.size === 0));
  expect((await released(scene, subjects[0]!)).map((line) => line.split(' ')[1])).toEqual([higher.txid]);
});

type Signed = Awaited<ReturnType<BitcoinScene['signedBatch']>>;

/** A payment that allows no more than it pays, and the child that lifts it; both are sent, neither is mined. */
async function lifted(
  scene: BitcoinScene,
): Promise<{ subjects: readonly [Subject, ...Subject[]]; old: Signed; child: Signed }> {
  const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
  await scene.funded(subjects);
  await scene.withdraw(100_000n, world.purse.address, 1_500n);
  const old = await scene.signedBatch(subjects);
  await scene.rounds(subjects);
  await world.bitcoin.mine(4);
  world.bitcoin.fees.estimate = 9_000n;
  const child = await scene.signedBatch(subjects, [old.proposal.id]);
  expect(child.proposal).toMatchObject({ anchor: `${old.txid}:0`, withdrawals: [] });
  await world.bitcoin.send(old.hex);
  await world.bitcoin.send(child.hex);
  return { subjects, old, child };
}

it('B14: a batch whose recipient allows no more is lifted by a child that pays for both, of what the vault can spare', async () => {
  const scene = await world.scene();
  const { subjects, old } = await lifted(scene);
  await world.bitcoin.mine(DEEP);
  await scene.until(subjects, () => subjects.every((s) => s.view.open.size === 0));
  expect((await released(scene, subjects[0])).map((line) => line.split(' ')[1])).toEqual([old.txid]);
});

it('B14: what a child has lifted is not lifted again, nor is the child once that is mined, while it pays what is paid now', async () => {
  const scene = await world.scene();
  const { subjects, old, child } = await lifted(scene);
  const known = [old.proposal.id, child.proposal.id];
  const more = (): string[] => [...subjects[0].view.proposals.keys()].filter((id) => !known.includes(id));
  await world.bitcoin.mine(4, { only: [] });
  await scene.rounds(subjects, 2);
  expect(more()).toEqual([]); // both are worth mining
  await world.bitcoin.mine(DEEP, { only: [old.hex] });
  // It named 9,000 and pays more: for two.
  world.bitcoin.fees.estimate = 14_000n;
  await scene.rounds(subjects, 2); // it was seen to wait alone
  await world.bitcoin.mine(4, { only: [] });
  await scene.rounds(subjects, 4);
  expect(more()).toEqual([]);
  world.bitcoin.fees.estimate = 30_000n;
  const higher = await scene.signedBatch(subjects, known);
  expect(higher.proposal).toMatchObject({ anchor: `${child.txid}:0`, withdrawals: [] });
  await world.bitcoin.send(higher.hex);
});

it('I2: who lost its database signs no second payment of what a batch below pays', async () => {
  const scene = await world.scene();
  const [a, b, c] = (await scene.guardians()) as [Subject, Subject, Subject];
  await scene.funded([a, b]);
  await scene.withdraw(100_000n);
  const batch = await scene.signedBatch([a, b]);
  await world.bitcoin.send(batch.hex);
  await world.bitcoin.mine();
  await scene.rounds([a, b, c], 3);
  // Whoever has two keys could propose anything; the change of the batch is an anchor that is open.
  const { epoch, content } = batch.proposal;
  await scene.say(0, 'Propose-Release', `${epoch} ${batch.txid}:0 1 ${content}`);
  const restored = await scene.guardian(2);
  await scene.rounds([restored, b, a], 4);
  const all = [...restored.view.proposals.values()].filter((p) => p.id !== batch.proposal.id);
  expect(all.map((p) => p.signatures.size)).toEqual([0]);
});

it('X10: nothing is attested while sources do not agree; and a guardian with another key than the set names signs nothing', async () => {
  const scene = await world.scene();
  const [a, b] = (await scene.guardians()) as [Subject, Subject];
  await scene.funded([a, b]);
  const wrong = await scene.guardian(2, {}, `${scene.name} another`);
  await scene.withdraw(100_000n);
  await scene.until([wrong, a], () => [...a.view.proposals.values()].some((p) => p.signatures.size > 0));
  await scene.rounds([wrong, a]);
  expect([...a.view.proposals.values()].map((p) => p.signatures.size)).toEqual([1]);
  expect(scene.logged.join('')).toContain('correct keyFile of the home');
  world.bitcoin.outages.fail({ count: 1_000 });
  await expect(b.round()).rejects.toMatchObject({ code: 'agreement-lost' });
  expect(b.guardian.serving).toBe(false);
  world.bitcoin.outages.heal();
});

it('X4: a guardian opened again from its database goes on where it was, and says nothing twice', async () => {
  const scene = await world.scene();
  const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
  await scene.funded(subjects);
  await scene.withdraw(100_000n);
  for (let step = 0; step < 6; step += 1) {
    for (const s of subjects) await s.round();
    for (const s of subjects) await s.restart();
  }
  for (const s of subjects) await s.look();
  const batch = await scene.signedBatch(subjects);
  await world.bitcoin.send(batch.hex);
  await world.bitcoin.mine(DEEP);
  for (const s of subjects) await s.restart();
  await scene.until(subjects, () => subjects.every((s) => s.guardian.viewOf(scene.process)?.open.size === 0));
  expect(await subjects[0].said('Attest-Deposits')).toHaveLength(1);
  expect(await subjects[0].said('Sign-Release')).toHaveLength(1);
});
