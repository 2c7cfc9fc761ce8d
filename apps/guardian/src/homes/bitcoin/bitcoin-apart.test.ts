/** Guardians that do not see quite the same, on a real regtest node: one is a block ahead, one knows of a coin the other does not. Together they still pay, and none is exploited. */
import { encodeProposalLine, proposalId, type OpenProposal } from '@isthmus/bridge';
import { buildRefund, decodeProposal, encodeProposal, outpointOf, planPayment, type VaultCoin } from '@isthmus/chains';
import { BitcoinWorld, DEEP, secretOf, SWEEP_MARGIN, type BitcoinScene } from '../../../bitcoin-harness.js';
import type { Subject } from '../../../units.js';

const RATE = 3_000n;
const SMALL_COIN = 20_000n;
const LARGE = 2_000_000n;
/** Of small coins as many as a payment of AMOUNT takes beside the anchor of 50,000, and some. */
const SMALL_COINS = 6;
const AMOUNT = 100_000n;
const TAKES = 3;

let world: BitcoinWorld;
beforeAll(async () => {
  world = await BitcoinWorld.open();
});
afterEach(() => world.clear());
afterAll(() => world.close());

const spendsOf = (p: { anchor: string; content: string }): readonly string[] => decodeProposal(p).spends.slice(1);
const stateOf = async ({ database }: Subject, { txid }: VaultCoin): Promise<string | undefined> => {
  const rows: { state: string }[] = await database.query('select state from bitcoin_coin where txid = $1', [txid]);
  return rows[0]?.state;
};
/** Reads all there is of the chain: a block is read once the schedule was followed after it. */
const look = async (...subjects: Subject[]): Promise<void> => {
  for (const s of [...subjects, ...subjects]) await s.look();
};

describe('the coins of a payment', () => {
  /** Two guardians of a vault with some small coins, minted and long final. */
  async function scattered(scene: BitcoinScene): Promise<{ subjects: [Subject, Subject]; small: VaultCoin[] }> {
    const subjects = (await scene.guardians()).slice(0, 2) as [Subject, Subject];
    const { lock } = await scene.address();
    await look(...subjects);
    const small = await scene.payMany(SMALL_COIN, lock, SMALL_COINS);
    await world.bitcoin.mine(DEEP);
    await scene.until(subjects, () => subjects.every((s) => s.view.minted === BigInt(SMALL_COINS) * SMALL_COIN));
    await world.bitcoin.mine(2 * DEEP + 6);
    await look(...subjects);
    return { subjects, small };
  }

  /** Guardian 2 proposes to pay the first withdrawal from small coins, by hand; the proposal's id. */
  async function proposeSmall(scene: BitcoinScene, by: Subject, small: readonly VaultCoin[]): Promise<string> {
    const inputs = [await scene.anchorOf(by), ...small.slice(0, TAKES)];
    const payouts = [{ number: 1n, script: world.purse.script, amount: AMOUNT, maxFee: 20_000n }];
    const batch = planPayment({ vault: scene.vault, changeTo: scene.lock, inputs, payouts, feeRate: RATE });
    const line = encodeProposalLine({ epoch: 1n, withdrawals: [1n], ...encodeProposal(batch, RATE) });
    await scene.say(2, 'Propose-Release', line);
    return proposalId(scene.process, line);
  }

  it('I4: are not many small ones where one would do', async () => {
    const scene = await world.scene();
    const { subjects, small } = await scattered(scene);
    const { coin } = await scene.payMemo(LARGE);
    await world.bitcoin.mine(DEEP);
    await scene.until(subjects, () => subjects.every((s) => s.view.minted > LARGE));
    await world.bitcoin.mine(DEEP + 6);
    await look(...subjects);
    await scene.withdraw(AMOUNT);
    const id = await proposeSmall(scene, subjects[0], small);
    await scene.until([subjects[0]], () => scene.whyNot(id).length > 0);
    expect(scene.whyNot(id)).toEqual(['coins']);
    expect(scene.logged.join('')).toContain(`${TAKES} coins beside its anchor where 1 would do`);
    const { proposal } = await scene.signedBatch(subjects);
    expect(spendsOf(proposal)).toEqual([outpointOf(coin)]);
  });

  it('may be small while the proposer need not know of a large one', async () => {
    const scene = await world.scene();
    const { subjects, small } = await scattered(scene);
    await scene.payMemo(LARGE);
    await world.bitcoin.mine(DEEP);
    await scene.until(subjects, () => subjects.every((s) => s.view.minted > LARGE));
    await scene.withdraw(AMOUNT);
    const id = await proposeSmall(scene, subjects[0], small);
    const [a] = subjects;
    const isSigned = () => [...a.view.proposals.values()].some((p) => p.id === id && p.signatures.size > 0);
    await scene.until([a], isSigned);
  });

  it('B14: stay the same in a replacement, whatever has come meanwhile', async () => {
    const scene = await world.scene();
    const { subjects } = await scattered(scene);
    await scene.withdraw(AMOUNT);
    const old = await scene.signedBatch(subjects);
    expect(spendsOf(old.proposal)).toHaveLength(TAKES);
    await scene.payMemo(LARGE);
    await world.bitcoin.mine(2 * DEEP + 6);
    await look(...subjects);
    world.bitcoin.fees.estimate = 3n * RATE;
    const higher = await scene.signedBatch(subjects, [old.proposal.id]);
    expect(spendsOf(higher.proposal)).toEqual(spendsOf(old.proposal));
    expect(higher.proposal.anchor).toBe(old.proposal.anchor);
  });
});

