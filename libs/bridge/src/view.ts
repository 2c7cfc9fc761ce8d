/** What a token process' events add up to: the books, who decides, and the withdrawals still open. Everyone who follows a process folds the same events. */
import type { Hex } from 'viem';
import { parseDecision, subjectOf, type GuardianSet, type Subject } from './decision.js';
import { BridgeError } from './errors.js';
import type { BridgeEvent } from './event.js';
import { areKeysOn, parseDepositReference } from './home-chain.js';
import { parseProposalLine, type ReleaseProposal } from './proposal.js';

/** A withdrawal that guardians have not yet attested as released. */
export interface OpenWithdrawal {
  number: bigint;
  id: Hex;
  holder: string;
  /** On the home chain. */
  recipient: string;
  amount: bigint;
  maxFee: bigint;
  /** Signatures of the current epoch, packed, by guardian. */
  signatures: Map<Hex, Hex>;
}

/** A transaction a guardian proposed, of the current epoch, that pays something still open or only moves what the vault has. */
export interface OpenProposal extends ReleaseProposal {
  id: Hex;
  /** Who proposed it. */
  guardian: Hex;
  signatures: Map<Hex, string>;
}

export interface ProcessView {
  set: GuardianSet;
  /** The set before this one: where releases are proposed it still signs what hands the vault over. */
  outgoing: GuardianSet | null;
  paused: boolean;
  /** Decisions applied so far; the next one has this plus 1. */
  decisions: bigint;
  /** Of each subject the newest decision applied, the one that holds, with the set that took it. */
  holding: Map<Subject, { nonce: bigint; line: string; by: GuardianSet }>;
  minted: bigint;
  burned: bigint;
  released: bigint;
  /** Highest vault sequence number minted; 0 on chains whose deposits have none. */
  highestSequence: bigint;
  open: Map<bigint, OpenWithdrawal>;
  /** As they came. */
  proposals: Map<Hex, OpenProposal>;
}

/** The view before any event, from the spawn item's tags. @throws BridgeError `bad-line` when they name no guardian set */
export function viewOfSpawn(tags: readonly { name: string; value: string }[]): ProcessView {
  const tag = (name: string): string => {
    const value = tags.find((t) => t.name === name)?.value;
    if (value === undefined)
      throw new BridgeError(
        'bad-line',
        `The process was spawned without the tag ${name}: it is no token process of this protocol.`,
      );
    return value;
  };
  const keys = tags.find((t) => t.name === 'Isthmus-Guardian-Keys')?.value;
  const line = `rotate ${tag('Isthmus-Epoch')} ${tag('Isthmus-Threshold')} ${tag('Isthmus-Pause-Threshold')} ${tag('Isthmus-Guardians')}`;
  const set = parseDecision(keys === undefined ? line : `${line} ${keys}`);
  if (set.kind !== 'rotate' || !areKeysOn(tag('Isthmus-Chain'), set))
    throw new BridgeError('bad-line', 'The spawn tags name no guardian set.');
  return {
    set: setOf(set),
    outgoing: null,
    paused: false,
    decisions: 0n,
    holding: new Map(),
    minted: 0n,
    burned: 0n,
    released: 0n,
    highestSequence: 0n,
    open: new Map(),
    proposals: new Map(),
  };
}

/** Takes one event into the view. */
export function foldEvent(view: ProcessView, event: BridgeEvent): void {
  switch (event.type) {
    case 'deposit.minted': {
      const place = parseDepositReference(event.reference);
      view.minted += event.amount;
      if ('sequence' in place && place.sequence > view.highestSequence) view.highestSequence = place.sequence;
      return;
    }
    case 'withdrawal.queued': {
      const { type: _, ...withdrawal } = event;
      view.burned += event.amount;
      view.open.set(event.number, { ...withdrawal, signatures: new Map() });
      return;
    }
    case 'withdrawal.signed':
      if (event.epoch === view.set.epoch) view.open.get(event.number)?.signatures.set(event.guardian, event.signature);
      return;
    case 'withdrawal.released':
      view.released += view.open.get(event.number)?.amount ?? 0n;
      view.open.delete(event.number);
      return;
    case 'proposal.made': {
      const { id, guardian, line } = event;
      view.proposals.set(id, { id, guardian, ...parseProposalLine(line), signatures: new Map() });
      return;
    }
    case 'proposal.signed':
      view.proposals.get(event.id)?.signatures.set(event.guardian, event.signatures);
      return;
    case 'proposal.dropped':
      view.proposals.delete(event.id);
      return;
    case 'decision.applied':
      applyDecision(view, event.nonce, event.line);
      return;
    default:
      return; // votes and reports change nothing here
  }
}

function applyDecision(view: ProcessView, nonce: bigint, line: string): void {
  const decision = parseDecision(line);
  view.decisions = nonce;
  view.holding.set(subjectOf(decision.kind), { nonce, line, by: view.set });
  if (decision.kind === 'pause') view.paused = true;
  if (decision.kind === 'unpause') view.paused = false;
  if (decision.kind === 'rotate') {
    view.outgoing = view.set;
    view.set = setOf(decision);
    for (const withdrawal of view.open.values()) withdrawal.signatures.clear();
    view.proposals.clear();
  }
}

function setOf({ epoch, threshold, pauseThreshold, guardians, keys }: GuardianSet): GuardianSet {
  return { epoch, threshold, pauseThreshold, guardians, keys };
}
