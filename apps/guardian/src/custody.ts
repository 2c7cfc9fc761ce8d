/** How one asset's vault is held, as the round uses it: what the vault says for itself, and how its releases are signed. */
import type { Item, Tag } from '@isthmus/ao';
import type { Decision, OpenWithdrawal, ProcessView } from '@isthmus/bridge';
import type { FollowedAsset } from './followed-asset.js';
import type { ProposalRefusal } from './homes/home.js';

/** Why a withdrawal is not signed now. */
export type SignRefusal =
  | 'paused'
  | 'not-in-set'
  | 'behind'
  | 'rotation'
  /** The vault has less than is owed. */
  | 'books'
  | 'already-released'
  | 'bad-withdrawal'
  /** It is above what is signed before it can be read on Arweave. */
  | 'settlement'
  | 'unverified-sender'
  /** What others proposed for it is none this guardian would build. */
  | ProposalRefusal;

/** Makes and signs a message of this guardian's. */
export type Write = (process: string, action: string, data: string, more?: readonly Tag[]) => Promise<Item>;

export interface Custody {
  /** Whether the vault is as a decision wants it. @throws VaultDiverged */
  isAs(decision: Decision, one: FollowedAsset, view: ProcessView): Promise<boolean>;
  /** Whether the vault could ever be as a decision wants it: what could not be is not voted for. */
  accepts(decision: Decision, one: FollowedAsset): boolean;
  /** Whether this may be voted on now: a rotation waits for the one before it. */
  mayDecide(decision: Decision, one: FollowedAsset, view: ProcessView): Promise<boolean>;
  /** Signs for the vault what was decided on AO and does not hold there yet. @throws VaultDiverged, RotationConflict */
  carry(one: FollowedAsset, view: ProcessView): Promise<void>;
  /** Whether the vault itself is paused; always as AO has it where it cannot be by itself. */
  isPaused(view: ProcessView): Promise<boolean>;
  /** Whether the vault is in the hands of the set that decides on AO. */
  isHeldBySet(one: FollowedAsset, view: ProcessView): Promise<boolean>;
  /** Open withdrawals this guardian may still have to sign. Their `doubled` are never followed by a second signature. */
  unsigned(one: FollowedAsset, view: ProcessView): Promise<{ open: OpenWithdrawal[]; doubled: Error[] }>;
  /** Signs for these withdrawals, which are sound, and may be none. Says why it does not of those it does not. */
  sign(one: FollowedAsset, view: ProcessView, payable: readonly OpenWithdrawal[]): Promise<Map<string, SignRefusal>>;
}
