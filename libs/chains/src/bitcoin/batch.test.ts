import fc from 'fast-check';
import { Psbt, Transaction } from 'bitcoinjs-lib';
import { encodeAddress, parseAddress, type AddressKind } from './address.js';
import {
  changeOf,
  fewestCoins,
  checkSuccession,
  dustLimit,
  MAX_INPUTS,
  MAX_UNCONFIRMED,
  MIN_CHANGE,
  planRelease,
  planReplacement,
  planSweep,
  unsigned,
  type Batch,
  type Payout,
  type ReleasePlan,
  type VaultCoin,
} from './batch.js';
import { BitcoinStage, makeVault, REGTEST, secretOf } from './harness.js';
import { checkPartial, combine, readPsbt, signBatch, toPsbt } from './signing.js';
import { depositScript, vaultScript } from './vault-script.js';
import { xOnlyPointFromScalar } from 'tiny-secp256k1';

let stage: BitcoinStage;
beforeAll(async () => {
  stage = await BitcoinStage.open();
});
afterAll(() => stage.bitcoin.stop());

const KINDS: AddressKind[] = ['p2wpkh', 'p2tr', 'p2wsh', 'p2sh', 'p2pkh'];
const hashFor = (kind: AddressKind, n: number) =>
  kind === 'p2tr'
    ? xOnlyPointFromScalar(secretOf(`payee ${n}`))
    : secretOf(`payee ${n}`).subarray(0, kind === 'p2wsh' ? 32 : 20);
const scriptFor = (n: number, kind: AddressKind = KINDS[n % 5]!) =>
  parseAddress(encodeAddress({ kind, hash: hashFor(kind, n) }, REGTEST), REGTEST).script;
const payout = (n: number, amount = 100_000n, maxFee = 20_000n): Payout => ({
  number: BigInt(n),
  script: scriptFor(n),
  amount,
  maxFee,
});
const verdict = (hex: string) =>
  stage.bitcoin.send(hex).then(
    () => 'taken',
    (error: Error) => error.message,
  );

async function planOn(change: Partial<ReleasePlan> = {}): Promise<ReleasePlan> {
  return {
    vault: stage.vault,
    changeTo: stage.plain,
    anchor: change.anchor ?? (await stage.coin(1_000_000n)),
    unconfirmed: 0,
    feeRate: 5_000n,
    payouts: [payout(1)],
    coins: [],
    ...change,
  };
}

const PAPER = vaultScript(makeVault(3, 2).vault, REGTEST);
/** A coin that is nowhere, for plans that are not sent. */
const paper = (n: number, value: bigint): VaultCoin => ({
  txid: secretOf(`coin ${n}`).toString('hex'),
  vout: n % 3,
  value,
  lock: PAPER,
  deposit: false,
});

