import { encodeProposalLine, encodeProposalSignLine } from '@isthmus/bridge';
import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { addressScript } from './address.js';
import {
  changeOf,
  MAX_FEE_RATE,
  MAX_INPUTS,
  outpointOf,
  planPayment,
  planRelease,
  planSweep,
  unsigned,
  type Batch,
  type Payout,
  type VaultCoin,
} from './batch.js';
import { makeVault, REGTEST, secretOf } from './harness.js';
import {
  decodeProposal,
  decodeSignatures,
  encodeProposal,
  encodeSignatures,
  ProposalMismatch,
  rebuild,
  type RebuildFacts,
} from './proposal.js';
import { checkPartial, signBatch } from './signing.js';
import { vaultScript } from './vault-script.js';

const { vault, secrets } = makeVault(3, 2);
const LOCK = vaultScript(vault, REGTEST);
const coin = (n: number, value: bigint): VaultCoin => ({
  txid: secretOf(`coin ${n}`).toString('hex'),
  vout: n % 3,
  value,
  lock: LOCK,
  deposit: false,
});
const payout = (n: number, amount = 60_000n, maxFee = 20_000n): Payout => ({
  number: BigInt(n),
  script: addressScript('p2wpkh', secretOf(`payee ${n}`).subarray(0, 20)),
  amount,
  maxFee,
});
const ANCHOR = coin(0, 500_000n);
const RATE = 5_000n;

function factsOf(coins: readonly VaultCoin[], payouts: readonly Payout[], change: Partial<RebuildFacts> = {}) {
  return {
    vault,
    changeTo: LOCK,
    coins: new Map(coins.map((c) => [outpointOf(c), c])),
    payouts,
    rates: { least: 1_000n, most: MAX_FEE_RATE },
    reserve: 0n,
    ...change,
  } satisfies RebuildFacts;
}

function built(payouts = [payout(1), payout(2)], coins = [coin(1, 400_000n), coin(2, 300_000n)]): Batch {
  const inputs = [ANCHOR, ...coins.slice(0, 1)];
  return planPayment({ vault, changeTo: LOCK, inputs, feeRate: RATE, payouts });
}

/** Why a proposal is refused; 'built' when it is not. */
function verdict(proposal: { anchor: string; content: string }, facts: RebuildFacts): string {
  try {
    return rebuild(decodeProposal(proposal), facts).txid === '' ? '' : 'built';
  } catch (error) {
    if (error instanceof ProposalMismatch) return error.code;
    throw error;
  }
}

/** The proposal with its transaction changed. */
function changed(batch: Batch, change: (tx: Transaction) => void): { anchor: string; content: string } {
  const tx = unsigned(batch);
  change(tx);
  return { ...encodeProposal(batch, RATE), content: `r${RATE}t${tx.toHex()}` };
}

it('a batch that is proposed is rebuilt the same from one’s own facts', () => {
  fc.assert(
    fc.property(
      fc.array(fc.bigInt(10_000n, 90_000n), { minLength: 1, maxLength: 50 }),
      fc.array(fc.bigInt(1_000n, 9_000_000n), { minLength: 0, maxLength: 20 }),
      fc.bigInt(1_000n, 20_000n),
      (amounts, values, feeRate) => {
        const payouts = amounts.map((amount, i) => payout(i + 1, amount));
        const coins = values.map((value, i) => coin(i + 1, value));
        const anchor = coin(0, 9_000_000n);
        const { batch } = planRelease({ vault, changeTo: LOCK, anchor, unconfirmed: 0, feeRate, payouts, coins });
        const proposal = encodeProposal(batch, feeRate);
        const withdrawals = batch.payouts.map((p) => p.number);
        encodeProposalLine({ epoch: 1n, withdrawals, ...proposal });
        const mine = payouts.filter((p) => withdrawals.includes(p.number)).toReversed();
        const again = rebuild(decodeProposal(proposal), factsOf([...coins, anchor], mine));
        return again.txid === batch.txid && again.fee === batch.fee && again.change.value === batch.change.value;
      },
    ),
    { numRuns: 60 },
  );
});

it('any changed amount is refused', () => {
  const batch = built();
  const facts = factsOf(batch.inputs, batch.payouts);
  fc.assert(
    fc.property(fc.nat({ max: 2 }), fc.bigInt(-5_000n, 5_000n), (at, by) => {
      const proposal = changed(batch, (tx) => {
        tx.outs[at]!.value += by;
      });
      return verdict(proposal, facts) === (by === 0n ? 'built' : 'differs');
    }),
  );
});

