/**
 * A vault on Bitcoin, as this guardian sees it for itself: what paid it, what it has, what it is asked to sign. Nothing is signed that this guardian
 * would not have built from its own coins and the withdrawals it knows, at a fee near its own estimate.
 */
import type { ScheduleEntry } from '@isthmus/ao';
import {
  bitcoinTermsOf,
  BLOCKS_APART,
  type BridgeEvent,
  type GuardianSet,
  type OpenProposal,
  type OpenWithdrawal,
  type ProcessView,
} from '@isthmus/bridge';
import {
  BitcoinError,
  decodeProposal,
  encodeSignatures,
  isBitcoinAddress,
  MIN_CHANGE,
  outpointOf,
  parseAddress,
  ProposalMismatch,
  publicKeyOf,
  rebuild,
  signBatch,
  type Batch,
  type BitcoinNetwork,
  type Payout,
  type ProposedBatch,
  type RebuildFacts,
  type VaultCoin,
  type VaultKeys,
  hexOf,
} from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import type { Ledger } from '../../ledger.js';
import type { AnchorStanding, Asset, BoundWithdrawal, NamedSet, ProposalRefusal, ProposingHome } from '../home.js';
import type { Batches } from './batches.js';
import { factsOf, payoutFor } from './facts.js';
import type { Fees } from './fees.js';
import type { Planner, Situation } from './planner.js';
import type { Scanner } from './scanner.js';
import type { BitcoinStore, CoinRow } from './store.js';
import { isDue, planHandOver, sweepLimit, worthwhile } from './sweep.js';
import { places, type Place } from './tip.js';

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

  constructor(private readonly parts: BitcoinHomeParts) {
    this.key = publicKeyOf(parts.secret);
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
    const { planner, batches } = this.parts;
    if (!this.hasSeen()) return [];
    const all = await this.places(view);
    const [first] = all;
    if (!first) return [];
    const lock = hexOf(first.coin.lock.script);
    const set = [view.set, view.outgoing].find((s) => s && batches.rowOf(s)?.script === lock);
    if (!set || !this.hasKey(set)) return [];
    const situation = await this.situation(view, set, all, isTurn);
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
    const all = await this.places(view);
    const place = all.find((p) => p.anchor === proposal.anchor);
    if (!place || paid.some((w) => place.paid.has(w.number))) return { refused: 'other-anchor' };
    if (hexOf(place.coin.lock.script) !== this.parts.batches.rowOf(set)?.script) return { refused: 'rotation' };
    const payouts = paid.map((w) => payoutFor(w, this.parts.network));
    const leaves = set !== view.set;
    if (leaves && payouts.length > 0) return { refused: 'rotation' };
    const made = await this.remake(view, set, all, place, proposed, payouts);
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

  private places(view: ProcessView): Promise<Place[]> {
    return places(this.parts.store, this.parts.batches, view);
  }

  private async situation(
    view: ProcessView,
    { epoch }: GuardianSet,
    all: readonly Place[],
    isTurn: (anchor: string) => boolean,
  ): Promise<Situation> {
    const { scanner } = this.parts;
    const spare = await this.spare(view, all);
    return { view, epoch, places: all, height: scanner.height, spare, sweepBlocks: this.sweepBlocks, isTurn };
  }

  /** Deposits are gathered twice as early as they stop being credited. */
  private get sweepBlocks(): number {
    return 2 * this.parts.scanner.terms.sweepMargin;
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

  private async remake(
    view: ProcessView,
    set: GuardianSet,
    all: readonly Place[],
    place: Place,
    proposed: ProposedBatch,
    payouts: readonly Payout[],
  ): Promise<Batch | ProposalMismatch> {
    const { store, batches, fees } = this.parts;
    const { keys, lock } = batches.vaultAt(hexOf(place.coin.lock.script)); // the set's, as was seen before
    const leaves = set !== view.set;
    const next = leaves ? batches.lockOf(view.set) : null;
    const rows = (await store.coinsAt(proposed.spends.slice(1))).filter((row) => mayBeSpent(row, place));
    const coins = new Map([place.coin, ...(await batches.coins(rows))].map((c) => [outpointOf(c), c]));
    const spare = (await this.spare(view, all))(place);
    const gathered = [...coins.values()].slice(1);
    const isSweep = !leaves && gathered.length > 0;
    const wrong = leaves
      ? await this.leavesBehind(proposed, place, gathered, { vault: keys, reserve: spare })
      : payouts.length > 0
        ? this.wastes(proposed, payouts, coins, rows)
        : isSweep
          ? this.isIdle(gathered, rows, proposed, keys)
          : this.liftsNothing(place, all, proposed);
    if (wrong) return wrong;
    const stays = hexOf(proposed.outputs[0]?.script ?? new Uint8Array()) === hexOf(lock.script);
    const facts: RebuildFacts = {
      vault: keys,
      changeTo: next && !stays ? next.lock : lock,
      coins,
      payouts,
      rates: fees.bounds,
      reserve: isSweep ? sweepLimit(gathered, spare) : spare,
      ...(place.below ? { lift: { vsize: place.below.vsize, fee: place.below.fee } } : {}),
    };
    try {
      return rebuild(proposed, facts);
    } catch (error) {
      if (error instanceof ProposalMismatch) return error;
      throw error;
    }
  }

  /** Who hands the vault over leaves nothing behind that was credited and is worth its input; while that is too much for one transaction, it gathers. */
  private async leavesBehind(
    proposed: ProposedBatch,
    place: Place,
    gathered: readonly VaultCoin[],
    facts: Pick<RebuildFacts, 'vault' | 'reserve'>,
  ): Promise<ProposalMismatch | null> {
    const { store, batches } = this.parts;
    const { coin: anchor, unconfirmed, spent } = place;
    const own = hexOf(anchor.lock.script);
    const rows = (await store.leftIn(own)).filter((r) => r.state === 'credited' && !spent.has(outpointOf(r)));
    const { feeRate, spends } = proposed;
    const credited = (await batches.coins(rows)).filter((c) => outpointOf(c) !== place.anchor);
    const must = worthwhile(credited, facts.vault, feeRate);
    const stays = hexOf(proposed.outputs[0]?.script ?? new Uint8Array()) === own;
    const taken = new Set(spends);
    if (worthwhile(gathered, facts.vault, feeRate).length < gathered.length)
      return new ProposalMismatch('coins', 'It takes what is worth less than it costs.');
    if (!stays && must.every((c) => taken.has(outpointOf(c)))) return null;
    if (stays) {
      const plan = { vault: facts.vault, anchor, unconfirmed, feeRate };
      const locks = { from: anchor.lock, to: anchor.lock };
      const whole = planHandOver(plan, locks, { credited, others: [] }, facts.reserve);
      const isWhole = !(whole instanceof BitcoinError) && whole.inputs.length > must.length;
      const gathers = spends.length > 1 && spends.slice(1).every((s) => must.some((c) => outpointOf(c) === s));
      if (gathers && !isWhole) return null;
    }
    return new ProposalMismatch('coins', 'A vault is handed over with all that is in it.');
  }

  /** Coins nobody needs cost those who are paid, and one that its depositor may take back before it is mined makes all of it void. */
  private wastes(
    { spends }: ProposedBatch,
    payouts: readonly Payout[],
    coins: ReadonlyMap<string, VaultCoin>,
    rows: readonly CoinRow[],
  ): ProposalMismatch | null {
    const { scanner } = this.parts;
    if (rows.some((row) => isDue(row, scanner.height, scanner.terms.sweepMargin)))
      return new ProposalMismatch('coins', 'It spends a deposit whose refund opens soon.');
    const taken = spends.flatMap((s) => coins.get(s) ?? []);
    const needed = payouts.reduce((sum, p) => sum + p.amount, MIN_CHANGE);
    const sum = taken.reduce((all, c) => all + c.value, 0n);
    const spares = taken.slice(1).some((c) => sum - c.value >= needed);
    return spares ? new ProposalMismatch('coins', 'It spends a coin it does not need.') : null;
  }

  /** Why a transaction that only moves coins gathers one that may stay where it is: the vault pays for it. */
  private isIdle(
    gathered: readonly VaultCoin[],
    rows: readonly CoinRow[],
    { feeRate }: ProposedBatch,
    keys: VaultKeys,
  ): ProposalMismatch | null {
    const { height } = this.parts.scanner;
    const allDue = rows.every((row) => isDue(row, height, this.sweepBlocks + BLOCKS_APART));
    if (allDue && worthwhile(gathered, keys, feeRate).length === gathered.length) return null;
    return new ProposalMismatch('coins', 'It gathers what is not due, or is worth less than it costs.');
  }

  private liftsNothing(place: Place, all: readonly Place[], { feeRate }: ProposedBatch): ProposalMismatch | null {
    const under = all[all.indexOf(place) - 1]?.signed;
    if (under && this.parts.fees.isLow(under.feeRate) && feeRate > under.feeRate) return null;
    return new ProposalMismatch('coins', 'It pays nobody, gathers nothing that is due, and lifts nothing.');
  }

  private say({ code, message }: ProposalMismatch, { id }: OpenProposal): ProposalRefusal {
    this.parts.log.info({ proposal: id, why: message }, 'a proposal is none of ours');
    return code === 'malformed' ? 'differs' : code;
  }
}

/** What is there for good, not spent by what lies below, and either credited or paid to the vault itself for nobody. */
function mayBeSpent(row: CoinRow, place: Place): boolean {
  const isOurs = row.state === 'credited' || (row.state === 'refused' && row.kind === 'memo');
  const isFree = row.spent === null && !place.spent.has(outpointOf(row));
  return isOurs && isFree && row.vault === hexOf(place.coin.lock.script);
}
