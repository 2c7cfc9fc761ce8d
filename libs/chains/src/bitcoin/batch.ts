/**
 * Batches: transactions of the vault, built alike by everybody from the same facts. Each spends the change of the batch before it, output 0, as its first
 * input: of two batches only one can ever be mined, so no withdrawal is paid twice (I2). What one pays stands in it. Sizes, and so fees, are known before anybody signs.
 */
import { Transaction } from 'bitcoinjs-lib';
import { addressOfScript } from './address.js';
import { shown, unshown } from './bytes.js';
import { BitcoinError } from './errors.js';
import { namable, namesScript } from './names.js';
import { guardianWitness, type VaultKeys, type VaultScript } from './vault-script.js';

/** An output the guardians can spend. */
export interface VaultCoin {
  txid: string;
  vout: number;
  /** Satoshis. */
  value: bigint;
  /** The vault's own script, or a deposit's. */
  lock: VaultScript;
  deposit: boolean;
}

/** A withdrawal to be paid. */
export interface Payout {
  number: bigint;
  /** Output script of the recipient. */
  script: Uint8Array;
  /** Satoshis that were burned: what is paid and its share of the fee. */
  amount: bigint;
  /** The most its share may be. */
  maxFee: bigint;
}

export interface PaidPayout extends Payout {
  fee: bigint;
}

/** A transaction of the vault, not signed yet. */
export interface Batch {
  vault: VaultKeys;
  /** The first is the change of the batch before. */
  inputs: readonly VaultCoin[];
  /** Output 0; the next batch begins with it. */
  change: { lock: VaultScript; value: bigint };
  /** Outputs from 1 on, by number of withdrawal; after them the output that names these, unless there are none. */
  payouts: readonly PaidPayout[];
  fee: bigint;
  /** Virtual bytes when it is signed, at most. */
  vsize: number;
  /** Known before it is signed: signatures are not part of it. */
  txid: string;
}

/** Facts a batch is built from. */
export interface Plan {
  vault: VaultKeys;
  /** Where the change goes: the vault's own script, or that of the set of guardians that takes over. */
  changeTo: VaultScript;
  /** Change of the batch before. */
  anchor: VaultCoin;
  /** Transactions in a row, the anchor's last, that are not mined yet. */
  unconfirmed: number;
  /** Satoshis per 1,000 virtual bytes. */
  feeRate: bigint;
}

export interface ReleasePlan extends Plan {
  payouts: readonly Payout[];
  /** Other final coins of the vault; as few as possible are spent. */
  coins: readonly VaultCoin[];
}

export interface PaymentPlan extends Pick<Plan, 'vault' | 'changeTo' | 'feeRate'> {
  /** The anchor, then the others. */
  inputs: readonly VaultCoin[];
  payouts: readonly Payout[];
}

export interface SweepPlan extends Plan {
  coins: readonly VaultCoin[];
  /** The most the fee may be: nobody pays it but the vault's own surplus. */
  reserve: bigint;
  /** The unmined transaction this one pays for as well: the anchor's. */
  lift?: { vsize: number; fee: bigint };
}

export interface Built {
  batch: Batch;
  /** Withdrawals left out: their share is above what they allow, what is left is too little to be relayed, or more could not be named. */
  left: readonly bigint[];
}

/** May be replaced by one that pays more (BIP 125). */
const SEQUENCE = 0xff_ff_ff_fd;
/** One guardian's signatures are one line on AO of 16 KiB at most, 147 of them for each input. Nodes relay more. */
export const MAX_INPUTS = 100;
export const MAX_PAYOUTS = 100;
/** Nodes relay chains of 25 that are not mined; what bumps a fee needs room as well (B15). */
export const MAX_UNCONFIRMED = 20;
/** Change is never less: the next batch lives from it. Satoshis. */
export const MIN_CHANGE = 10_000n;
/** An input beside its witness: outpoint, an empty script, sequence. */
const INPUT_BYTES = 41;
/** What nodes demand of a replacement for its own way, satoshis per 1,000 virtual bytes. */
export const INCREMENTAL_RATE = 1_000n;
/** The highest rate anybody ever had to pay is a tenth of this; above it somebody is mistaken. */
export const MAX_FEE_RATE = 10_000_000n;

