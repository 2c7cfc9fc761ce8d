/**
 * Solana as the home chain of a guardian's assets: each in a token account that an SPL multisig of the guardians owns. What is final counts, and
 * a transaction is signed only when this guardian has made the same bytes from what it knows itself.
 */
import type { ScheduleEntry } from '@isthmus/ao';
import {
  encodeProposalLine,
  isRecipientOn,
  type BridgeEvent,
  type GuardianSet,
  type OpenProposal,
  type OpenWithdrawal,
  type ProcessView,
} from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import { mintOf, type SolanaHomeConfig } from '../../config.js';
import type { Ledger } from '../../ledger.js';
import type { AnchorStanding, Asset, NamedSet, ProposalRefusal, ProposingHome } from '../home.js';
import { Nonces } from './nonces.js';
import { Payments } from './payments.js';
import { Prices } from './prices.js';
import { anySigners, byNonce, lineFor, liveProposals, usableNonce, usedUp, type Place } from './proposals.js';
import { SolanaVault } from './solana-vault.js';
import type { SolanaStore } from './store.js';

/** The set names another key for this guardian than its key file holds: nothing it signs would count. */
export class HomeKeyDiffers extends Error {
  readonly code = 'home-key';
  constructor(chain: string, expected: string, is: string) {
    super(`This guardian's key on ${chain} is ${is}, and the guardian set names ${expected} for it: correct keyFile.`);
    this.name = 'HomeKeyDiffers';
  }
}

export interface SolanaHomeParts {
  config: SolanaHomeConfig;
  pool: solana.SolanaPool;
  ledger: Ledger;
  store: SolanaStore;
  /** AO address of this guardian. */
  self: string;
  /** 32 bytes of its key on Solana. */
  seed: Uint8Array;
  log: Logger;
  /** Milliseconds of a clock that never goes back. */
  now?: (() => number) | undefined;
}

export class SolanaHome implements ProposingHome {
  readonly custody = 'proposals';
  private readonly vaults: ReadonlyMap<string, SolanaVault>;
  private readonly nonces: Nonces;
  private readonly payments: Payments;
  private readonly prices: Prices;
  /** This guardian's key on Solana. */
  private readonly key: string;
  private readonly views = new Map<string, ProcessView>();
  private complete = false;

  constructor(private readonly parts: SolanaHomeParts) {
    const { config, pool, seed } = parts;
    const { chain, assets } = config;
    this.key = solana.publicKeyOf(seed);
    this.nonces = new Nonces(pool, chain.nonces);
    this.payments = new Payments(parts);
    this.prices = new Prices(pool, chain.maxPrice);
    this.vaults = new Map(assets.map((a) => [a.process, new SolanaVault({ ...parts, chain: chain.id, asset: a })]));
  }

  /** The newest final slot up to which the history of each vault is known. */
  get height(): bigint {
    const slots = [...this.vaults.values()].map((v) => v.watchedTo);
    return BigInt(Math.min(...slots));
  }

  get watched(): boolean {
    return this.complete;
  }

  /** Reads the nonces, and then each vault's history: so a nonce that is used up was so within the history. */
  async watch(): Promise<void> {
    this.complete = false;
    await this.parts.pool.finalized();
    await this.nonces.read();
    const failures: unknown[] = [];
    for (const vault of this.vaults.values()) await vault.watch().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
    this.complete = true;
  }

  hasSeen(view: ProcessView): boolean {
    const [process] = [...this.views].find(([, known]) => known === view) ?? [''];
    return this.complete && this.vaults.get(process)?.hasSeenAll === true;
  }

  /** What the vault has by the history that is known: of the same moment as the payments that are known. */
  holdings(asset: Asset): Promise<bigint> {
    return Promise.resolve(this.vaultFor(asset).held);
  }

  canPay(recipient: string, asset: Asset): boolean {
    const { chain } = this.parts.config;
    const own = [this.vaultOf(asset), mintOf(asset.id) ?? solana.NATIVE];
    return isRecipientOn(chain.id, recipient) && !own.includes(recipient);
  }

  vaultOf(asset: Asset): string {
    return this.assetOf(asset).vault;
  }

  acceptsSet(_asset: Asset, { guardians, keys, threshold }: NamedSet): boolean {
    const { relayer } = this.parts.config.chain;
    return keys.length === guardians.length && solana.canHold({ guardians: keys, threshold }, relayer);
  }

  async learn(asset: Asset, entry: ScheduleEntry, events: readonly BridgeEvent[], view: ProcessView): Promise<void> {
    this.views.set(asset.process, view);
    await this.vaultFor(asset).learn(entry, events, view);
  }

  /** @throws HomeKeyDiffers */
  followed(asset: Asset): void {
    const { set } = this.views.get(asset.process) ?? {};
    const index = set?.guardians.findIndex((g) => g === this.parts.self) ?? -1;
    const named = set?.keys[index];
    if (named !== undefined && named !== this.key)
      throw new HomeKeyDiffers(this.parts.config.chain.id, named, this.key);
  }

