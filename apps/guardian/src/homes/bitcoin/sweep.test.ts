/** Which deposits are gathered, and what that may cost. */
import {
  BitcoinError,
  paysMore,
  planSweep,
  publicKeyOf,
  vaultKeys,
  vaultScript,
  NETWORKS,
  type Batch,
} from '@isthmus/chains';
import type { VaultCoin } from '@isthmus/chains';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { planGathering, planHandOver, sweepLimit } from './sweep.js';

const sha = (words: string): Buffer => createHash('sha256').update(words).digest();
const vault = vaultKeys(
  [0, 1, 2].map((i) => Buffer.from(publicKeyOf(sha(`key ${i}`)), 'hex')),
  2,
);
const lock = vaultScript(vault, NETWORKS.regtest);
const coin = (n: number, value: bigint): VaultCoin => ({
  txid: sha(`coin ${n}`).toString('hex'),
  vout: 0,
  value,
  lock,
  deposit: true,
});
const anchor = { ...coin(0, 20_000n), deposit: false };
const RATE = 3_000n;
const plan = { vault, changeTo: lock, anchor, unconfirmed: 0, feeRate: RATE };
const taken = (batch: Batch | BitcoinError | null): bigint[] => {
  if (batch === null || batch instanceof BitcoinError) return [];
  return batch.inputs
    .slice(1)
    .map((c) => c.value)
    .toSorted((a, b) => (a < b ? 1 : -1));
};

describe('what is gathered', () => {
  it('is the richest that can be paid for, however much dust is older', () => {
    const due = [...Array.from({ length: 200 }, (_, i) => coin(i + 1, 2_000n)), coin(999, 5_000_000n)];
    const all = planGathering(plan, due, 1_000_000n);
    expect(taken(all)).toHaveLength(99);
    expect(taken(all)[0]).toBe(5_000_000n);
    const few = planGathering(plan, due.slice(0, 60), 5_000n);
    expect(taken(few).length).toBeGreaterThan(5);
    expect(taken(few).length).toBeLessThan(20);
    // Nothing to spare: what it saves pays for it, dust does not.
    expect(taken(planGathering(plan, [coin(999, 5_000_000n)], 0n))).toEqual([5_000_000n]);
    expect(planGathering(plan, due.slice(0, 60), 0n)).toMatchObject({ code: 'fee-limit' });
  });

  it('leaves coins that are worth less than their input', () => {
    const due = [coin(1, 300n), coin(2, 4_000n), coin(3, 250n)];
    expect(taken(planGathering(plan, due, 100_000n))).toEqual([4_000n]);
    expect(planGathering(plan, [coin(1, 300n)], 100_000n)).toBeNull();
    expect(planGathering({ ...plan, feeRate: 50_000n }, due, 100_000n)).toBeNull();
  });

  it('never costs more than it is worth, nor than the vault can spare or a twentieth of it', () => {
    const values = fc.array(fc.bigInt({ min: 200n, max: 100_000n }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(values, fc.bigInt({ min: 0n, max: 50_000n }), (list, spare) => {
        const due = list.map((value, i) => coin(i + 1, value));
        const batch = planGathering(plan, due, spare);
        if (batch === null || batch instanceof BitcoinError) return;
        const coins = batch.inputs.slice(1);
        const saved = coins.reduce((sum, c) => sum + c.value, 0n);
        expect(batch.fee).toBeLessThanOrEqual(saved);
        expect(batch.fee <= spare || batch.fee * 20n <= saved).toBe(true);
        const least = coins.reduce((l, c) => (c.value < l ? c.value : l), saved);
        const left = due.filter((c) => !coins.includes(c));
        expect(left.every((c) => c.value <= least)).toBe(true);
        // Another guardian that can spare as much takes the same for good.
        const again = planSweep({ ...plan, coins, reserve: sweepLimit(coins, spare) });
        expect(again.txid).toBe(batch.txid);
      }),
    );
  });
});

describe('a hand-over', () => {
  const to = vaultScript(vaultKeys([Buffer.from(publicKeyOf(sha('next')), 'hex')], 1), NETWORKS.regtest);
  const handOver = (credited: VaultCoin[], others: VaultCoin[], spare: bigint, feeRate = RATE) =>
    planHandOver({ vault, anchor, unconfirmed: 0, feeRate }, { from: lock, to }, { credited, others }, spare);
  const many = (count: number, value: bigint, from = 1) =>
    Array.from({ length: count }, (_, i) => coin(from + i, value));

  it('takes all that was credited, and of what is nobody’s as much as can be paid for', () => {
    const over = handOver(many(3, 50_000n), many(200, 5_000n, 10), 20_000n);
    expect(over).toMatchObject({ change: { lock: to } });
    expect(taken(over).slice(0, 3)).toEqual([50_000n, 50_000n, 50_000n]);
    expect(taken(over).length).toBeGreaterThan(10);
    expect(taken(over).length).toBeLessThan(80);
    expect(taken(handOver(many(3, 50_000n), many(200, 300n, 10), 20_000n))).toHaveLength(3);
    expect(taken(handOver([], [], 20_000n))).toEqual([]);
  });

  it('keeps what it replaces took, whatever that is worth by now, as far as it can be paid for', () => {
    const left = { credited: many(1, 50_000n), others: many(40, 600n, 10) };
    const locks = { from: lock, to };
    const old = handOver(left.credited, left.others, 20_000n) as Batch;
    expect(taken(old)).toHaveLength(41);
    const again = (spare: bigint, kept: readonly VaultCoin[]) =>
      planHandOver({ ...plan, feeRate: 3n * RATE }, locks, { ...left, kept }, spare) as Batch;
    expect(paysMore(again(60_000n, []), old)).toBe(false);
    expect(paysMore(again(60_000n, old.inputs.slice(1)), old)).toBe(true);
    expect(taken(again(60_000n, old.inputs.slice(1)))).toEqual(taken(old));
    const fewer = again(20_000n, old.inputs.slice(1));
    expect(taken(fewer).length).toBeLessThan(41);
    expect(paysMore(fewer, old)).toBe(true);
  });

  it('gathers first what is too much for one transaction, or too dear for it', () => {
    const gathered = handOver(many(150, 50_000n), [], 1_000_000n);
    expect(gathered).toMatchObject({ change: { lock } });
    expect(taken(gathered)).toHaveLength(99);
    expect(handOver(many(60, 50_000n), [], 5_000n)).toMatchObject({ change: { lock } });
    expect(handOver(many(60, 50_000n), many(60, 9_000n, 100), 100n)).toMatchObject({ code: 'fee-limit' });
  });
});