/** Builds a batch that pays withdrawals. @throws BitcoinError `not-enough-coins`, `fee-limit`, `chain-too-long`, `bad-batch` */
export function planRelease(plan: ReleasePlan): Built {
  checkPlan(plan);
  const sorted = plan.payouts.toSorted((a, b) => compare(a.number, b.number));
  if (sorted.length > MAX_PAYOUTS || sorted.some((p, i) => i > 0 && p.number === sorted[i - 1]?.number))
    throw new BitcoinError('bad-batch', `A batch pays up to ${MAX_PAYOUTS} withdrawals, each once.`);
  const richest = richestOf(plan.coins);
  let paying = sorted.slice(0, namable(sorted.map((p) => p.number)));
  // Who is left out makes the others' shares larger: until nobody is, so many times at most.
  while (paying.length > 0) {
    const inputs = selectCoins(plan, richest, total(paying));
    const paid = shares(plan.vault, inputs, plan.changeTo, paying, plan.feeRate);
    const good = paid.filter(affordable);
    if (good.length === paid.length) {
      const left = sorted.filter((p) => !paying.includes(p)).map((p) => p.number);
      return { batch: build(plan.vault, inputs, plan.changeTo, paid), left };
    }
    const numbers = new Set(good.map((p) => p.number));
    paying = paying.filter((p) => numbers.has(p.number));
  }
  throw new BitcoinError('fee-limit', 'No withdrawal allows what paying it costs now.');
}

/**
 * Builds a transaction without payouts: what gathers deposits before their refund opens, moves the vault to other guardians, or, with `lift`, spends the
 * change of a batch that pays too little so that both are mined (CPFP). @throws BitcoinError `fee-limit`, `chain-too-long`, `bad-batch`
 */
export function planSweep(plan: SweepPlan): Batch {
  checkPlan(plan);
  const inputs = [plan.anchor, ...distinct(plan.coins.toSorted(byOutpoint), plan.anchor)];
  if (inputs.length > MAX_INPUTS) throw new BitcoinError('bad-batch', `A sweep takes up to ${MAX_INPUTS} coins.`);
  const size = BigInt(vsizeOf(plan.vault, inputs, [plan.changeTo.script]));
  const alone = ceil(size * plan.feeRate, 1_000n);
  const lifted = plan.lift ? ceil((size + BigInt(plan.lift.vsize)) * plan.feeRate, 1_000n) - plan.lift.fee : 0n;
  const fee = lifted > alone ? lifted : alone;
  if (fee > plan.reserve)
    throw new BitcoinError('fee-limit', `The fee of ${fee} satoshis is above the vault’s reserve of ${plan.reserve}.`);
  return build(plan.vault, inputs, plan.changeTo, [], fee);
}

/** The same withdrawals from the same coins at a higher fee rate. @throws BitcoinError `fee-limit` when one of them does not allow its share, or nodes would not take it for the old one */
export function planReplacement(old: Batch, feeRate: bigint): Batch {
  const batch = planPayment({ ...old, changeTo: old.change.lock, feeRate });
  if (!paysMore(batch, old)) throw new BitcoinError('fee-limit', 'Nodes take no replacement that pays so little more.');
  return batch;
}

/** Whether nodes take a batch for one that spends the same anchor: it pays more in all, not only for each byte (BIP 125). */
export const paysMore = (batch: Pick<Batch, 'fee' | 'vsize'>, old: Pick<Batch, 'fee'>): boolean =>
  batch.fee >= old.fee + ceil(BigInt(batch.vsize) * INCREMENTAL_RATE, 1_000n);

/**
 * Exactly these withdrawals from exactly these coins, the first of them the anchor: what a proposal names.
 * @throws BitcoinError `fee-limit` when one of them does not allow its share, `not-enough-coins`, `bad-batch`
 */
export function planPayment({ vault, inputs, changeTo, payouts, feeRate }: PaymentPlan): Batch {
  checkFeeRate(feeRate);
  const [anchor, ...others] = inputs;
  if (!anchor || inputs.length > MAX_INPUTS || payouts.length === 0 || payouts.length > MAX_PAYOUTS)
    throw new BitcoinError('bad-batch', `A batch pays 1 to ${MAX_PAYOUTS} withdrawals from up to ${MAX_INPUTS} coins.`);
  const coins = [anchor, ...distinct(others, anchor).toSorted(byOutpoint)];
  const sorted = payouts.toSorted((a, b) => compare(a.number, b.number));
  const paid = shares(vault, coins, changeTo, sorted, feeRate);
  const refused = paid.find((p) => !affordable(p));
  if (refused)
    throw new BitcoinError('fee-limit', `Withdrawal ${refused.number} does not allow a share of ${refused.fee}.`);
  return build(vault, coins, changeTo, paid);
}

