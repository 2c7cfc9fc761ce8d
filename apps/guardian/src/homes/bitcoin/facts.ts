/** What a slot of the schedule says about the vault: keys, addresses, proposals, mints. By the schedule alone, so that all guardians learn the same. */
import type { ScheduleEntry } from '@isthmus/ao';
import {
  parseDecision,
  parseDepositReference,
  parseProposalLine,
  type BridgeEvent,
  type OpenWithdrawal,
  type ProcessView,
} from '@isthmus/bridge';
import {
  decodeProposal,
  depositScript,
  isBitcoinAddress,
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
import type { AddressRow, BitcoinStore, ProposalRow, ProposedPayout, SlotFacts, VaultRow } from './store.js';

export interface Reading {
  network: BitcoinNetwork;
  process: string;
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
  const minted = events.flatMap((e) => {
    if (e.type !== 'deposit.minted') return [];
    const place = parseDepositReference(e.reference);
    return 'vout' in place ? [place] : [];
  });
  if (!vault && !address && proposals.length + minted.length === 0) return null;
  return { ...(vault ? { vault } : {}), ...(address ? { address } : {}), proposals, minted };
}

/** What a withdrawal is paid. @throws BitcoinError for a recipient that cannot be */
export const payoutFor = ({ number, recipient, amount, maxFee }: OpenWithdrawal, network: BitcoinNetwork): Payout => ({
  number,
  script: parseAddress(recipient, network).script,
  amount,
  maxFee,
});

function vaultOf(
  { nonce }: ScheduleEntry,
  events: readonly BridgeEvent[],
  view: ProcessView,
  { batches }: Reading,
): VaultRow | null {
  for (const event of events) {
    const decision = event.type === 'decision.applied' ? parseDecision(event.line) : null;
    if (decision?.kind === 'rotate') return batches.rowOf(decision);
  }
  return nonce === 0 ? batches.rowOf(view.set) : null;
}

function addressOf(
  { message }: ScheduleEntry,
  view: ProcessView,
  { network, process, batches }: Reading,
): AddressRow | null {
  const { keys, lock } = batches.lockOf(view.set);
  const terms = readRegistration(message, { network, process, vault: keys });
  if (!terms) return null;
  const { recipient, tags, refund, refundAfter } = terms;
  return {
    script: hexOf(depositScript(terms).script),
    vault: hexOf(lock.script),
    refundAfter,
    terms: { recipient, tags: [...tags], refund: writeRefundOwner(refund, network) },
  };
}

/** A proposal whose outputs are what it says: its change to a vault, then each withdrawal its amount less a fee it allows. Others are nobody's to sign. */
function proposalOf(
  { id, line }: Extract<BridgeEvent, { type: 'proposal.made' }>,
  view: ProcessView,
  { network, store }: Reading,
): ProposalRow | null {
  const { epoch, anchor, withdrawals, content } = parseProposalLine(line);
  const proposed = decoded({ anchor, content });
  const [change, ...outputs] = proposed?.outputs ?? [];
  if (!proposed || !change || outputs.length !== withdrawals.length || !store.vault(hexOf(change.script))) return null;
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
  return { txid: proposed.txid, id, epoch, anchor, content, payouts };
}

function decoded(proposal: { anchor: string; content: string }): ProposedBatch | null {
  try {
    return decodeProposal(proposal);
  } catch (error) {
    if (error instanceof ProposalMismatch) return null;
    throw error;
  }
}
