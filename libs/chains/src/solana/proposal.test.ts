/** Proposals of releases: one text for one plan, and nothing else is read as one. */
import { toBase58 } from '@isthmus/bridge';
import { NATIVE_MINT, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID } from '@solana/spl-token';
import fc from 'fast-check';
import { PROCESS } from './harness.js';
import {
  anchorOf,
  decodeProposal,
  encodeProposal,
  nonceOf,
  planMessage,
  planOf,
  type PlanFacts,
  type ProposalFields,
  type VaultPlan,
} from './proposal.js';
import { BadPlan, MAX_PRICE, type Custody, type ReleasePlan } from './release.js';

/** Addresses that begin with zeros are shorter. */
const address = fc
  .tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.integer({ min: 0, max: 2 }))
  .map(([bytes, zeros]) => toBase58(Buffer.concat([Buffer.alloc(zeros), bytes.subarray(zeros)])));
const amount = fc.bigInt({ min: 1n, max: 2n ** 40n });

const plans: fc.Arbitrary<VaultPlan> = fc
  .record({
    addresses: fc.uniqueArray(address, { minLength: 18, maxLength: 18 }),
    guardians: fc.integer({ min: 1, max: 11 }),
    order: fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], { minLength: 11 }),
    threshold: fc.integer({ min: 1, max: 4 }),
    price: fc.bigInt({ min: 0n, max: MAX_PRICE }),
    mint: fc.constantFrom('sol', 'token', '2022'),
    payouts: fc.array(
      fc.record({ step: amount, amount, part: fc.integer({ min: 0, max: 99 }), create: fc.boolean() }),
      { maxLength: 3 },
    ),
  })
  .map(({ addresses, guardians, order, threshold, price, mint, payouts }) => {
    const [vault = '', multisig = '', relayer = '', account = '', value = '', coin = '', other = '', ...rest] =
      addresses;
    const signing = Math.min(threshold, guardians);
    const custody: Custody = {
      multisig,
      guardians: rest.slice(0, guardians),
      threshold: signing,
    };
    let number = 0n;
    const plan = {
      vault: {
        address: vault,
        mint: mint === 'sol' ? NATIVE_MINT.toBase58() : coin,
        program: (mint === '2022' ? TOKEN_2022_PROGRAM_ID : TOKEN_PROGRAM_ID).toBase58(),
        decimals: 9,
      },
      custody,
      signers: order
        .filter((i) => i < guardians)
        .slice(0, signing)
        .toSorted((x, y) => x - y),
      relayer,
      nonce: { account, value },
      price,
    };
    if (payouts.length === 0) return { ...plan, to: other };
    return {
      ...plan,
      payouts: payouts.map((one) => {
        number += one.step;
        const fee = (one.amount * BigInt(one.part)) / 100n;
        return { process: PROCESS, number, recipient: other, amount: one.amount, fee, create: one.create };
      }),
    };
  })
  .filter((plan) => {
    try {
      return planMessage(plan).length > 0;
    } catch (error) {
      if (error instanceof BadPlan) return false; // does not fit
      throw error;
    }
  });

const factsOf = (plan: VaultPlan): PlanFacts => ({
  vault: plan.vault,
  custody: plan.custody,
  process: PROCESS,
  withdrawals: new Map('to' in plan ? [] : plan.payouts.map((p) => [p.number, p])),
});

const RELAYER = toBase58(Buffer.alloc(32, 7));
const ANCHOR = `${toBase58(Buffer.alloc(32, 8))}:${toBase58(Buffer.alloc(32, 9))}`;
const good: ProposalFields = { anchor: ANCHOR, withdrawals: [3n, 5n], content: `p02u1000f5c0r${RELAYER}` };

