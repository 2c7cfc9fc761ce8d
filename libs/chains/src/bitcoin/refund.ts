/**
 * The depositor's own way out: which coins may be taken back by now, and the transaction that does it, built and signed without any server of ours.
 */
import { crypto, script as scripts, Transaction } from 'bitcoinjs-lib';
import { parseAddress } from './address.js';
import { checkFeeRate } from './batch.js';
import { unshown } from './bytes.js';
import { BitcoinError } from './errors.js';
import { pairOf } from './keys.js';
import type { PaidCoin, PaidCoins } from './rpc.js';
import { depositScript, type DepositTerms } from './vault-script.js';

/** A coin whose time has not come. */
export interface EarlyCoin {
  coin: PaidCoin;
  /** Blocks until nodes take its refund. */
  blocks: number;
  /** Height of the tip by then. */
  opensAt: number;
}

/** Which coins may be taken back by now, the richest first: nodes take what can be in the next block. */
export function refundable(
  { refundAfter }: Pick<DepositTerms, 'refundAfter'>,
  { height, coins }: PaidCoins,
): { open: PaidCoin[]; early: EarlyCoin[] } {
  const open = coins.filter((coin) => coin.confirmations >= refundAfter);
  const early = coins
    .filter((coin) => coin.confirmations < refundAfter)
    .map((coin) => {
      const blocks = refundAfter - coin.confirmations;
      return { coin, blocks, opensAt: height + blocks };
    });
  return { open: open.toSorted((a, b) => (a.value > b.value ? -1 : a.value < b.value ? 1 : 0)), early };
}

/** An output that paid the deposit address. */
export type DepositCoin = Pick<PaidCoin, 'txid' | 'vout' | 'value'>;

export interface RefundOptions {
  coins: readonly DepositCoin[];
  /** Any address of the network. */
  to: string;
  /** Satoshis per 1,000 virtual bytes. */
  feeRate: bigint;
  /** 32 bytes. */
  secret: Uint8Array;
}

/** Inputs that stay below what nodes relay. */
export const MAX_REFUND_COINS = 400;
/** Least that nodes relay to any kind of address. */
const DUST = 546n;

/** Builds and signs a refund; nodes take it once every coin has its confirmations. @throws BitcoinError saying what to change */
export function buildRefund(
  terms: DepositTerms,
  { coins, to, feeRate, secret }: RefundOptions,
): { hex: string; txid: string; fee: bigint } {
  if (coins.length === 0 || coins.length > MAX_REFUND_COINS)
    throw new BitcoinError('bad-terms', `A refund takes 1 to ${MAX_REFUND_COINS} coins.`);
  checkFeeRate(feeRate);
  const { witnessScript } = depositScript(terms);
  const pair = pairOf(secret);
  checkRefundKey(terms, secret);
  const { script } = parseAddress(to, terms.network);
  const total = coins.reduce((sum, { value }) => sum + value, 0n);
  const signed = (value: bigint): Transaction => {
    const tx = new Transaction();
    tx.version = 2; // relative locks count from version 2 on
    for (const { txid, vout } of coins) tx.addInput(unshown(txid), vout, terms.refundAfter);
    tx.addOutput(script, value);
    for (const [i, coin] of coins.entries()) {
      const digest = tx.hashForWitnessV0(i, witnessScript, coin.value, Transaction.SIGHASH_ALL);
      const signature = scripts.signature.encode(pair.sign(digest), Transaction.SIGHASH_ALL);
      const key = terms.refund.kind === 'key' ? [] : [pair.publicKey];
      // An empty selector chooses the depositor's way.
      tx.setWitness(i, [signature, ...key, new Uint8Array(), witnessScript]);
    }
    return tx;
  };
  // A signature may be a byte shorter the second time: two more for each are paid at most.
  const size = BigInt(signed(total).virtualSize() + coins.length);
  const fee = (size * feeRate + 999n) / 1_000n;
  if (total - fee < DUST) throw new BitcoinError('not-enough-coins', `After a fee of ${fee} satoshis nothing is left.`);
  const tx = signed(total - fee);
  return { hex: tx.toHex(), txid: tx.getId(), fee };
}

/** @throws BitcoinError for another key than the one the refund is for */
export function checkRefundKey(terms: DepositTerms, secret: Uint8Array): void {
  if (!owns(terms, pairOf(secret).publicKey))
    throw new BitcoinError('bad-signature', 'This key is not the one the refund of this deposit is for.');
}

function owns({ refund }: DepositTerms, key: Uint8Array): boolean {
  if (refund.kind === 'key') return Buffer.compare(refund.key, key) === 0;
  return Buffer.compare(refund.hash, crypto.hash160(key)) === 0;
}