describe('a deposit', () => {
  it('I3: that others have minted is there for who is a block behind: it asks for no pause', async () => {
    const scene = await world.scene();
    const [a, b, late] = (await scene.guardians()) as [Subject, Subject, Subject];
    const { lock } = await scene.address();
    await look(a, b, late);
    const { coin } = await scene.pay(LARGE, lock, true);
    await world.bitcoin.mine(DEEP - 1);
    await look(a, b, late);
    await world.bitcoin.mine();
    await scene.until([a, b], () => [a, b].every((s) => s.view.minted === LARGE));
    await late.look(); // the mint, and not the last block
    expect([late.view.minted, await stateOf(late, coin)]).toEqual([LARGE, 'seen']);
    await late.guardian.sign();
    await late.round();
    expect(late.view.paused).toBe(false);
  });

  it('B9, I3: that one refused, as its refund was near a block later, is credited once it is minted, and swept', async () => {
    const scene = await world.scene();
    const [a, late, b] = (await scene.guardians()) as [Subject, Subject, Subject];
    const { lock, terms } = await scene.address({ refundAfter: scene.terms.leastRefund });
    await look(a, b, late);
    const { coin } = await scene.pay(LARGE, lock, true);
    await world.bitcoin.mine(terms.refundAfter - SWEEP_MARGIN - 1);
    await look(a, b);
    await world.bitcoin.mine();
    await look(late);
    expect(await Promise.all([a, b, late].map((s) => stateOf(s, coin)))).toEqual(['credited', 'credited', 'refused']);
    for (const s of [a, b]) {
      await s.guardian.attest();
      await s.guardian.send();
    }
    await late.look();
    expect([late.view.minted, await stateOf(late, coin)]).toEqual([LARGE, 'credited']);
    // The third one is silent; books are short while the refund is near, and a sweep goes on in spite of that.
    const isSwept = () => [...late.view.proposals.values()].find((p) => p.signatures.size >= 2);
    await scene.stepped(
      async () => {
        for (const s of [a, late]) {
          await s.look();
          await s.guardian.sign().catch((error) => expect(error).toMatchObject({ code: 'conservation' }));
          await s.guardian.send();
        }
      },
      () => isSwept() !== undefined,
    );
    expect(spendsOf(isSwept() as OpenProposal)).toEqual([outpointOf(coin)]);
  });

  it('X2, B9: that only one of two has credited before a rotation stops no hand-over, and who moves it credits it', async () => {
    const scene = await world.scene();
    const [leaves, stays] = (await scene.guardians()) as [Subject, Subject, Subject];
    const both = [leaves, stays];
    await scene.funded(both, LARGE);
    const { lock } = await scene.address();
    await look(...both);
    const { coin } = await scene.pay(LARGE, lock, true);
    await world.bitcoin.mine(DEEP);
    await look(leaves);
    for (const i of [0, 1])
      await scene.say(i, 'Attest-Decision', scene.rotation(2n, [1, 3, 4]), { 'Decision-Nonce': '1' });
    await look(stays, leaves);
    expect(await Promise.all(both.map((s) => stateOf(s, coin)))).toEqual(['credited', 'refused']);
    const { proposal, hex } = await scene.signedBatch(both);
    expect(spendsOf(proposal)).toContain(outpointOf(coin));
    await world.bitcoin.send(hex);
    await world.bitcoin.mine();
    await look(stays);
    expect(await stateOf(stays, coin)).toBe('seen'); // until what moved it is final
    await world.bitcoin.mine(DEEP);
    const joins = await scene.guardian(3);
    await scene.until([stays, joins], () => [stays, joins].every((s) => s.view.minted === 2n * LARGE));
    expect(stays.view.paused).toBe(false);
  });

  it('B3, B9, I3: that one saw taken back before it was minted is there again once a sweep has replaced that block', async () => {
    const scene = await world.scene();
    const [a, b, late] = (await scene.guardians()) as [Subject, Subject, Subject];
    const { lock, terms } = await scene.address();
    await look(a, b, late);
    const { coin } = await scene.pay(LARGE, lock, true);
    await world.bitcoin.mine(terms.refundAfter - 2 * SWEEP_MARGIN);
    const swept = () => [...a.view.proposals.values()].find((p) => p.signatures.size >= 2);
    await look(a, b);
    await scene.stepped(
      async () => {
        for (const s of [a, b]) {
          await s.look();
          await s.guardian.sign();
          await s.guardian.send();
        }
      },
      () => swept() !== undefined,
    );
    const sweep = scene.combined(a.view, swept() as OpenProposal) as string;
    await world.bitcoin.mine(2 * SWEEP_MARGIN);
    const secret = secretOf('depositor');
    const { hex } = buildRefund(terms, { coins: [coin], to: world.purse.address, feeRate: RATE, secret });
    await world.bitcoin.send(hex);
    await world.bitcoin.mine();
    await look(late);
    for (const s of [a, b]) {
      await s.guardian.attest();
      await s.guardian.send();
    }
    await look(late);
    expect([late.view.minted, await stateOf(late, coin)]).toEqual([LARGE, 'refused']);
    await expect(late.guardian.sign()).rejects.toMatchObject({ code: 'conservation' });
    await world.bitcoin.branch(1, { only: [sweep] });
    await look(late);
    expect(await stateOf(late, coin)).toBe('credited');
    await late.guardian.sign(); // the books are not short
  });

  it.each(['put into a message', 'only noted'])(
    'B9, I3: that a guardian has %s and could not say before its refund was near is not minted any more; what else it had to say is',
    async (how) => {
      const scene = await world.scene();
      const [a, cut] = (await scene.guardians()) as [Subject, Subject, Subject];
      const [soon, later] = [await scene.address(), await scene.address({ refundAfter: 200 })];
      await look(a, cut);
      const { coin } = await scene.pay(LARGE, soon.lock, true);
      await scene.pay(300_000n, later.lock, true);
      await world.bitcoin.mine(DEEP);
      await look(a, cut);
      await a.guardian.attest();
      await a.guardian.send();
      if (how !== 'only noted') await cut.guardian.attest(); // and AO is out of its reach
      await world.bitcoin.mine(soon.terms.refundAfter - DEEP);
      const secret = secretOf('depositor');
      const { hex } = buildRefund(soon.terms, { coins: [coin], to: world.purse.address, feeRate: RATE, secret });
      await world.bitcoin.send(hex);
      await world.bitcoin.mine(DEEP);
      await scene.until([cut, a], () => a.guardian.viewOf(scene.process)?.minted !== 0n);
      await scene.rounds([cut, a], 2);
      expect([a.view.minted, await stateOf(cut, coin), a.view.paused]).toEqual([300_000n, 'refused', false]);
    },
  );
});