/** @throws BitcoinError `bad-batch` unless the batch spends the change of the one before (I2) */
export function checkSuccession(previousTxid: string, batch: Batch): void {
  const [first] = batch.inputs;
  if (first?.txid !== previousTxid || first.vout !== 0)
    throw new BitcoinError('bad-batch', 'A batch spends the change of the batch before it, first of all.');
}

/** What is signed. */
export function unsigned(batch: Pick<Batch, 'inputs' | 'change' | 'payouts'>): Transaction {
  const tx = new Transaction();
  tx.version = 2;
  for (const { txid, vout } of batch.inputs) tx.addInput(unshown(txid), vout, SEQUENCE);
  tx.addOutput(batch.change.lock.script, batch.change.value);
  for (const { script, amount, fee } of batch.payouts) tx.addOutput(script, amount - fee);
  if (batch.payouts.length > 0) tx.addOutput(namesOf(batch.payouts), 0n);
  return tx;
}

/** The change of a batch, as a coin the next one begins with. */
export const changeOf = ({ txid, change }: Batch): VaultCoin => ({
  txid,
  vout: 0,
  value: change.value,
  lock: change.lock,
  deposit: false,
});

/** A coin's name. */
export const outpointOf = ({ txid, vout }: Pick<VaultCoin, 'txid' | 'vout'>): string => `${txid}:${vout}`;

/** Least satoshis nodes relay to a script (at 3 satoshis a virtual byte of making and spending it). */
export function dustLimit(script: Uint8Array): bigint {
  const kind = addressOfScript(script)?.kind;
  const spend = kind === 'p2pkh' || kind === 'p2sh' || kind === undefined ? 148 : 67;
  return 3n * BigInt(8 + 1 + script.length + spend);
}

/** Whether a coin is worth more than it costs to spend it, satoshis per 1,000 virtual bytes: what is not is left where it is. */
export function isWorthSpending({ value, lock, deposit }: VaultCoin, vault: VaultKeys, feeRate: bigint): boolean {
  const weight = 4 * INPUT_BYTES + guardianWitness(lock, vault, deposit);
  return value > ceil(BigInt(weight) * feeRate, 4_000n);
}

/** Virtual bytes when signed, at most. */
export function vsizeOf(vault: VaultKeys, inputs: readonly VaultCoin[], scripts: readonly Uint8Array[]): number {
  const body = 4 + 4 + varint(inputs.length) + varint(scripts.length) + INPUT_BYTES * inputs.length;
  const outputs = scripts.reduce((sum, script) => sum + outputSize(script), 0);
  const witness = inputs.reduce((sum, { lock, deposit }) => sum + guardianWitness(lock, vault, deposit), 2);
  return Math.ceil((4 * (body + outputs) + witness) / 4);
}

/** How many coins beside the anchor the rule takes for these payouts; null when they are not enough. */
export function fewestCoins(anchor: VaultCoin, coins: readonly VaultCoin[], payouts: readonly Payout[]): number | null {
  try {
    return selectCoins({ anchor, coins }, richestOf(coins), total(payouts)).length - 1;
  } catch (error) {
    if (error instanceof BitcoinError) return null;
    throw error;
  }
}

/** As few coins as possible beside the anchor: the richest first. Fees come out of the payouts, so what is needed is known before. */
function selectCoins(
  { anchor, coins }: Pick<ReleasePlan, 'anchor' | 'coins'>,
  richest: readonly VaultCoin[],
  paid: bigint,
): VaultCoin[] {
  const needed = paid + MIN_CHANGE;
  const chosen = [anchor];
  const taken = new Set(chosen.map(outpointOf));
  let sum = anchor.value;
  for (const coin of richest) {
    if (sum >= needed) break;
    if (taken.has(outpointOf(coin))) continue;
    taken.add(outpointOf(coin));
    chosen.push(coin);
    sum += coin.value;
  }
  if (chosen.length > MAX_INPUTS)
    throw new BitcoinError(
      'not-enough-coins',
      `More than ${MAX_INPUTS} coins would be needed: gather small ones first, or pay fewer withdrawals.`,
    );
  if (sum < needed)
    throw new BitcoinError(
      'not-enough-coins',
      `The vault’s ${coins.length + 1} final coins do not cover ${needed} satoshis.`,
    );
  const [first, ...others] = chosen;
  return [first as VaultCoin, ...others.toSorted(byOutpoint)];
}

