/** What a slot of the schedule says about the vault: keys, addresses, proposals, mints. By the schedule alone, so that all guardians learn the same. */
import { tagOf, type ScheduleEntry } from '@isthmus/ao';
import {
  parseDecision,
  parseDepositReference,
  parseProposalLine,
  type BridgeEvent,
  type OpenWithdrawal,
  type ProcessView,
} from '@isthmus/bridge';
import {
  BitcoinError,
  claimsRegistration,
  decodeProposal,
  depositScript,
  isBitcoinAddress,
  namesScript,
  ProposalMismatch,
  parseAddress,
  readRegistration,
  writeRefundOwner,
  type BitcoinNetwork,
  type Payout,
  type ProposedBatch,
  hexOf,
} from '@isthmus/chains';
import type { Batches } from './batches.js';
import type { AddressRow, ProposalRow, ProposedPayout, SlotFacts, VaultRow } from './rows.js';
import type { BitcoinStore } from './store.js';

export interface Reading {
  network: BitcoinNetwork;
  process: string;
  /** Least `refundAfter` of an address. */
  leastRefund: number;
  batches: Batches;
  store: Pick<BitcoinStore, 'vault'>;
}

/** @returns null when it says nothing of the chain */
export function factsOf(
  entry: ScheduleEntry,
  events: readonly BridgeEvent[],
  view: ProcessView,
  reading: Reading,
): SlotFacts | null {
  const vault = vaultOf(entry, events, view, reading);
  const address = addressOf(entry, view, reading);
  const proposals = events.flatMap((e) => (e.type === 'proposal.made' ? (proposalOf(e, view, reading) ?? []) : []));
  // What somebody beside its proposer stands behind may be mined one day.
  const backed = signedIn(entry, view);
  const minted = events.flatMap((e) => {
    if (e.type !== 'deposit.minted') return [];
    const place = parseDepositReference(e.reference);
    return 'vout' in place ? [{ ...place, at: timeOf(entry) }] : [];
  });
  if (!vault && !address && proposals.length + backed.length + minted.length === 0) return null;
  return { ...(vault ? { vault } : {}), ...(address ? { address } : {}), proposals, backed, minted };
}

/**
 * What a guardian signs with this message, whatever its process made of it: one that has forgotten the proposal under a flood of others refuses the
 * signature, which everybody has seen all the same.
 */
function signedIn({ message }: ScheduleEntry, { set, outgoing }: ProcessView): { id: string; by: string }[] {
  const by = message.ownerAddress;
  if (tagOf(message, 'Action') !== 'Sign-Release') return [];
  if (![set, outgoing].some((one) => one?.guardians.some((g) => g === by))) return [];
  const ids = message.data.toString('utf8').match(/^0x[0-9a-f]{64}(?= )/gm) ?? [];
  return [...new Set(ids)].map((id) => ({ id, by }));
}

/** What a withdrawal is paid. @throws BitcoinError for a recipient that cannot be */
export const payoutFor = ({ number, recipient, amount, maxFee }: OpenWithdrawal, network: BitcoinNetwork): Payout => ({
  number,
  script: parseAddress(recipient, network).script,
  amount,
  maxFee,
});

/** When a slot got its place, milliseconds. */
const timeOf = ({ assignment }: ScheduleEntry): number => Number(tagOf(assignment, 'Timestamp'));

function vaultOf(
  entry: ScheduleEntry,
  events: readonly BridgeEvent[],
  view: ProcessView,
  { batches }: Reading,
): VaultRow | null {
  for (const event of events) {
    const decision = event.type === 'decision.applied' ? parseDecision(event.line) : null;
    const next = decision?.kind === 'rotate' ? batches.rowOf(decision) : null;
    if (next) return { ...next, since: timeOf(entry) };
  }
  const first = entry.nonce === 0 ? batches.rowOf(view.set) : null;
  return first && { ...first, since: 0 };
}

function addressOf(
  entry: ScheduleEntry,
  view: ProcessView,
  { network, process, leastRefund, batches }: Reading,
): AddressRow | null {
  const { message } = entry;
  // Most messages are none: what the set's keys come to is worked out for those that may be.
  if (!claimsRegistration(message, process)) return null;
  const made = batches.lockOf(view.set);
  if (!made) return null;
  const { keys, lock } = made;
  const terms = readRegistration(message, { network, process, vault: keys, leastRefund });
  if (!terms) return null;
  const { recipient, tags, refund, refundAfter } = terms;
  return {
    script: hexOf(depositScript(terms).script),
    vault: hexOf(lock.script),
    since: timeOf(entry),
    refundAfter,
    terms: { recipient, tags: [...tags], refund: writeRefundOwner(refund, network) },
  };
}

/**
 * A proposal whose outputs are what it says: its change to a vault, then each withdrawal its amount less a fee it allows, then the names of these: all
 * that is ever kept of one transaction pays the same. Others are nobody's to sign.
 */
function proposalOf(
  { id, line, guardian: proposer }: Extract<BridgeEvent, { type: 'proposal.made' }>,
  view: ProcessView,
  { network, store }: Reading,
): ProposalRow | null {
  const { epoch, anchor, withdrawals, content } = parseProposalLine(line);
  const proposed = decoded({ anchor, content });
  const [change, ...outputs] = proposed?.outputs ?? [];
  if (!proposed || !change || !store.vault(hexOf(change.script))) return null;
  if (!isNamed(outputs.splice(withdrawals.length), withdrawals) || outputs.length !== withdrawals.length) return null;
  const payouts: ProposedPayout[] = [];
  for (const [i, number] of withdrawals.entries()) {
    const withdrawal = view.open.get(number);
    const output = outputs[i];
    if (!withdrawal || !output || !isBitcoinAddress(withdrawal.recipient, network)) return null;
    const { amount, maxFee, script } = payoutFor(withdrawal, network);
    const fee = amount - output.value;
    if (fee < 0n || fee > maxFee || hexOf(script) !== hexOf(output.script)) return null;
    payouts.push({ number, script: hexOf(script), amount, fee, maxFee });
  }
  return { txid: proposed.txid, id, proposer, epoch, anchor, content, payouts };
}

/** Whether this is the one output that names these, or none for none. */
function isNamed(rest: ProposedBatch['outputs'], withdrawals: readonly bigint[]): boolean {
  const [names, another] = rest;
  if (withdrawals.length === 0) return names === undefined;
  if (!names || another || names.value !== 0n) return false;
  try {
    return hexOf(names.script) === hexOf(namesScript(withdrawals));
  } catch (error) {
    if (error instanceof BitcoinError) return false; // not in order
    throw error;
  }
}

function decoded(proposal: { anchor: string; content: string }): ProposedBatch | null {
  try {
    return decodeProposal(proposal);
  } catch (error) {
    if (error instanceof ProposalMismatch) return null;
    throw error;
  }
}