  holder(asset: Asset, view: ProcessView): Promise<'set' | 'outgoing' | null> {
    return Promise.resolve(this.holderNow(asset, view));
  }

  async propose(
    asset: Asset,
    view: ProcessView,
    payable: readonly OpenWithdrawal[],
    isTurn: (anchor: string) => boolean,
  ): Promise<string[]> {
    const place = this.placeOf(asset);
    const holder = this.holderNow(asset, view);
    if (!this.complete || !place || holder === null || this.vaultFor(asset).state?.frozen) return [];
    const set = holder === 'set' ? view.set : view.outgoing;
    const index = place.custody.guardians.indexOf(this.key);
    if (!set || index < 0) return [];
    const author = { self: this.parts.self, index };
    if (holder === 'outgoing') return this.proposeHandOver(place, view, set, author, isTurn);
    return this.proposePayments(asset, place, view, author, payable, isTurn);
  }

  async sign(
    asset: Asset,
    view: ProcessView,
    proposal: OpenProposal,
    paid: readonly OpenWithdrawal[],
  ): Promise<{ signatures: string } | { refused: ProposalRefusal }> {
    const place = this.placeOf(asset);
    if (!this.complete || !place) return { refused: 'behind' };
    try {
      const withdrawals = new Map(paid.map((w) => [w.number, w]));
      const plan = solana.planOf(solana.decodeProposal(proposal), { ...place, withdrawals });
      const message = solana.planMessage(plan);
      const index = place.custody.guardians.indexOf(this.key);
      if (!plan.signers.includes(index)) return { refused: 'not-named' };
      const refused =
        this.nonceFlaw(asset, plan) ??
        (await this.priceFlaw(plan)) ??
        ('to' in plan
          ? await this.handOverFlaw(asset, view, proposal, plan)
          : await this.paymentsFlaw(asset, view, proposal, plan, withdrawals));
      return refused ? { refused } : { signatures: solana.signPart(message, index, this.parts.seed) };
    } catch (error) {
      if (error instanceof solana.BadPlan) return { refused: 'differs' };
      throw error;
    }
  }

  /** What is no nonce was never one: nothing can be signed over it. */
  async anchor(asset: Asset, anchor: string): Promise<AnchorStanding> {
    const nonce = nonceNamed(anchor);
    if (!nonce) return 'void';
    const { account, value } = nonce;
    const read = await this.nonces.of(account);
    if (read.value === value) return 'open';
    return this.complete && this.vaultFor(asset).watchedTo >= read.slot ? 'void' : 'unsure';
  }

  /** The sources are not asked: who names an account they never agree on, or the largest there is, would keep all others waiting. */
  isOver(_asset: Asset, anchor: string): Promise<boolean> {
    const nonce = nonceNamed(anchor);
    const isOpen =
      nonce !== null &&
      this.nonces.accounts.includes(nonce.account) &&
      this.nonces.at(nonce.account)?.value === nonce.value;
    return Promise.resolve(!isOpen);
  }

  // --- proposing

  private async proposeHandOver(
    place: Place,
    view: ProcessView,
    set: GuardianSet,
    author: { self: string; index: number },
    isTurn: (anchor: string) => boolean,
  ): Promise<string[]> {
    const { relayer, vault, nonces } = place;
    const to = multisigOf(view.set, relayer, vault);
    if (!(await this.isMultisigOf(to, view.set, vault.program))) {
      this.parts.log.warn(
        { process: place.process, multisig: to },
        'the vault is handed over when the relayer has made the multisig of the next set',
      );
      return [];
    }
    const usable = nonces.accounts.flatMap((account) => usableNonce(place, account) ?? []);
    const nonce = usable.find((n) => n.account === nonces.accountFor(place.process, set.epoch)) ?? usable[0];
    if (!nonce || !isTurn(solana.anchorOf(nonce))) return [];
    const live = liveProposals(place, view, set);
    const price = await this.price(place);
    const fields = lineFor(place, set, author, { nonce, price, wanted: { to }, live });
    return fields ? [encodeProposalLine({ epoch: set.epoch, ...fields })] : [];
  }

  private async proposePayments(
    asset: Asset,
    place: Place,
    view: ProcessView,
    author: { self: string; index: number },
    payable: readonly OpenWithdrawal[],
    isTurn: (anchor: string) => boolean,
  ): Promise<string[]> {
    const { set } = view;
    this.payments.cameToNothing(place.process, usedUp(place, view, set));
    this.payments.keepOpen(place.process, view.open);
    const live = liveProposals(place, view, set);
    const lines: string[] = [];
    let price: bigint | null = null;
    const own = live.filter(({ signed }) => signed.has(author.index));
    for (const [account, withdrawals] of byNonce(place, view, payable, own)) {
      const nonce = usableNonce(place, account);
      if (!nonce) this.parts.log.warn({ nonce: account }, 'withdrawals wait: this is no nonce of the relayer’s');
      if (!nonce || !isTurn(solana.anchorOf(nonce))) continue;
      price ??= await this.price(place);
      const { custody, vault, relayer } = place;
      const plan = { vault, custody, signers: anySigners(custody), relayer, nonce, price };
      const payouts = await this.payments.over(place, plan, this.assetOf(asset).relayFee, withdrawals);
      if (payouts.length === 0) continue;
      const fields = lineFor(place, set, author, { nonce, price, wanted: { payouts }, live });
      if (fields) lines.push(encodeProposalLine({ epoch: set.epoch, ...fields }));
    }
    return lines;
  }

