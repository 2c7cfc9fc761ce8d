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