describe('a release', () => {
  it('pays every standard kind of address, each its amount less its share, and is taken by the node', async () => {
    const deposit = stage.deposit();
    const coin = await stage.coin(400_000n, deposit.lock, true);
    const plan = await planOn({ payouts: [5, 3, 1, 4, 2].map((n) => payout(n, 200_000n)), coins: [coin] });
    const { batch, left } = planRelease(plan);
    const hex = stage.signed(batch);
    expect(await verdict(hex)).toBe('taken');
    const tx = Transaction.fromHex(hex);
    expect(left).toEqual([]);
    expect(tx.getId()).toBe(batch.txid);
    expect(tx.virtualSize()).toBeLessThanOrEqual(batch.vsize);
    expect(tx.virtualSize()).toBeGreaterThan(batch.vsize - 3 * batch.inputs.length);
    expect(batch.payouts.map(({ number }) => number)).toEqual([1n, 2n, 3n, 4n, 5n]);
    for (const [i, { script, amount, fee }] of batch.payouts.entries())
      expect(tx.outs[i + 1]).toMatchObject({ value: amount - fee, script: Uint8Array.from(script) });
    const spent = batch.inputs.reduce((sum, { value }) => sum + value, 0n);
    expect(spent - tx.outs.reduce((sum, { value }) => sum + value, 0n)).toBe(batch.fee);
    expect(batch.fee).toBe(batch.payouts.reduce((sum, { fee }) => sum + fee, 0n));
    expect(batch.fee).toBeGreaterThanOrEqual((BigInt(batch.vsize) * plan.feeRate) / 1_000n);
    await stage.bitcoin.mine();
    expect(await stage.pool.unspent(batch.txid, 0)).toBe(true);
  });

  it('of one payout has at most 240 virtual bytes, one of fifty at most 45 for each', async () => {
    expect(planRelease(await planOn()).batch.vsize).toBeLessThanOrEqual(240);
    const many = planRelease(
      await planOn({ payouts: Array.from({ length: 50 }, (_, i) => payout(i + 1, 10_000n)) }),
    ).batch;
    expect(many.vsize / 50).toBeLessThanOrEqual(45);
    expect(await verdict(stage.signed(many))).toBe('taken');
    await stage.bitcoin.mine();
  });

  it('I2: spends the change of the one before, so that of two only one is ever paid', async () => {
    const plan = await planOn();
    const [one, other] = [planRelease(plan).batch, planRelease({ ...plan, payouts: [payout(1), payout(2)] }).batch];
    checkSuccession(plan.anchor.txid, { ...one, inputs: [{ ...plan.anchor, vout: 0 }] });
    expect(() => checkSuccession(one.txid, other)).toThrow('change of the batch before');
    const next = planRelease({ ...plan, anchor: changeOf(one), payouts: [payout(2)], unconfirmed: 1 }).batch;
    checkSuccession(one.txid, next);
    expect(await verdict(stage.signed(one))).toBe('taken');
    expect(await verdict(stage.signed(next))).toBe('taken');
    await stage.bitcoin.mine();
    expect(await verdict(stage.signed(other))).toMatch(/missingorspent/);
    expect(await verdict(stage.signed(planRelease({ ...plan, feeRate: 50_000n }).batch))).toMatch(/missingorspent/);
  });

  it('is the same whoever builds it, in whatever order facts are given', () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt(1_000n, 90_000n), { minLength: 2, maxLength: 40 }),
        fc.nat(),
        fc.bigInt(1_000n, 30_000n),
        (values, turn, feeRate) => {
          const coins = values.map((value, i) => paper(i + 1, value));
          const payouts = values.slice(0, 10).map((value, i) => payout(i + 1, value, 9_000n));
          const base = {
            vault: makeVault(3, 2).vault,
            changeTo: paper(0, 1n).lock,
            anchor: paper(0, 500_000n),
            unconfirmed: 0,
            feeRate,
          };
          const rotated = <T>(list: T[]): T[] =>
            [...list.slice(turn % list.length), ...list.slice(0, turn % list.length)].toReversed();
          const built = (plan: ReleasePlan): string => {
            try {
              const { batch, left } = planRelease(plan);
              const out = batch.payouts.reduce((sum, p) => sum + p.amount, 0n);
              const balanced = batch.inputs.reduce((sum, c) => sum + c.value, 0n) === out + batch.change.value;
              const fair = batch.payouts.every((p) => p.fee <= p.maxFee && p.amount - p.fee >= dustLimit(p.script));
              const enough = batch.fee * 1_000n >= BigInt(batch.vsize) * feeRate && batch.change.value >= MIN_CHANGE;
              return balanced && fair && enough ? `${unsigned(batch).toHex()} ${left.join()}` : 'broken';
            } catch (error) {
              return (error as Error).message;
            }
          };
          const first = built({ ...base, payouts, coins });
          return first !== 'broken' && first === built({ ...base, payouts: rotated(payouts), coins: rotated(coins) });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('leaves out who does not allow its share, or would get dust, and stops when nobody is left', async () => {
    const plan = await planOn({ payouts: [payout(1), payout(2, 100_000n, 10n), payout(3, 700n)] });
    const { batch, left } = planRelease(plan);
    expect([batch.payouts.map((p) => p.number), left]).toEqual([[1n], [2n, 3n]]);
    expect(() => planRelease({ ...plan, payouts: [payout(2, 100_000n, 10n)] })).toThrow('No withdrawal allows');
    expect(() => planRelease({ ...plan, payouts: [] })).toThrow('No withdrawal allows');
    expect(() => planRelease({ ...plan, payouts: [payout(1), payout(1)] })).toThrow('each once');
    expect(() => planRelease({ ...plan, feeRate: 999n })).toThrow('fee rate');
  });

  it('takes the richest coins, no more than it needs, and says when there are too few', async () => {
    const plan = await planOn({
      anchor: paper(0, 20_000n),
      coins: [paper(1, 50_000n), paper(2, 90_000n), paper(3, 70_000n)],
    });
    const { batch } = planRelease(plan);
    expect(batch.inputs.map(({ value }) => value)).toEqual([20_000n, 90_000n]);
    const [first, ...others] = planRelease({ ...plan, payouts: [payout(1, 200_000n)] }).batch.inputs;
    expect(first).toBe(plan.anchor);
    expect(others).toHaveLength(3);
    expect(others.map(({ txid }) => txid)).toEqual(others.map(({ txid }) => txid).toSorted());
    expect(() => planRelease({ ...plan, payouts: [payout(1, 230_000n)] })).toThrow('do not cover');
    const fewest = (amount: bigint) => fewestCoins(plan.anchor, plan.coins, [payout(1, amount)]);
    expect([10_000n, 100_000n, 200_000n, 230_000n].map(fewest)).toEqual([0, 1, 3, null]);
    const dust = Array.from({ length: MAX_INPUTS + 5 }, (_, i) => paper(i + 1, 1_000n));
    expect(() => planRelease({ ...plan, coins: dust, payouts: [payout(1, 165_000n)] })).toThrow(
      `More than ${MAX_INPUTS} coins`,
    );
  });
});

describe('B14: when fees rise', () => {
  it('a batch below what nodes relay is replaced by one that pays the same withdrawals, each once', async () => {
    const plan = await planOn({ payouts: [payout(1), payout(2)], feeRate: 1_000n });
    const { batch } = planRelease(plan);
    stage.bitcoin.fees.floor = 8_000n;
    expect(await verdict(stage.signed(batch))).toMatch(/min relay fee not met/);
    const higher = planReplacement(batch, 9_000n);
    expect(await verdict(stage.signed(higher))).toBe('taken');
    stage.bitcoin.fees.floor = 1_000n;
    expect(higher.payouts.map((p) => [p.number, p.amount])).toEqual(batch.payouts.map((p) => [p.number, p.amount]));
    expect(higher.change.value).toBe(batch.change.value);
    const again = planReplacement(higher, 12_000n);
    expect(await verdict(stage.signed(again))).toBe('taken');
    await stage.bitcoin.mine();
    expect(await stage.pool.unspent(again.txid, 0)).toBe(true);
    expect(await verdict(stage.signed(batch))).toMatch(/missingorspent/);
    expect(() => planReplacement(again, 12_100n)).toThrow('so little more');
    expect(() => planReplacement(again, 5_000_000n)).toThrow('does not allow');
  });

  it('its change pays for it, from the vault’s surplus and no more, and the next batch begins there', async () => {
    const plan = await planOn({ feeRate: 1_000n });
    const { batch } = planRelease(plan);
    expect(await verdict(stage.signed(batch))).toBe('taken');
    const lifting = {
      ...plan,
      anchor: changeOf(batch),
      unconfirmed: 1,
      feeRate: 20_000n,
      coins: [],
      reserve: 10_000n,
      lift: batch,
    };
    const child = planSweep(lifting);
    expect(await verdict(stage.signed(child))).toBe('taken');
    const together = Number(batch.fee + child.fee) / (batch.vsize + child.vsize);
    expect(together).toBeGreaterThanOrEqual(20);
    expect(() => planSweep({ ...lifting, reserve: child.fee - 1n })).toThrow('reserve');
    const next = planRelease({ ...plan, anchor: changeOf(child), unconfirmed: 2 }).batch;
    expect(await verdict(stage.signed(next))).toBe('taken');
    await stage.bitcoin.mine();
  });
});

it('B15: a row of batches that are not mined ends before nodes refuse it, with room for one that lifts it', async () => {
  let plan = await planOn({ payouts: [payout(1, 20_000n)] });
  let refused: unknown = null;
  for (let unconfirmed = 0; refused === null; unconfirmed += 1) {
    try {
      const { batch } = planRelease({ ...plan, unconfirmed });
      expect(await verdict(stage.signed(batch))).toBe('taken');
      plan = { ...plan, anchor: changeOf(batch) };
    } catch (error) {
      refused = error;
      expect(unconfirmed).toBe(MAX_UNCONFIRMED);
    }
  }
  expect(refused).toMatchObject({ code: 'chain-too-long' });
  await stage.bitcoin.mine();
  expect(await verdict(stage.signed(planRelease(plan).batch))).toBe('taken');
  await stage.bitcoin.mine();
});

it('B16: a batch whose coin was spent elsewhere is refused by the node, and another pays without it', async () => {
  const { terms, lock } = stage.deposit({ refundAfter: 1 });
  const coin = await stage.coin(300_000n, lock, true);
  const plan = await planOn({ anchor: await stage.coin(50_000n), payouts: [payout(1, 200_000n)], coins: [coin] });
  const { batch } = planRelease(plan);
  const { buildRefund } = await import('./refund.js');
  await stage.bitcoin.send(
    buildRefund(terms, { coins: [coin], to: stage.purse.address, feeRate: 1_000n, secret: stage.depositor }).hex,
  );
  await stage.bitcoin.mine();
  expect(await verdict(stage.signed(batch))).toMatch(/missingorspent/);
  expect(await stage.pool.unspent(coin.txid, 0)).toBe(false);
  const other = await stage.coin(300_000n);
  const { batch: instead } = planRelease({ ...plan, coins: [other] });
  expect(await verdict(stage.signed(instead))).toBe('taken');
  await stage.bitcoin.mine();
});

it('a rotation moves the vault: the change and every coin are the new guardians’, and the old ones’ signatures are worth nothing (X2)', async () => {
  const next = makeVault(4, 3, 'next');
  const to = vaultScript(next.vault, REGTEST);
  const old = stage.deposit().lock;
  const coins = [await stage.coin(60_000n), await stage.coin(70_000n, old, true)];
  const anchor = await stage.coin(80_000n);
  const move = planSweep({
    vault: stage.vault,
    changeTo: to,
    anchor,
    coins,
    unconfirmed: 0,
    feeRate: 2_000n,
    reserve: 5_000n,
  });
  expect(await verdict(stage.signed(move))).toBe('taken');
  const plan = {
    vault: next.vault,
    changeTo: to,
    anchor: changeOf(move),
    unconfirmed: 1,
    feeRate: 2_000n,
    payouts: [payout(1, 60_000n)],
    coins: [],
  };
  const { batch } = planRelease(plan);
  expect(() => checkPartial(batch, signBatch({ ...batch, vault: stage.vault }, stage.secrets[0]!))).toThrow(
    'none of the vault',
  );
  const signed = next.secrets.slice(1).map((secret) => signBatch(batch, secret));
  expect(await verdict(combine(batch, signed))).toBe('taken');
  await stage.bitcoin.mine();
});

describe('signatures', () => {
  let batch: Batch;
  beforeAll(async () => {
    const deposit = stage.deposit();
    batch = planRelease(
      await planOn({
        anchor: await stage.coin(80_000n),
        coins: [await stage.coin(90_000n, deposit.lock, true)],
        payouts: [payout(1, 120_000n)],
      }),
    ).batch;
  });

  it('I4: of fewer than the threshold, or of one guardian twice, make no transaction', () => {
    const [one, two] = stage.secrets.map((secret) => signBatch(batch, secret));
    expect(() => combine(batch, [one!])).toThrow('1 of 2');
    expect(() => combine(batch, [one!, one!])).toThrow('1 of 2');
    expect(() => combine(batch, [])).toThrow('0 of 2');
    expect(() => signBatch(batch, secretOf('stranger'))).toThrow('none of the vault');
    expect(Transaction.fromHex(combine(batch, [two!, one!])).getId()).toBe(batch.txid);
    expect(combine(batch, [two!, one!])).toBe(combine(batch, [one!, two!]));
  });

  it('I4: of one guardian alone are refused by the node itself', async () => {
    const tx = Transaction.fromHex(stage.signed(batch));
    for (const input of tx.ins) input.witness[2] = input.witness[1]!;
    expect(await verdict(tx.toHex())).toMatch(/script-verify/);
  });

  it('B17: over another amount, script, fee, withdrawal or flag, or of another form, are refused one by one', () => {
    const [secret] = stage.secrets;
    const good = signBatch(batch, secret!);
    checkPartial(batch, good);
    const { payouts, inputs, change } = batch;
    const others: Batch[] = [
      { ...batch, payouts: [{ ...payouts[0]!, amount: payouts[0]!.amount + 1n }] },
      { ...batch, payouts: [{ ...payouts[0]!, script: scriptFor(9) }] },
      { ...batch, payouts: [{ ...payouts[0]!, fee: payouts[0]!.fee + 1n }] },
      { ...batch, change: { ...change, value: change.value - 1n } },
      { ...batch, inputs: [inputs[0]!, { ...inputs[1]!, value: inputs[1]!.value + 1n }] },
      { ...batch, inputs: [inputs[0]!, { ...inputs[1]!, lock: stage.plain }] },
    ];
    for (const other of others)
      expect(() => checkPartial(batch, signBatch(other, secret!))).toThrow('not over this batch');
    const changed = (change_: (hex: string) => string) => () =>
      checkPartial(batch, { ...good, signatures: [good.signatures[0]!, change_(good.signatures[1]!)] });
    expect(changed((hex) => `${hex.slice(0, -2)}02`)).toThrow('all of the transaction');
    expect(changed((hex) => `${hex.slice(0, -2)}81`)).toThrow('all of the transaction');
    expect(changed(() => '')).toThrow('all of the transaction');
    expect(changed((hex) => `${hex}01`)).toThrow();
    expect(changed((hex) => hex.toUpperCase())).toThrow('small hex');
    expect(() => checkPartial(batch, { ...good, signatures: good.signatures.slice(1) })).toThrow('for each input');
  });

  it('in a PSBT are read when all in it is the batch’s own', () => {
    const psbt = toPsbt(batch);
    const pair = { publicKey: Buffer.from(signBatch(batch, stage.secrets[1]!).key, 'hex') };
    const { signatures } = signBatch(batch, stage.secrets[1]!);
    for (const [i, signature] of signatures.entries())
      psbt.updateInput(i, { partialSig: [{ pubkey: pair.publicKey, signature: Buffer.from(signature, 'hex') }] });
    expect(readPsbt(batch, psbt.toBase64())).toEqual([signBatch(batch, stage.secrets[1]!)]);
    expect(readPsbt(batch, toPsbt(batch).toBase64())).toEqual([]);
    const swapped = toPsbt(batch);
    for (const [i, signature] of signatures.toReversed().entries())
      swapped.updateInput(i, { partialSig: [{ pubkey: pair.publicKey, signature: Buffer.from(signature, 'hex') }] });
    expect(() => readPsbt(batch, swapped.toBase64())).toThrow('not over this batch');
  });

  it('B17: in a PSBT of another transaction, amount, script or flag are not', () => {
    const changed = (change: (psbt: Psbt) => void): string => {
      const psbt = toPsbt(batch);
      change(psbt);
      return psbt.toBase64();
    };
    const inputs = (psbt: Psbt) => psbt.data.inputs[1]!;
    const other = (b: Batch) => toPsbt(b).toBase64();
    const { payouts } = batch;
    expect(() => readPsbt(batch, other({ ...batch, payouts: [{ ...payouts[0]!, fee: 0n }] }))).toThrow(
      'another transaction',
    );
    expect(() => readPsbt(batch, other({ ...batch, inputs: batch.inputs.toReversed() }))).toThrow(
      'another transaction',
    );
    expect(() =>
      readPsbt(
        batch,
        changed((p) => (inputs(p).witnessUtxo!.value += 1n)),
      ),
    ).toThrow('what input 1 spends');
    expect(() =>
      readPsbt(
        batch,
        changed((p) => (inputs(p).witnessUtxo!.script = stage.plain.script)),
      ),
    ).toThrow('what input 1 spends');
    expect(() =>
      readPsbt(
        batch,
        changed(
          (p) =>
            (inputs(p).witnessScript = depositScript(
              stage.deposit({ tags: [{ name: 'X-A', value: 'b' }] }).terms,
            ).witnessScript),
        ),
      ),
    ).toThrow('another script');
    expect(() =>
      readPsbt(
        batch,
        changed((p) => (inputs(p).sighashType = 3)),
      ),
    ).toThrow('another kind of signature');
    expect(() =>
      readPsbt(
        batch,
        changed((p) => delete inputs(p).witnessScript),
      ),
    ).toThrow('another script');
    const stranger = {
      pubkey: Buffer.from(signBatch({ ...batch, vault: makeVault(1, 1, 'x').vault }, secretOf('x 0')).key, 'hex'),
      signature: Buffer.alloc(71, 1),
    };
    expect(() =>
      readPsbt(
        batch,
        changed((p) => p.updateInput(0, { partialSig: [stranger] })),
      ),
    ).toThrow();
    for (const bad of ['', 'cHNidP8=', 'A'.repeat(1_000_001)]) expect(() => readPsbt(batch, bad)).toThrow('no PSBT');
  });
});
