/**
 * A vault on Bitcoin, as this guardian sees it for itself: what paid it, what it has, what it is asked to sign. Nothing is signed that this guardian
 * would not have built from its own coins and the withdrawals it knows, at a fee near its own estimate.
 */
import type { ScheduleEntry } from '@isthmus/ao';
import {
  bitcoinTermsOf,
  type BridgeEvent,
  type GuardianSet,
  type OpenProposal,
  type OpenWithdrawal,
  type ProcessView,
} from '@isthmus/bridge';
import {
  decodeProposal,
  encodeSignatures,
  isBitcoinAddress,
  parseAddress,
  ProposalMismatch,
  publicKeyOf,
  signBatch,
  type BitcoinNetwork,
  type ProposedBatch,
  hexOf,
} from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import type { Ledger } from '../../ledger.js';
import type { AnchorStanding, Asset, BoundWithdrawal, NamedSet, ProposalRefusal, ProposingHome } from '../home.js';
import type { Batches } from './batches.js';
import { factsOf, payoutFor } from './facts.js';
import type { Fees } from './fees.js';
import type { Planner } from './planner.js';
import type { Scanner } from './scanner.js';
import type { BitcoinStore } from './store.js';
import { places, type Place } from './tip.js';
import { sweepBlocks, Verifier } from './verifier.js';

export interface BitcoinHomeParts {
  network: BitcoinNetwork;
  asset: Asset;
  /** 32 bytes. */
  secret: Uint8Array;
  /** AO address of this guardian: whose key the set must name. */
  self: string;
  /** The most a transaction that pays nobody may cost, satoshis. */
  reserve: bigint;
  ledger: Ledger;
  store: BitcoinStore;
  batches: Batches;
  scanner: Scanner;
  planner: Planner;
  fees: Fees;
  log: Logger;
}

/** Where batches may begin, and what the vault can spare at each place. */
interface Standing {
  all: readonly Place[];
  spare: (place: Place) => bigint;
}

/** Proposals that may lie between one and a coin that is mined, more than any chain of them has. */
const MAX_DEEP = 64;

export class BitcoinHome implements ProposingHome {
  readonly custody = 'proposals';
  private readonly key: string;
  private learned: number | null = null;
  /** Output script of the vault of the set that decides, as far as the schedule was read. */
  private deciding: string | null = null;
  /** The coin that was last said to be stolen. */
  private stolen: string | null = null;
  private readonly verifier: Verifier;
  /** Of one view, until chain or schedule go on: what is signed or proposed together is held against the same. */
  private standing: { view: ProcessView; is: Promise<Standing> } | null = null;

  constructor(private readonly parts: BitcoinHomeParts) {
    this.key = publicKeyOf(parts.secret);
    this.verifier = new Verifier(parts);
  }

  get height(): bigint {
    return BigInt(this.parts.scanner.height);
  }

  get watched(): boolean {
    return this.parts.scanner.watched;
  }

  get lostDeposits(): number {
    return this.parts.scanner.lostDeposits;
  }

  /** @throws AgreementLost, BitcoinFinalityViolated */
  async watch(): Promise<void> {
    this.standing = null;
    await this.parts.scanner.watch();
    await this.parts.fees.look();
  }

  hasSeen(): boolean {
    return this.parts.scanner.hasSeenAll;
  }

  /** Nothing is safe in the hands of keys that were misused: then the vault counts for nothing, until other keys hold it. */
  async holdings(): Promise<bigint> {
    const { store, log } = this.parts;
    const last = await store.lastAnchor();
    const stolen = last && (await store.stolen(last.coin.vault));
    if (stolen && stolen.outpoint !== this.stolen)
      log.error(stolen, 'a coin of the vault is spent by what nobody proposed: hand the vault over to other keys');
    this.stolen = stolen?.outpoint ?? null;
    if (stolen) return 0n;
    const { scanner } = this.parts;
    return store.holdings(last?.coin.vault ?? null, scanner.height, scanner.finalHeight, scanner.terms.sweepMargin);
  }