  private price({ vault, relayer }: Place): Promise<bigint> {
    return this.prices.fair(vault.address, relayer);
  }

  // --- checking

  /** The nonce must be as it is, by a state that lies within the vault's history as it is known here: what is not in that was not paid before. */
  private nonceFlaw(asset: Asset, { nonce, relayer: by }: solana.TransactionPlan): ProposalRefusal | null {
    const { relayer } = this.parts.config.chain;
    const read = this.nonces.accounts.includes(nonce.account) ? this.nonces.at(nonce.account) : null;
    if (!read || by !== relayer) return 'differs';
    if (read.value !== nonce.value || read.authority !== relayer) return 'coins';
    return this.vaultFor(asset).watchedTo < read.slot ? 'behind' : null;
  }

  private async priceFlaw({ vault, relayer, price }: solana.TransactionPlan): Promise<ProposalRefusal | null> {
    return (await this.prices.isFair(price, vault.address, relayer)) ? null : 'fee';
  }

  private async handOverFlaw(
    asset: Asset,
    view: ProcessView,
    { epoch }: OpenProposal,
    { to, vault, relayer }: solana.HandOverPlan,
  ): Promise<ProposalRefusal | null> {
    const leaves = this.holderNow(asset, view) === 'outgoing' && epoch === view.outgoing?.epoch;
    // No other account is read: one that sources never agree on, or the largest there is, would keep this guardian from signing.
    const isNext = to === multisigOf(view.set, relayer, vault);
    return leaves && isNext && (await this.isMultisigOf(to, view.set, vault.program)) ? null : 'rotation';
  }

  private async paymentsFlaw(
    asset: Asset,
    view: ProcessView,
    { epoch }: OpenProposal,
    plan: solana.ReleasePlan,
    paid: ReadonlyMap<bigint, OpenWithdrawal>,
  ): Promise<ProposalRefusal | null> {
    if (this.holderNow(asset, view) !== 'set' || epoch !== view.set.epoch) return 'rotation';
    const { process, relayFee } = this.assetOf(asset);
    const { payouts, nonce } = plan;
    if (payouts.some((p) => this.nonces.accountFor(process, p.number) !== nonce.account)) return 'other-anchor';
    if (payouts.some((p) => p.fee > relayFee || p.fee > (paid.get(p.number)?.maxFee ?? 0n))) return 'fee';
    const before = await this.parts.store.paidAmong(
      process,
      payouts.map((p) => p.number),
    );
    return before.size > 0 || (await this.payments.unpayableIn(plan)) !== null ? 'not-payable' : null;
  }

  private async isMultisigOf(address: string, set: GuardianSet, program: string): Promise<boolean> {
    const [account = null] = await this.parts.pool.accounts([address]);
    const found = solana.custodyOf(address, account, program);
    return found !== null && isHeldBy(found, set);
  }

  private holderNow(asset: Asset, view: ProcessView): 'set' | 'outgoing' | null {
    const custody = this.vaultFor(asset).state?.custody;
    if (!custody) return null;
    if (isHeldBy(custody, view.set)) return 'set';
    return view.outgoing && isHeldBy(custody, view.outgoing) ? 'outgoing' : null;
  }

  // --- what it knows

  private placeOf(asset: Asset): Place | null {
    const { state } = this.vaultFor(asset);
    if (!state?.custody) return null;
    const { process } = asset;
    const { relayer } = this.parts.config.chain;
    return { process, vault: state.vault, custody: state.custody, relayer, nonces: this.nonces };
  }

  private vaultFor({ id, process }: Asset): SolanaVault {
    const vault = this.vaults.get(process);
    if (!vault) throw new Error(`${id} is not locked on ${this.parts.config.chain.id}.`);
    return vault;
  }

  private assetOf({ id, process }: Asset): SolanaHomeConfig['assets'][number] {
    const asset = this.parts.config.assets.find((a) => a.process === process);
    if (!asset) throw new Error(`${id} is not locked on ${this.parts.config.chain.id}.`);
    return asset;
  }
}

function nonceNamed(anchor: string): solana.Nonce | null {
  try {
    return solana.nonceOf(anchor);
  } catch (error) {
    if (error instanceof solana.BadPlan) return null;
    throw error;
  }
}

/** Where the relayer makes the multisig of a set. */
function multisigOf({ keys, threshold }: GuardianSet, relayer: string, { program }: solana.DepositVault): string {
  return solana.multisigAddress(relayer, { guardians: keys, threshold }, program);
}

/** Whether a multisig is of exactly a set's keys, in its order, with its threshold. */
function isHeldBy({ guardians, threshold }: solana.Custody, set: GuardianSet): boolean {
  return threshold === set.threshold && guardians.join() === set.keys.join();
}
