/**
 * A batch as guardians propose it on AO, and back. What is proposed is only ever a question: whoever signs or relays it builds the batch from its own
 * coins and withdrawals, and takes it when the bytes are the same.
 *
 * Anchor `<txid>:<vout>`, the first input. Content `r<satoshis per 1,000 virtual bytes>t<transaction without witnesses, hex>`.
 */
import { Transaction } from 'bitcoinjs-lib';
import {
  outpointOf,
  planPayment,
  planSweep,
  unsigned,
  type Batch,
  type Payout,
  type SweepPlan,
  type VaultCoin,
} from './batch.js';
import { shown } from './bytes.js';
import { BitcoinError } from './errors.js';
import type { PartialSignatures } from './signing.js';
import type { VaultKeys, VaultScript } from './vault-script.js';

/** What a proposal's anchor and content say. Nothing of it is true for that. */
export interface ProposedBatch {
  /** `<txid>:<vout>` of what it spends, in its order; the first is the anchor. */
  spends: readonly string[];
  /** Output scripts and satoshis, in their order. */
  outputs: readonly { script: Uint8Array; value: bigint }[];
  /** Satoshis per 1,000 virtual bytes. */
  feeRate: bigint;
  txid: string;
  /** The transaction without witnesses, hex. */
  hex: string;
}

/** One's own facts a proposal is held against. */
export interface RebuildFacts {
  vault: VaultKeys;
  changeTo: VaultScript;
  /** Coins it may spend by `<txid>:<vout>`, the anchor among them. */
  coins: ReadonlyMap<string, VaultCoin>;
  /** Exactly the withdrawals the proposal names; none when it only moves coins. */
  payouts: readonly Payout[];
  /** Bounds of the fee rate, both allowed, satoshis per 1,000 virtual bytes. */
  rates: { least: bigint; most: bigint };
  /** Of what moves coins only: what its fee may be, and the unmined transaction it may pay for as well. */
  reserve: bigint;
  lift?: SweepPlan['lift'];
}

export type ProposalFault =
  /** No proposal in this form. */
  | 'malformed'
  /** It spends a coin that is not known here, or one twice. */
  | 'coins'
  /** Its rate is out of bounds, or somebody does not allow the share that follows from it. */
  | 'fee'
  /** From the same facts another transaction follows. */
  | 'differs';

/** Why a proposal is not one's own batch. */
export class ProposalMismatch extends Error {
  constructor(
    readonly code: ProposalFault,
    message: string,
  ) {
    super(message);
    this.name = 'ProposalMismatch';
  }
}

const CONTENT = /^r([1-9][0-9]{0,9})t((?:[0-9a-f]{2})+)$/;
const SIGNATURES = /^[0-9a-f]+(?:,[0-9a-f]+)*$/;

/** Anchor and content of what is proposed. */
export function encodeProposal(batch: Batch, feeRate: bigint): { anchor: string; content: string } {
  const [anchor] = batch.inputs;
  if (!anchor) throw new BitcoinError('bad-batch', 'A batch spends its anchor.');
  return { anchor: outpointOf(anchor), content: `r${feeRate}t${unsigned(batch).toHex()}` };
}

/** @throws ProposalMismatch `malformed` */
export function decodeProposal({ anchor, content }: { anchor: string; content: string }): ProposedBatch {
  const [, rate, hex] = CONTENT.exec(content) ?? [];
  const tx = hex === undefined ? null : transactionIn(hex);
  if (!tx || rate === undefined || hex === undefined || tx.hasWitnesses() || tx.toHex() !== hex)
    throw new ProposalMismatch('malformed', 'The content is not r<rate>t<transaction in hex>.');
  const spends = tx.ins.map(({ hash, index }) => `${shown(hash)}:${index}`);
  if (spends[0] !== anchor) throw new ProposalMismatch('malformed', 'The first coin it spends is not its anchor.');
  return { spends, outputs: tx.outs, feeRate: BigInt(rate), txid: tx.getId(), hex };
}

/** The batch that follows from one's own facts, if it is the one proposed. @throws ProposalMismatch */
export function rebuild(proposed: ProposedBatch, facts: RebuildFacts): Batch {
  const { feeRate } = proposed;
  if (feeRate < facts.rates.least || feeRate > facts.rates.most)
    throw new ProposalMismatch(
      'fee',
      `A rate of ${feeRate} is not within ${facts.rates.least} to ${facts.rates.most}, as fees are now.`,
    );
  const inputs = proposed.spends.map((spend) => {
    const coin = facts.coins.get(spend);
    if (!coin) throw new ProposalMismatch('coins', `${spend} is no coin of the vault that may be spent now.`);
    return coin;
  });
  // The fee of one that moves coins may be for itself alone or for the transaction below it as well.
  const lifts = facts.payouts.length === 0 && facts.lift ? [facts.lift, undefined] : [undefined];
  const built = lifts.map((lift) => plan(inputs, feeRate, facts, lift));
  const same = built.find((one) => !(one instanceof ProposalMismatch) && unsigned(one).toHex() === proposed.hex);
  if (same && !(same instanceof ProposalMismatch)) return same;
  const failed = built.find((one) => one instanceof ProposalMismatch);
  throw failed ?? new ProposalMismatch('differs', 'From the same coins and withdrawals another transaction follows.');
}

/** One guardian's signatures as its line has them. */
export const encodeSignatures = ({ signatures }: PartialSignatures): string => signatures.join(',');

/** The inverse; whether they are good `checkPartial` says. @throws ProposalMismatch `malformed` */
export function decodeSignatures(text: string, key: string): PartialSignatures {
  if (!SIGNATURES.test(text)) throw new ProposalMismatch('malformed', 'Signatures are in hex, joined by commas.');
  return { key, signatures: text.split(',') };
}

function plan(
  inputs: readonly VaultCoin[],
  feeRate: bigint,
  { vault, changeTo, payouts, reserve }: RebuildFacts,
  lift: SweepPlan['lift'],
): Batch | ProposalMismatch {
  const [anchor, ...coins] = inputs as [VaultCoin, ...VaultCoin[]]; // what is decoded spends its anchor
  try {
    if (payouts.length > 0) return planPayment({ vault, inputs, changeTo, payouts, feeRate });
    return planSweep({ vault, changeTo, anchor, coins, unconfirmed: 0, feeRate, reserve, ...(lift ? { lift } : {}) });
  } catch (error) {
    if (error instanceof BitcoinError) return new ProposalMismatch(faultOf(error), error.message);
    throw error;
  }
}

function faultOf({ code }: BitcoinError): ProposalFault {
  if (code === 'fee-limit') return 'fee';
  return code === 'not-enough-coins' || code === 'bad-batch' ? 'coins' : 'differs';
}

function transactionIn(hex: string): Transaction | null {
  try {
    return Transaction.fromHex(hex);
  } catch {
    return null; // no transaction
  }
}