/** Each pays for its own output, and all alike for the rest; the fee is what they pay together, no satoshi more. */
function shares(
  vault: VaultKeys,
  inputs: readonly VaultCoin[],
  change: VaultScript,
  payouts: readonly Payout[],
  feeRate: bigint,
): PaidPayout[] {
  if (payouts.length === 0) return [];
  const all = vsizeOf(vault, inputs, scriptsOf(change, payouts));
  const own = payouts.reduce((sum, { script }) => sum + outputSize(script), 0);
  const rest = ceil(BigInt(all - own) * feeRate, 1_000n * BigInt(payouts.length));
  return payouts.map((p) => ({ ...p, fee: ceil(BigInt(outputSize(p.script)) * feeRate, 1_000n) + rest }));
}

const namesOf = (payouts: readonly Payout[]): Uint8Array => namesScript(payouts.map((p) => p.number));

/** Scripts of a batch' outputs, in their order. */
function scriptsOf(change: VaultScript, payouts: readonly Payout[]): Uint8Array[] {
  const paid = payouts.map((p) => p.script);
  return payouts.length > 0 ? [change.script, ...paid, namesOf(payouts)] : [change.script];
}

const affordable = ({ amount, fee, maxFee, script }: PaidPayout): boolean =>
  fee <= maxFee && amount - fee >= dustLimit(script);

function build(
  vault: VaultKeys,
  inputs: readonly VaultCoin[],
  changeTo: VaultScript,
  payouts: readonly PaidPayout[],
  fee = payouts.reduce((sum, p) => sum + p.fee, 0n),
): Batch {
  const spent = inputs.reduce((sum, { value }) => sum + value, 0n);
  const paid = payouts.reduce((sum, p) => sum + p.amount - p.fee, 0n);
  const change = { lock: changeTo, value: spent - paid - fee };
  if (change.value < MIN_CHANGE)
    throw new BitcoinError(
      'not-enough-coins',
      `A change of ${change.value} satoshis is too little for the next batch.`,
    );
  const vsize = vsizeOf(vault, inputs, scriptsOf(changeTo, payouts));
  const txid = shown(unsigned({ inputs, change, payouts }).getHash());
  return { vault, inputs, change, payouts, fee, vsize, txid };
}

function checkPlan({ feeRate, unconfirmed }: Plan): void {
  checkFeeRate(feeRate);
  if (unconfirmed >= MAX_UNCONFIRMED)
    throw new BitcoinError(
      'chain-too-long',
      `${unconfirmed} batches in a row are not mined yet: wait for a block, or lift their fee.`,
    );
}

/** @throws BitcoinError `fee-limit` */
export function checkFeeRate(feeRate: bigint): void {
  if (feeRate < 1_000n || feeRate > MAX_FEE_RATE)
    throw new BitcoinError(
      'fee-limit',
      `A fee rate lies between 1,000 and ${MAX_FEE_RATE} satoshis per 1,000 virtual bytes.`,
    );
}

function distinct(coins: readonly VaultCoin[], anchor: VaultCoin): VaultCoin[] {
  const seen = new Set([outpointOf(anchor), ...coins.map(outpointOf)]);
  if (seen.size !== coins.length + 1) throw new BitcoinError('bad-batch', 'A coin is named twice.');
  return [...coins];
}

const richestOf = (coins: readonly VaultCoin[]): VaultCoin[] =>
  coins.toSorted((a, b) => compare(b.value, a.value) || byOutpoint(a, b));
const total = (payouts: readonly Payout[]): bigint => payouts.reduce((sum, { amount }) => sum + amount, 0n);
const outputSize = (script: Uint8Array): number => 8 + varint(script.length) + script.length;
const varint = (n: number): number => (n < 0xfd ? 1 : 3);
const ceil = (a: bigint, b: bigint): bigint => (a + b - 1n) / b;
const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
const byOutpoint = (a: VaultCoin, b: VaultCoin): number =>
  a.txid < b.txid ? -1 : a.txid > b.txid ? 1 : a.vout - b.vout;