test('a plan is read back from its proposal as it was, and makes the same message', () => {
  const met = { payments: 0, 'hand-over': 0 };
  fc.assert(
    fc.property(plans, (plan) => {
      const fields = encodeProposal(plan);
      expect(fields.content).toMatch(/^[A-Za-z0-9]+$/);
      const proposed = decodeProposal(fields);
      met[proposed.kind] += 1;
      const again = planOf(proposed, factsOf(plan));
      expect(again).toEqual(plan);
      expect(Buffer.from(planMessage(again)).equals(Buffer.from(planMessage(plan)))).toBe(true);
    }),
    { numRuns: 150 },
  );
  expect(met.payments).toBeGreaterThan(5);
  expect(met['hand-over']).toBeGreaterThan(0);
});

test('a text that is changed is another plan, or none: what is read has one form', () => {
  fc.assert(
    fc.property(
      plans,
      fc.nat(),
      fc.constantFrom(...Array.from('0123456789abcfhprux')),
      fc.nat({ max: 2 }),
      (plan, at, letter, cut) => {
        const fields = encodeProposal(plan);
        const place = at % fields.content.length;
        const content = fields.content.slice(0, place) + letter + fields.content.slice(place + cut);
        try {
          expect(encodeProposal(planOf(decodeProposal({ ...fields, content }), factsOf(plan))).content).toBe(content);
        } catch (error) {
          expect(error).toBeInstanceOf(BadPlan);
        }
      },
    ),
    { numRuns: 150 },
  );
});

test.each([
  ['no content at all', { content: '' }],
  ['another kind', { content: good.content.replace('p', 'q') }],
  ['signers out of order', { content: good.content.replace('p02', 'p20') }],
  ['a signer twice', { content: good.content.replace('p02', 'p00') }],
  ['a signer there cannot be', { content: good.content.replace('p02', 'p0b') }],
  ['no signers', { content: good.content.replace('p02', 'p') }],
  ['a price in another spelling', { content: good.content.replace('u1000', 'u01000') }],
  ['a fee in another spelling', { content: good.content.replace('f5', 'f05') }],
  ['fewer fees than withdrawals', { withdrawals: [3n, 5n, 6n] }],
  ['more fees than withdrawals', { withdrawals: [3n] }],
  ['withdrawals that do not rise', { withdrawals: [5n, 3n] }],
  ['a relayer of 31 bytes', { content: good.content.replace(RELAYER, toBase58(Buffer.alloc(31, 7))) }],
  ['something behind', { content: `${good.content}0` }],
  ['an anchor without a value', { anchor: ANCHOR.slice(0, ANCHOR.indexOf(':')) }],
  ['an anchor of three parts', { anchor: `${ANCHOR}:1` }],
  ['an anchor of another chain', { anchor: `${'ab'.repeat(32)}:0` }],
  ['a hand-over that pays', { content: `h02u0r${RELAYER}0${RELAYER}` }],
  ['a hand-over to nobody', { content: `h02u0r${RELAYER}`, withdrawals: [] }],
])('refused as a proposal: %s', (_, change) => {
  expect(decodeProposal(good)).toMatchObject({ kind: 'payments', signers: [0, 2], price: 1000n });
  expect(() => decodeProposal({ ...good, ...change })).toThrow(BadPlan);
});

test('a plan is made of withdrawals one knows to be open only, and proposed in their order', () => {
  fc.assert(
    fc.property(
      plans.filter((p): p is ReleasePlan => 'payouts' in p),
      (plan) => {
        expect(() =>
          planOf(decodeProposal(encodeProposal(plan)), { ...factsOf(plan), withdrawals: new Map() }),
        ).toThrow(BadPlan);
        if (plan.payouts.length > 1)
          expect(() => encodeProposal({ ...plan, payouts: plan.payouts.toReversed() })).toThrow(BadPlan);
      },
    ),
    { numRuns: 30 },
  );
});

test('an anchor is a nonce at its value', () => {
  expect(anchorOf(nonceOf(ANCHOR))).toBe(ANCHOR);
});
