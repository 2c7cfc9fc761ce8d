/** The life of a transfer as everyone may see it: one state, one typed reason while it waits, an estimate, and who may follow whom. */
import { BridgeError } from './errors.js';

export type Direction = 'deposit' | 'withdrawal';

/** Deposit: seen on the chain, waiting for finality, waiting for guardians, minted; or dropped by a reorg, or refused with a reason. */
export type DepositState = 'seen' | 'confirming' | 'attesting' | 'minted' | 'orphaned' | 'refused';
/** Withdrawal: burned and queued, guardians signing, enough signatures, sent to the chain, final; `held` is final with the money claimable at the vault. */
export type WithdrawalState = 'queued' | 'signing' | 'ready' | 'submitted' | 'released' | 'held';
export type TransferState = DepositState | WithdrawalState;

/** Why a transfer that is not done waits. */
export type WaitReason =
  | 'confirmations'
  | 'attestations'
  | 'conflict'
  | 'signatures'
  | 'rotation'
  /** Guardians sign it when it is on Arweave, as their policy for large amounts has it. */
  | 'settlement'
  | 'paused'
  | 'limit'
  | 'fee-too-low'
  /** Whom it names cannot be paid now, on a chain where payees have accounts. */
  | 'recipient'
  | 'relayer'
  | 'finality'
  | 'release-attestations'
  | 'rpc-agreement'
  | 'reorg';

const NEXT: { readonly [S in TransferState]: readonly TransferState[] } = {
  seen: ['confirming', 'attesting', 'minted', 'orphaned', 'refused'],
  confirming: ['attesting', 'minted', 'orphaned', 'refused'],
  // Few confirmations are enough for little money: the chain may still drop it.
  attesting: ['minted', 'refused', 'orphaned'],
  minted: [],
  // A deposit a reorg dropped may be included again.
  orphaned: ['seen', 'confirming', 'attesting', 'minted'],
  // As one gateway saw it, by its own configuration: what guardians mint all the same is minted.
  refused: ['minted'],
  queued: ['signing', 'ready', 'submitted', 'released', 'held'],
  signing: ['queued', 'ready', 'submitted', 'released', 'held'],
  // Back to signing: a rotation dropped the signatures of the old set.
  ready: ['signing', 'queued', 'submitted', 'released', 'held'],
  submitted: ['ready', 'signing', 'queued', 'released', 'held'],
  released: [],
  held: [],
};

/** Whether nothing more will happen by itself. */
export function isFinal(state: TransferState): boolean {
  return NEXT[state].length === 0 || state === 'refused';
}

/** Whether `to` may follow `from`. */
export function mayFollow(from: TransferState, to: TransferState): boolean {
  return from === to || NEXT[from].includes(to);
}

/** @throws BridgeError `bad-transition` */
export function assertFollows(from: TransferState, to: TransferState): void {
  if (!mayFollow(from, to)) throw new BridgeError('bad-transition', `A transfer that is ${from} never becomes ${to}.`);
}