  /** Any standard address of the network that is not the vault itself. */
  canPay(recipient: string): boolean {
    const { network, store } = this.parts;
    return isBitcoinAddress(recipient, network) && store.vault(hexOf(parseAddress(recipient, network).script)) === null;
  }

  vaultOf(_asset: Asset, set: GuardianSet): string | null {
    return this.parts.batches.lockOf(set)?.lock.address ?? null;
  }

  acceptsSet(_asset: Asset, { guardians, keys, threshold }: NamedSet): boolean {
    return keys.length === guardians.length && this.parts.batches.lockOf({ keys, threshold }) !== null;
  }

  /** @throws BridgeError `bad-terms` when the spawn names no terms of a home */
  async learn(_asset: Asset, entry: ScheduleEntry, events: readonly BridgeEvent[], view: ProcessView): Promise<void> {
    const { store, scanner, batches } = this.parts;
    this.standing = null;
    if (entry.nonce === 0) {
      scanner.begun(bitcoinTermsOf(entry.message.tags));
      this.deciding = batches.rowOf(view.set)?.script ?? null;
    }
    const reading = { ...this.parts, process: this.parts.asset.process, leastRefund: scanner.terms.leastRefund };
    const facts = factsOf(entry, events, view, reading);
    if (!facts) return;
    if (facts.vault) this.deciding = facts.vault.script;
    this.learned ??= await store.learned();
    if (entry.nonce <= this.learned) return;
    const { allSeen } = await store.learn(entry.nonce, facts);
    this.learned = entry.nonce;
    if (!allSeen) scanner.missed();
  }

  followed(): void {
    this.parts.scanner.followed(this.deciding);
  }

  /** An empty vault is in the hands of whoever decides: there is nothing to hand over. */
  async holder(_asset: Asset, view: ProcessView): Promise<'set' | 'outgoing' | null> {
    const { store, batches, scanner } = this.parts;
    if (!scanner.watched) return null;
    const last = await store.lastAnchor();
    if (!last) return 'set';
    const { vault } = last.coin;
    if (batches.rowOf(view.set)?.script === vault) return 'set';
    return view.outgoing && batches.rowOf(view.outgoing)?.script === vault ? 'outgoing' : null;
  }

  async propose(
    _asset: Asset,
    view: ProcessView,
    payable: readonly OpenWithdrawal[],
    isTurn: (anchor: string) => boolean,
    bound: readonly BoundWithdrawal[],
  ): Promise<string[]> {
    const { planner, batches, scanner } = this.parts;
    if (!this.hasSeen()) return [];
    const { all, spare } = await this.stands(view);
    const [first] = all;
    if (!first) return [];
    const lock = hexOf(first.coin.lock.script);
    const set = [view.set, view.outgoing].find((s) => s && batches.rowOf(s)?.script === lock);
    if (!set || !this.hasKey(set)) return [];
    const { epoch } = set;
    const { height, terms } = scanner;
    const situation = { view, epoch, places: all, height, spare, sweepBlocks: sweepBlocks(terms), isTurn };
    if (set === view.set) return planner.pay(situation, payable, bound);
    const to = batches.lockOf(view.set);
    return to ? planner.handOver(situation, to.lock) : [];
  }

  async sign(
    _asset: Asset,
    view: ProcessView,
    proposal: OpenProposal,
    paid: readonly OpenWithdrawal[],
  ): Promise<{ signatures: string } | { refused: ProposalRefusal }> {
    const set = [view.set, view.outgoing].find((s) => s?.epoch === proposal.epoch);
    if (!this.hasSeen()) return { refused: 'behind' };
    if (!set) return { refused: 'rotation' };
    if (!this.hasKey(set)) return { refused: 'other-key' };
    const proposed = await this.known(proposal);
    if (!proposed) return { refused: 'differs' };
    const { all, spare } = await this.stands(view);
    const place = all.find((p) => p.anchor === proposal.anchor);
    if (!place || paid.some((w) => place.paid.has(w.number))) return { refused: 'other-anchor' };
    if (hexOf(place.coin.lock.script) !== this.parts.batches.rowOf(set)?.script) return { refused: 'rotation' };
    const payouts = paid.map((w) => payoutFor(w, this.parts.network));
    const leaves = set !== view.set;
    if (leaves && payouts.length > 0) return { refused: 'rotation' };
    const next = leaves ? this.parts.batches.lockOf(view.set) : null;
    const made = await this.verifier.remake({ proposed, payouts, place, all, spare: spare(place), leaves, next });
    return made instanceof ProposalMismatch
      ? { refused: this.say(made, proposal) }
      : { signatures: encodeSignatures(signBatch(made, this.parts.secret)) };
  }