it.each<[string, (tx: Transaction) => void]>([
  ['another script', (tx) => (tx.outs[1]!.script = Uint8Array.from(payout(9).script))],
  ['change to others', (tx) => (tx.outs[0]!.script = Uint8Array.from(payout(9).script))],
  ['another order of payments', (tx) => (tx.outs = tx.outs.toReversed())],
  ['another order of coins', (tx) => tx.ins.push(tx.ins.splice(1, 1)[0]!)],
  ['one output more', (tx) => tx.addOutput(payout(9).script, 1_000n)],
  ['one output less', (tx) => tx.outs.pop()],
  ['a time before which it is not mined', (tx) => (tx.locktime = 500)],
  ['a sequence that cannot be replaced', (tx) => (tx.ins[0]!.sequence = 0xffffffff)],
  ['another version', (tx) => (tx.version = 1)],
])('with %s it is refused', (_, change) => {
  const batch = built([payout(1), payout(2)], [coin(1, 400_000n), coin(2, 300_000n), coin(3, 7_000n)]);
  const three = planPayment({ ...batch, inputs: [ANCHOR, coin(1, 1_000n), coin(2, 1_000n)], changeTo: LOCK, feeRate: RATE }); // prettier-ignore
  const facts = factsOf(three.inputs, three.payouts);
  expect(verdict(encodeProposal(three, RATE), facts)).toBe('built');
  expect(verdict(changed(three, change), facts)).toBe('differs');
});

it('B7: a coin that is not the vault’s is refused, and one named twice', () => {
  const batch = built();
  expect(verdict(encodeProposal(batch, RATE), factsOf([ANCHOR], batch.payouts))).toBe('coins');
  const twice = changed(batch, (tx) => tx.ins.push(tx.ins[1]!));
  expect(verdict(twice, factsOf(batch.inputs, batch.payouts))).toBe('coins');
});

it('the withdrawals are exactly those the proposal names', () => {
  const batch = built();
  expect(verdict(encodeProposal(batch, RATE), factsOf(batch.inputs, [payout(1)]))).toBe('differs');
  expect(verdict(encodeProposal(batch, RATE), factsOf(batch.inputs, [payout(1), payout(2, 60_001n)]))).toBe('differs');
  expect(verdict(encodeProposal(batch, RATE), factsOf(batch.inputs, []))).not.toBe('built');
});

it('a rate out of bounds is refused, and a share that somebody does not allow', () => {
  const batch = built();
  const rates = (least: bigint, most: bigint) => factsOf(batch.inputs, batch.payouts, { rates: { least, most } });
  const proposal = encodeProposal(batch, RATE);
  expect(verdict(proposal, rates(RATE, RATE))).toBe('built');
  expect(verdict(proposal, rates(RATE + 1n, MAX_FEE_RATE))).toBe('fee');
  expect(verdict(proposal, rates(1_000n, RATE - 1n))).toBe('fee');
  const strict = factsOf(batch.inputs, [payout(1), payout(2, 60_000n, 10n)]);
  expect(verdict(proposal, strict)).toBe('fee');
});

it('what only moves coins is rebuilt within the reserve, for itself or for the one below it as well', () => {
  const coins = [coin(1, 40_000n)];
  const lift = { vsize: 300, fee: 300n };
  const base = { vault, changeTo: LOCK, anchor: ANCHOR, unconfirmed: 1, feeRate: RATE, coins, reserve: 100_000n };
  const [alone, lifting] = [planSweep(base), planSweep({ ...base, lift })];
  expect(lifting.fee).toBeGreaterThan(alone.fee);
  const facts = factsOf([ANCHOR, ...coins], [], { reserve: 100_000n });
  for (const one of [alone, lifting])
    expect(rebuild(decodeProposal(encodeProposal(one, RATE)), { ...facts, lift }).txid).toBe(one.txid);
  expect(verdict(encodeProposal(lifting, RATE), facts)).toBe('differs');
  expect(verdict(encodeProposal(alone, RATE), { ...facts, reserve: alone.fee - 1n })).toBe('fee');
});

it('another form is refused', () => {
  const batch = built();
  const good = encodeProposal(batch, RATE);
  const facts = factsOf(batch.inputs, batch.payouts);
  const contents = [
    good.content.slice(1),
    good.content.toUpperCase(),
    good.content.slice(0, -2),
    `${good.content}00`,
    good.content.replace('r', 'r0'),
    'r5000t',
    'r5000t00',
    `r99999999999${good.content.slice(5)}`,
  ];
  for (const content of contents) expect(verdict({ ...good, content }, facts)).toBe('malformed');
  expect(verdict({ ...good, anchor: outpointOf(changeOf(batch)) }, facts)).toBe('malformed');
  const signed = unsigned(batch);
  signed.setWitness(0, [Uint8Array.of(1)]);
  expect(verdict({ ...good, content: `r${RATE}t${signed.toHex()}` }, facts)).toBe('malformed');
});

it('signatures of the most coins fit a line, and are read back', () => {
  const coins = Array.from({ length: MAX_INPUTS - 1 }, (_, i) => coin(i + 1, 20_000n));
  const payouts = Array.from({ length: 50 }, (_, i) => payout(i + 1, 30_000n));
  const batch = planPayment({ vault, inputs: [ANCHOR, ...coins], changeTo: LOCK, feeRate: 1_000n, payouts });
  encodeProposalLine({ epoch: 1n, withdrawals: payouts.map((p) => p.number), ...encodeProposal(batch, 1_000n) });
  const partial = signBatch(batch, secrets[0]!);
  const text = encodeSignatures(partial);
  encodeProposalSignLine({ id: `0x${'ab'.repeat(32)}`, signatures: text });
  checkPartial(batch, decodeSignatures(text, partial.key));
  for (const bad of ['', ',', `${text},`, text.toUpperCase()])
    expect(() => decodeSignatures(bad, partial.key)).toThrow(ProposalMismatch);
});
