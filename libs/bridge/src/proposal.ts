/**
 * Proposals: how releases are agreed on chains where no contract refuses a second payment. A proposal is a transaction that uses up an
 * anchor, so that of all that name one anchor only one can ever be; guardians sign it, and what M of them signed anyone may submit.
 */
import { keccak256, stringToHex, type Hex } from 'viem';
import { isArweaveAddress } from './address.js';
import { parseNumber } from './attestation.js';
import { BridgeError } from './errors.js';

export interface ReleaseProposal {
  /** Of the guardian set whose signatures it needs. */
  epoch: bigint;
  /** What the transaction uses up: on Bitcoin a coin, `<txid>:<output>`, on Solana a nonce, `<account>:<nonce>`. */
  anchor: string;
  /** Withdrawals it pays, by number, rising; none when it only moves what the vault has. */
  withdrawals: readonly bigint[];
  /** The transaction, in the form of its chain: letters and digits. */
  content: string;
}

/** One guardian's signatures of a proposal: in the form of its chain, one for each input that needs one, joined by commas. */
export interface ProposalSignatures {
  id: Hex;
  signatures: string;
}

/** Most bytes of a proposal's line, and of one that signs it: a batch of 50 payments from 20 coins takes a third of it. */
export const MAX_PROPOSAL_BYTES = 16_384;
/** Most withdrawals of one transaction, and bytes of its anchor. */
export const MAX_PAID = 256;
const MAX_ANCHOR_BYTES = 256;
/** Proposals kept of each guardian, its newest. */
export const PROPOSALS_KEPT = 32;

const ANCHOR = /^[A-Za-z0-9:.-]+$/;
const CONTENT = /^[A-Za-z0-9]+$/;
const SIGNATURES = /^[A-Za-z0-9,]+$/;
const ID = /^0x[0-9a-f]{64}$/;

/** @throws BridgeError `bad-line` when it breaks a rule (a guardian never sends such a line) */
export function encodeProposalLine({ epoch, anchor, withdrawals, content }: ReleaseProposal): string {
  const line = `${epoch} ${anchor} ${withdrawals.join(',') || '-'} ${content}`;
  parseProposalLine(line);
  return line;
}

/** @throws BridgeError `bad-line` */
export function parseProposalLine(line: string): ReleaseProposal {
  const [epoch = '', anchor = '', numbers = '', content = '', ...more] = line.split(' ');
  const withdrawals = numbers === '-' ? [] : numbers.split(',').map(parseNumber);
  const rising = withdrawals.every((n, i) => i === 0 || n > (withdrawals[i - 1] as bigint));
  const fits = line.length <= MAX_PROPOSAL_BYTES && anchor.length <= MAX_ANCHOR_BYTES && withdrawals.length <= MAX_PAID;
  if (more.length > 0 || !rising || !fits || !ANCHOR.test(anchor) || !CONTENT.test(content))
    throw new BridgeError('bad-line', 'Not a line for a proposal; docs/protocol.md section 3 has the form.');
  return { epoch: parseNumber(epoch), anchor, withdrawals, content };
}

/** A proposal's id, from its process and its whole line. @throws BridgeError `bad-process` */
export function proposalId(process: string, line: string): Hex {
  if (!isArweaveAddress(process)) throw new BridgeError('bad-process', 'A process id has 43 characters of base64url.');
  return keccak256(stringToHex(`isthmus/proposal/1\n${process}\n${line}`));
}

/** @throws BridgeError `bad-line` */
export function encodeProposalSignLine({ id, signatures }: ProposalSignatures): string {
  const line = `${id} ${signatures}`;
  parseProposalSignLine(line);
  return line;
}

/** @throws BridgeError `bad-line` */
export function parseProposalSignLine(line: string): ProposalSignatures {
  const [id = '', signatures = '', ...more] = line.split(' ');
  if (more.length > 0 || !ID.test(id) || !SIGNATURES.test(signatures) || line.length > MAX_PROPOSAL_BYTES)
    throw new BridgeError(
      'bad-line',
      'Not a line for signatures of a proposal; docs/protocol.md section 3 has the form.',
    );
  return { id: id as Hex, signatures };
}
