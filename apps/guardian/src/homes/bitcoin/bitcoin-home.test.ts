/** Three guardians of a vault on Bitcoin, between a real regtest node and a real schedule. */
import { BitcoinWorld, DEEP, SMALL, type BitcoinScene } from '../../../bitcoin-harness.js';
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
  await scene.rounds([wrong, a], 6);
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
