/** The lines guardians write and read: one transfer a line, fields separated by one space. The line is the content a quorum agrees on. */
import type { Hex } from 'viem';
import { isAoAddress } from './address.js';
import { formatAmount, parseAmount } from './amount.js';
import { BridgeError } from './errors.js';
import { isSenderOn, isTransaction, isTransactionOf, MAX_NUMBER, parseDepositReference } from './home-chain.js';
import { depositId } from './ids.js';
import { MAX_TAG_BYTES } from './tags.js';

/** What a guardian saw of one deposit, in full. */
export interface DepositObservation {
  id: Hex;
  reference: string;
  /** The transaction it was made by, as its chain names it. */
  txHash: string;
  /** Depositor on the home chain; `-` for coins of Bitcoin that came from no address. */
  sender: string;
  /** AO recipient. */
  recipient: string;
  /** Base units the vault really received. */
  amount: bigint;
  /** Raw tag bytes as lower-case hex without 0x, `-` when there are none. */
  tags: string;
}

/** A guardian's signature over the release of one withdrawal. */
export interface ReleaseSignature {
  number: bigint;
  epoch: bigint;
  /** Packed form: index, r, yParityAndS. */
  signature: Hex;
}

/** What a guardian saw of one release, final on the home chain. */
export interface ReleaseObservation {
  number: bigint;
  txHash: string;
  /** Base units paid to the submitter. */
  fee: bigint;
  outcome: 'paid' | 'held';
}

const HASH = /^0x[0-9a-f]{64}$/;
const PACKED = /^0x[0-9a-f]{130}$/;
const NUMBER = /^[1-9][0-9]{0,18}$/;
const TAGS = /^(-|([0-9a-f]{2})+)$/;

/** @throws BridgeError `bad-line` when the observation breaks a rule (a guardian never sends such a line). */
export function encodeDepositLine(o: DepositObservation): string {
  const line = [o.id, o.reference, o.txHash, o.sender, o.recipient, formatAmount(o.amount), o.tags].join(' ');
  parseDepositLine(line);
  return line;
}

/** @throws BridgeError `bad-line` */
export function parseDepositLine(line: string): DepositObservation {
  const [id, reference, txHash, sender, recipient, amount, tags] = fields(line, 7);
  const { chain } = parseDepositReference(reference);
  const ok =
    HASH.test(id) &&
    isTransactionOf(chain, txHash) &&
    isSenderOn(chain, sender) &&
    isAoAddress(recipient) &&
    TAGS.test(tags) &&
    tags.length <= 2 * MAX_TAG_BYTES;
  if (!ok) throw bad('a deposit');
  if (depositId(reference) !== id) throw new BridgeError('bad-line', 'The deposit id is not that of its reference.');
  return {
    id: id as Hex,
    reference,
    txHash,
    sender,
    recipient,
    amount: parseAmount(amount),
    tags,
  };
}

export function encodeSignLine(s: ReleaseSignature): string {
  const line = [s.number, s.epoch, s.signature].join(' ');
  parseSignLine(line);
  return line;
}

/** @throws BridgeError `bad-line` */
export function parseSignLine(line: string): ReleaseSignature {
  const [number, epoch, signature] = fields(line, 3);
  if (!PACKED.test(signature)) throw bad('a release signature');
  return { number: parseNumber(number), epoch: parseNumber(epoch), signature: signature as Hex };
}

export function encodeReleaseLine(r: ReleaseObservation): string {
  const line = [r.number, r.txHash, formatAmount(r.fee), r.outcome].join(' ');
  parseReleaseLine(line);
  return line;
}

/** @throws BridgeError `bad-line` */
export function parseReleaseLine(line: string): ReleaseObservation {
  const [number, txHash, fee, outcome] = fields(line, 4);
  if (!isTransaction(txHash) || (outcome !== 'paid' && outcome !== 'held')) throw bad('a release');
  return { number: parseNumber(number), txHash, fee: parseAmount(fee), outcome };
}

/** Reads a withdrawal number or epoch: from 1, at most 2^63 - 1. @throws BridgeError `bad-line` */
export function parseNumber(text: string): bigint {
  if (!NUMBER.test(text) || BigInt(text) > MAX_NUMBER)
    throw new BridgeError('bad-line', 'Numbers run from 1 to 2^63 - 1.');
  return BigInt(text);
}

function fields(line: string, count: number): string[] & { [K in 0 | 1 | 2 | 3 | 4 | 5 | 6]: string } {
  const parts = line.split(' ');
  if (parts.length !== count)
    throw new BridgeError('bad-line', `A line of this kind has ${count} fields separated by one space.`);
  return parts as string[] & { [K in 0 | 1 | 2 | 3 | 4 | 5 | 6]: string };
}

function bad(what: string): BridgeError {
  return new BridgeError('bad-line', `Not a line for ${what}; docs/protocol.md section 3 has the form.`);
}
