/**
 * The depositor's own way out. A recovery file holds all terms of a deposit address; with it and the key, a refund is built and signed without any server
 * of ours. A file whose address does not follow from its terms is refused: it would refund something else.
 */
import type { DepositTag } from '@isthmus/bridge';
import { crypto, script as scripts, Transaction } from 'bitcoinjs-lib';
import { z } from 'zod';
import { parseAddress } from './address.js';
import { unhex, unshown } from './bytes.js';
import { BitcoinError } from './errors.js';
import { pairOf } from './keys.js';
import { chainOf, networkOf } from './network.js';
import { depositScript, refundOwner, vaultKeys, writeRefundOwner, type DepositTerms } from './vault-script.js';

const FORMAT = 'isthmus/bitcoin-recovery/1';
/** Terms with the most keys and tags take some kilobytes. */
const MAX_FILE = 16_384;

const shape = z.strictObject({
  format: z.literal(FORMAT),
  chain: z.string(),
  address: z.string(),
  /** The script in clear, hex: for whoever would rather use another tool. */
  script: z.string(),
  process: z.string(),
  recipient: z.string(),
  tags: z.array(z.strictObject({ name: z.string(), value: z.string() })),
  guardians: z.array(z.string()),
  threshold: z.int(),
  refund: z.string(),
  refundAfter: z.int(),
});

/** The file a depositor keeps. */
export function writeRecoveryFile(terms: DepositTerms): string {
  const { address, witnessScript } = depositScript(terms);
  const file: z.infer<typeof shape> = {
    format: FORMAT,
    chain: chainOf(terms.network),
    address,
    script: Buffer.from(witnessScript).toString('hex'),
    process: terms.process,
    recipient: terms.recipient,
    tags: terms.tags.map(({ name, value }: DepositTag) => ({ name, value })),
    guardians: terms.vault.keys.map((key) => Buffer.from(key).toString('hex')),
    threshold: terms.vault.threshold,
    refund: writeRefundOwner(terms.refund, terms.network),
    refundAfter: terms.refundAfter,
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** @throws BitcoinError `bad-recovery-file` when it is no such file, or its address does not follow from its terms */
export function readRecoveryFile(text: string): DepositTerms {
  const read = text.length <= MAX_FILE ? shape.safeParse(json(text)) : null;
  if (!read?.success) throw new BitcoinError('bad-recovery-file', 'This is no recovery file of a Bitcoin deposit.');
  const { data } = read;
  const network = networkOf(data.chain);
  const terms: DepositTerms = {
    network,
    vault: vaultKeys(
      data.guardians.map((key) => unhex(key, 'Keys')),
      data.threshold,
    ),
    process: data.process,
    recipient: data.recipient,
    tags: data.tags,
    refund: refundOwner(data.refund, network),
    refundAfter: data.refundAfter,
  };
  const { address, witnessScript } = depositScript(terms);
  if (address !== data.address || Buffer.from(witnessScript).toString('hex') !== data.script)
    throw new BitcoinError('bad-recovery-file', 'The address in this file does not follow from its terms.');
  return terms;
}

/** An output that paid the deposit address. */
export interface DepositCoin {
  txid: string;
  vout: number;
  /** Satoshis. */
  value: bigint;
}

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
const MAX_COINS = 400;
/** Least that nodes relay to any kind of address. */
const DUST = 546n;

/** Builds and signs a refund; nodes take it once every coin has its confirmations. @throws BitcoinError saying what to change */
export function buildRefund(
  terms: DepositTerms,
  { coins, to, feeRate, secret }: RefundOptions,
): { hex: string; txid: string; fee: bigint } {
  if (coins.length === 0 || coins.length > MAX_COINS)
    throw new BitcoinError('bad-terms', `A refund takes 1 to ${MAX_COINS} coins.`);
  const { witnessScript } = depositScript(terms);
  const pair = pairOf(secret);
  if (!owns(terms, pair.publicKey))
    throw new BitcoinError('bad-signature', 'This key is not the one the refund of this deposit is for.');
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

function owns({ refund }: DepositTerms, key: Uint8Array): boolean {
  if (refund.kind === 'key') return Buffer.compare(refund.key, key) === 0;
  return Buffer.compare(refund.hash, crypto.hash160(key)) === 0;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null; // no recovery file
  }
}
