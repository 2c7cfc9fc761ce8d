/**
 * The port to a home chain: what a guardian must see of it for itself, and what it signs for it. Two kinds of custody: a contract that knows
 * the guardians and refuses a second payment by itself, and a vault that only their keys hold, whose releases are proposed.
 */
import type { ScheduleEntry } from '@isthmus/ao';
import type { BridgeEvent, Decision, GuardianSet, OpenProposal, OpenWithdrawal, ProcessView } from '@isthmus/bridge';
import type { Logger } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import type { Hex, PrivateKeyAccount } from 'viem';
import type { Ledger } from '../ledger.js';

/** An asset locked there, and its token process on AO. */
export interface Asset {
  /** CAIP-19 */
  id: string;
  process: string;
}

/** A home chain, as this guardian sees it through its own sources. */
interface HomeView {
  /** The newest final height (block or slot) whose events are known. */
  readonly height: bigint;
  /** Whether the last look at the chain reached its final head, and nothing was wrong with it. */
  readonly watched: boolean;
  /** Takes what is final; what it found is in the ledger afterwards. @throws with a typed code what keeps it from it */
  watch(): Promise<void>;
  /** Deposits that were minted and that the chain has taken back for good; only where what is final is a matter of how deep it lies. */
  readonly lostDeposits?: number;
  /** Whether every deposit the process has minted is known here, or lost for good. */
  hasSeen(view: ProcessView): boolean;
  /** What the vault has for an asset in final state, base units. */
  holdings(asset: Asset): Promise<bigint>;
  /** Whether the vault could pay an asset there. */
  canPay(recipient: string, asset: Asset): boolean;
  /** The vault a process for this asset names in its spawn, with the set it was spawned with; null when that could hold none. */
  vaultOf(asset: Asset, set: GuardianSet): string | null;
}

/** A vault that is a contract: it knows the guardian set, counts, limits and pauses for itself. */
export interface ContractHome extends HomeView {
  readonly custody: 'contract';
  epoch(): Promise<bigint>;
  paused(): Promise<boolean>;
  /** How many decisions it has carried out. */
  decisions(): Promise<bigint>;
  /** Whether it is already as a decision wants it. @throws VaultDiverged */
  isAs(decision: Decision, asset: Asset): Promise<boolean>;
  /** What a release's signature is over; equal digests mean equal content. */
  releaseDigest(asset: Asset, view: ProcessView, withdrawal: OpenWithdrawal): Hex;
  /** A release signed and packed with the guardian's index. */
  signRelease(
    account: PrivateKeyAccount,
    index: number,
    asset: Asset,
    view: ProcessView,
    withdrawal: OpenWithdrawal,
  ): Promise<Hex>;
  /** A decision signed for the vault, as it stands there now. */
  signDecision(
    account: PrivateKeyAccount,
    index: number,
    decision: Decision,
    asset: Asset,
    place: { epoch: bigint; nonce: bigint },
  ): Promise<Hex>;
}

/**
 * What becomes of an anchor: `open`, a transaction may still use it up; `void`, all that could is decided, in final state, and what the ledger
 * does not show as released is not paid by it; `unsure`, it is not known here yet.
 */
export type AnchorStanding = 'open' | 'void' | 'unsure';

/** A withdrawal that this guardian has signed under an anchor which is still open: it is paid over that or not at all. */
export interface BoundWithdrawal {
  withdrawal: OpenWithdrawal;
  anchor: string;
}

/** Why a guardian does not sign a proposal. */
export type ProposalRefusal =
  | 'behind'
  | 'other-anchor'
  | 'differs'
  | 'fee'
  | 'coins'
  | 'rotation'
  | 'not-payable'
  /** It names other guardians to sign it. */
  | 'not-named'
  /** The set names another key for this guardian than the one it has. */
  | 'other-key';

/** Guardians, their keys on the chain, and how many of them sign. */
export type NamedSet = Pick<GuardianSet, 'guardians' | 'keys' | 'threshold'>;

/** A vault that guardians hold by their keys on the chain: M of them sign each transaction, which only they can refuse. */
export interface ProposingHome extends HomeView {
  readonly custody: 'proposals';
  /** Takes what a slot of the asset's schedule says about the chain (a deposit address, a proposal), before the view changes by its events. Again after a restart: the same twice changes nothing. */
  learn(asset: Asset, entry: ScheduleEntry, events: readonly BridgeEvent[], view: ProcessView): Promise<void>;
  /** The asset's schedule was followed to its end just now. @throws with a typed code when it may not be acted on */
  followed(asset: Asset): void;
  /** Whether these could hold the vault: nobody votes for a rotation to those who could not. */
  acceptsSet(asset: Asset, set: NamedSet): boolean;
  /** The set whose keys hold the vault in final state: the view's own, the outgoing one, or neither (null). */
  holder(asset: Asset, view: ProcessView): Promise<'set' | 'outgoing' | null>;
  /**
   * The proposals this guardian would make now, as lines: payments of some of these withdrawals, a higher fee for what is stuck, what gathers
   * coins or hands the vault over. None when others' serve. `isTurn` says for an anchor whether it is this guardian's turn to propose. What is `bound`
   * may be proposed over its own anchor again, when what was signed there can be no more.
   */
  propose(
    asset: Asset,
    view: ProcessView,
    payable: readonly OpenWithdrawal[],
    isTurn: (anchor: string) => boolean,
    bound: readonly BoundWithdrawal[],
  ): Promise<string[]>;
  /** Rebuilds a proposal's transaction from this guardian's own facts and signs it, the signatures as its line has them; or why not. */
  sign(
    asset: Asset,
    view: ProcessView,
    proposal: OpenProposal,
    paid: readonly OpenWithdrawal[],
  ): Promise<{ signatures: string } | { refused: ProposalRefusal }>;
  /** What has become of an anchor, by final state. */
  anchor(asset: Asset, anchor: string): Promise<AnchorStanding>;
  /** Whether nothing will be signed over an anchor that a proposal names: by what is known here, for one guardian may name anything. */
  isOver(asset: Asset, anchor: string): Promise<boolean>;
}

export type Home = ContractHome | ProposingHome;

/** What all homes of a guardian share. */
export interface HomeSurroundings {
  ledger: Ledger;
  /** The ledger's: a home may keep more than that does. */
  database: DataSource;
  /** AO address of this guardian. */
  self: string;
  log: Logger;
  /** Milliseconds of a clock that never goes back. */
  now?: (() => number) | undefined;
}

export interface OpenedHome {
  home: Home;
  /** Calls made to the chain's sources since the start. */
  calls: () => number;
}