  async anchor(_asset: Asset, anchor: string): Promise<AnchorStanding> {
    const { store } = this.parts;
    let at = anchor;
    for (let deep = 0; deep < MAX_DEEP; deep += 1) {
      const place = await store.anchorPlace(at);
      // Used up by what does not lead to the anchor, if that is not it: then the anchor can never exist.
      if (place) return place === 'used' ? 'void' : 'open';
      const [txid = '', vout] = at.split(':');
      const made = vout === '0' ? await store.proposal(txid) : null;
      if (!made) return 'unsure';
      at = made.anchor;
    }
    return 'unsure';
  }

  async isOver(asset: Asset, anchor: string): Promise<boolean> {
    return (await this.anchor(asset, anchor)) === 'void';
  }

  private stands(view: ProcessView): Promise<Standing> {
    if (this.standing?.view === view) return this.standing.is;
    const is = this.stand(view);
    this.standing = { view, is };
    return is;
  }

  private async stand(view: ProcessView): Promise<Standing> {
    const all = await places(this.parts.store, this.parts.batches, view);
    return { all, spare: await this.spare(view, all) };
  }

  /**
   * What is nobody's, as far as configuration lets it be spent, after what transactions below a place cost. A deposit is there until its depositor has
   * taken it back: what gathers it is paid for while it can be saved.
   */
  private async spare(view: ProcessView, all: readonly Place[]): Promise<(place: Place) => bigint> {
    const { ledger, reserve, asset, store, scanner } = this.parts;
    const released = await ledger.releasedAmong(asset.process, [...view.open.keys()]);
    const open = [...view.open.values()].filter((w) => !released.has(w.number));
    const owed = open.reduce((sum, w) => sum + w.amount, view.minted - view.burned);
    const [first] = all;
    const vault = first ? hexOf(first.coin.lock.script) : null;
    // What is spent is counted until that is final, and what spending it cost is gone from its first block on.
    const surplus = (await store.settled(vault, scanner.finalHeight)) - owed - (first?.costs ?? 0n);
    return (place) => {
      const below = all.slice(0, all.indexOf(place));
      const left = below.reduce(
        (sum, { signed }) => sum - (signed?.row.payouts.length === 0 ? signed.batch.fee : 0n),
        surplus,
      );
      return left < 0n ? 0n : left < reserve ? left : reserve;
    };
  }

  /** Whether the set names this guardian's own key where it names this guardian. */
  private hasKey({ guardians, keys }: GuardianSet): boolean {
    const { self, log } = this.parts;
    const index = guardians.findIndex((g) => g === self);
    if (index < 0) return false;
    const named = keys[index];
    if (named !== this.key)
      log.error({ named, own: this.key }, 'the set names another key for this guardian: correct keyFile of the home');
    return named === this.key;
  }

  /** What is proposed, if its transaction does what its line says. */
  private async known(proposal: OpenProposal): Promise<ProposedBatch | null> {
    try {
      const proposed = decodeProposal(proposal);
      return (await this.parts.store.isKept(proposed.txid, proposal.id)) ? proposed : null;
    } catch (error) {
      if (error instanceof ProposalMismatch) return null;
      throw error;
    }
  }

  private say({ code, message }: ProposalMismatch, { id }: OpenProposal): ProposalRefusal {
    this.parts.log.info({ proposal: id, why: message }, 'a proposal is none of ours');
    return code === 'malformed' ? 'differs' : code;
  }
}
