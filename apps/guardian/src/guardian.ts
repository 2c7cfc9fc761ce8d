/**
 * One guardian: sees the chain for itself, computes AO for itself, and says and signs only what both agree to. Each step is one method,
 * durable before the next depends on it, so that it can end anywhere and go on. What fails for one asset holds up that asset only.
 */
import { createItem, type AoNetwork, type Item, type Signer, type Tag, type WorkerPool } from '@isthmus/ao';
import { ArweaveError, type SettledSlots } from '@isthmus/arweave';
import {
  parseDecision,
  shortfall,
  subjectOf,
  type Decision,
  type OpenWithdrawal,
  type ProcessView,
} from '@isthmus/bridge';
import { sourceHash, tokenSource, type Logger } from '@isthmus/store';
import type { PrivateKeyAccount } from 'viem';
import type { GuardianConfig } from './config.js';
import { ContractCustody } from './contract-custody.js';
import type { Custody, SignRefusal, Write } from './custody.js';
import { FollowedAsset } from './followed-asset.js';
import type { Asset, Home } from './homes/home.js';
import type { Ledger } from './ledger.js';
import type { Motion, Motions } from './motions.js';
import { postItem, MessageRefused } from './post.js';
import { ProposalCustody } from './proposal-custody.js';

/** Time after which a message not yet in the schedule is sent again. */
const RESEND_MS = 5_000;
const SENDS_AT_ONCE = 50;
/** Large releases of one asset looked for on Arweave in one round, the oldest first; three requests each. */
const LOOKS_AT_ONCE = 20;

/** What keeps this guardian from signing anything at all, not only payments. */
const IDLE: ReadonlySet<SignRefusal> = new Set(['not-in-set', 'behind', 'rotation']);

/** The vault holds less than AO owes: this guardian signs no payment of the asset and asks for a pause. */
export class ConservationBroken extends Error {
  readonly code = 'conservation';
  constructor(asset: string, short: bigint) {
    super(`The vault is short of ${short} base units of ${asset}.`);
    this.name = 'ConservationBroken';
  }
}

/** Several assets failed, each for its own reason; the code is the first one's. */
export class SeveralFailed extends Error {
  readonly code: string;
  constructor(readonly errors: readonly unknown[]) {
    super(errors.map((e) => (e instanceof Error ? e.message : String(e))).join('; '));
    this.name = 'SeveralFailed';
    const code: unknown = (errors[0] as { code?: unknown } | null)?.code;
    this.code = typeof code === 'string' ? code : 'failed';
  }
}

export interface GuardianParts {
  config: GuardianConfig;
  /** Of the configuration, the chain this is about and its assets. */
  chain: string;
  assets: readonly Asset[];
  ledger: Ledger;
  motions: Motions;
  /** The chain the assets are locked on. */
  home: Home;
  /** Where the schedule is read and messages are sent. */
  network: AoNetwork;
  workers: WorkerPool;
  /** Looks on Arweave for what large releases wait for; null: this guardian has no such policy. */
  settled: SettledSlots | null;
  /** Signs AO messages. */
  signer: Signer;
  /** Signs releases; the same key. */
  account: PrivateKeyAccount;
  log: Logger;
  /** Milliseconds since any moment, by which guardians take turns; this machine's monotonic clock unless told. */
  now?: () => number;
}

export class Guardian {
  private readonly followed: FollowedAsset[];
  private readonly custody: Custody;

  constructor(private readonly parts: GuardianParts) {
    const { config, chain, home, ledger, network, workers, account, motions, log } = parts;
    const known = {
      sources: new Set([sourceHash(tokenSource()), ...config.tokenSources]),
      modules: new Set(config.modules),
    };
    const self = account.address;
    this.followed = parts.assets.map(
      (asset) => new FollowedAsset({ config, asset, chain, home, ledger, network, workers, known, self }),
    );
    const write: Write = (process, action, data, more) => this.message(process, action, data, more);
    const { followed } = this;
    this.custody =
      home.custody === 'contract'
        ? new ContractCustody({
            chain,
            home,
            ledger,
            motions,
            account,
            write,
            followed,
            batch: config.batch,
            log,
          })
        : new ProposalCustody({ home, ledger, self, write, turnMs: config.turnMs, log, now: parts.now });
  }

  /** What this guardian knows of a process; null while it has not followed it soundly. */
  viewOf(process: string): ProcessView | null {
    return this.followed.find((f) => f.asset.process === process)?.view ?? null;
  }

  get height(): bigint {
    return this.parts.home.height;
  }

  /** Deposits that were minted and that the home chain has taken back for good. */
  get lostDeposits(): number {
    return this.parts.home.lostDeposits ?? 0;
  }

  /** Whether there is an asset for which nothing is in the way. */
  get serving(): boolean {
    return this.parts.home.watched && this.followed.some((f) => f.view !== null);
  }

  /** For each asset followed soundly, whether this guardian is in its set. */
  sets(): { asset: string; epoch: string; member: boolean }[] {
    return this.followed.flatMap(({ asset, view }) =>
      view ? [{ asset: asset.id, epoch: String(view.set.epoch), member: this.isMember(view) }] : [],
    );
  }

  /** Messages the schedule does not hold yet. */
  outbox(): Promise<number> {
    return this.parts.ledger.waiting(this.parts.assets.map((a) => a.process));
  }

  /** Takes what is final on the home chain. @throws AgreementLost, FinalityViolated, SequenceGap, VaultLogError */
  watch(): Promise<void> {
    return this.parts.home.watch();
  }

  /** Follows every process' schedule to its end; one that cannot be followed keeps no other back. @throws ReplicaError, WrongProcess */
  async follow(): Promise<void> {
    await this.forEach((one) => one.follow());
  }

  /** Puts what was observed and not yet said into messages, of each asset for which this guardian has a voice. */
  async attest(): Promise<void> {
    if (!this.parts.home.watched) return;
    await this.forEach(async (one) => {
      // What a guardian says before it is in the set is refused, and would have to be said again.
      if (!one.view || !this.isMember(one.view)) return;
      await this.attestDeposits(one, one.view);
      await this.attestReleases(one.asset.process);
    });
  }

  /**
   * Signs the open withdrawals that stand up to this guardian's own view. Returns why the others wait.
   * @throws ConservationBroken, DoubleSignRefused
   */
  async sign(): Promise<Map<string, SignRefusal>> {
    const refused = new Map<string, SignRefusal>();
    await this.forEach((one) => this.signOne(one, refused));
    return refused;
  }

  /**
   * Votes for what this guardian wants decided, and signs for the vault whatever is decided, by its own vote or not.
   * @throws VaultDiverged, RotationConflict
   */
  async decide(): Promise<void> {
    if (!this.parts.home.watched) return;
    await this.forEach(async (one) => {
      if (!one.view) return;
      for (const motion of await this.parts.motions.list(one.asset.process)) await this.pursue(one, one.view, motion);
      await this.custody.carry(one, one.view);
    });
  }

  /**
   * Sends what the schedule does not hold yet, of assets that are followed soundly. Returns how many messages the gateway took.
   * @throws GatewayUnreachable, MessageRefused
   */
  async send(): Promise<number> {
    const { ledger, network } = this.parts;
    const sound = this.followed.filter((f) => f.view !== null).map((f) => f.asset.process);
    const due = await ledger.toSend(sound, RESEND_MS, SENDS_AT_ONCE);
    const refusals: MessageRefused[] = [];
    for (const { item_id: id, item } of due) {
      ledger.onStep('post.before-send');
      try {
        await postItem(network, id, item);
      } catch (error) {
        if (!(error instanceof MessageRefused)) throw error;
        refusals.push(error); // what it will not take keeps nothing else back
      }
      ledger.onStep('post.after-send');
      await ledger.markTried(id);
    }
    throwAll(refusals);
    return due.length;
  }

  // --- saying

  private async attestDeposits(one: FollowedAsset, view: ProcessView): Promise<void> {
    const { ledger, config } = this.parts;
    const { process } = one.asset;
    for (;;) {
      const seen = await ledger.depositsToAttest(process, config.batch);
      const deposits = one.heard(seen, await ledger.unseenBytes(process), view);
      if (deposits.length === 0) return;
      const item = await this.message(process, 'Attest-Deposits', deposits.map((d) => d.line).join('\n'));
      const ids = deposits.map((d) => d.id);
      await ledger.keepAttestation('deposit', process, ids, item);
    }
  }

  private async attestReleases(process: string): Promise<void> {
    const { ledger, config } = this.parts;
    for (;;) {
      const releases = await ledger.releasesToAttest(process, config.batch);
      if (releases.length === 0) return;
      const item = await this.message(process, 'Attest-Release', releases.map((r) => r.line).join('\n'));
      const numbers = releases.map((r) => r.number);
      await ledger.keepAttestation('release', process, numbers, item);
    }
  }

  // --- deciding

  /** One vote for each place it can have: anew when another decision took the number, or when the set changed. */
  private async pursue(one: FollowedAsset, view: ProcessView, motion: Motion): Promise<void> {
    const { motions, log } = this.parts;
    const { process } = one.asset;
    const decision = parseDecision(motion.line);
    const isDecided = view.holding.get(subjectOf(decision.kind))?.line === motion.line;
    if ((isDecided || isMoot(decision, view)) && (await this.custody.isAs(decision, one, view)))
      return motions.close(motion, 'done');
    if (isDecided || !this.isMember(view)) return;
    const isNext = decision.kind !== 'rotate' || decision.epoch === view.set.epoch + 1n;
    if (!isNext || !this.custody.accepts(decision, one)) {
      const why = isNext ? 'these keys could not hold the vault' : 'no such rotation can be decided now';
      log.warn({ process, decision: motion.line, epoch: String(view.set.epoch) }, why);
      return motions.close(motion, 'withdrawn');
    }
    if (!(await this.custody.mayDecide(decision, one, view))) return;
    const nonce = view.decisions + 1n;
    const asked = `${nonce} ${view.set.epoch}`;
    if (motion.asked === asked) return;
    await motions.keepAsked(motion, asked, await this.onDecision(process, 'Attest-Decision', nonce, motion.line));
    log.info({ process, decision: motion.line, nonce: String(nonce), mover: motion.mover }, 'voted for a decision');
  }

  private onDecision(process: string, action: string, nonce: bigint, data: string): Promise<Item> {
    return this.message(process, action, data, [{ name: 'Decision-Nonce', value: String(nonce) }]);
  }

  // --- signing

  private async signOne(one: FollowedAsset, refused: Map<string, SignRefusal>): Promise<void> {
    const { ledger } = this.parts;
    const { view } = one;
    if (!view) return;
    const process = one.asset.process;
    const released = await ledger.releasedAmong(process, [...view.open.keys()]);
    const { reason, broken } = await this.orBroken(this.refusal(one, view, released));
    const { open, doubled } = await this.custody.unsigned(one, view);
    const sound: OpenWithdrawal[] = [];
    const looks = { left: LOOKS_AT_ONCE };
    for (const w of open) {
      const why = released.has(w.number)
        ? 'already-released'
        : (reason ?? this.flawOf(w, one.asset) ?? (await this.unsettled(one, w, looks)));
      if (why === null) sound.push(w);
      else refused.set(w.id, why);
    }
    // Whatever payments wait for, what pays nobody goes on: deposits are gathered before their refund opens, or the books were shorter still.
    if (reason === null || !IDLE.has(reason))
      for (const [id, why] of await this.custody.sign(one, view, sound)) refused.set(id, why);
    throwAll([...broken, ...doubled]);
  }

  private async orBroken(
    asked: Promise<SignRefusal | null>,
  ): Promise<{ reason: SignRefusal | null; broken: ConservationBroken[] }> {
    try {
      return { reason: await asked, broken: [] };
    } catch (error) {
      if (error instanceof ConservationBroken) return { reason: 'books', broken: [error] };
      throw error;
    }
  }

  /** Why nothing of this asset is signed now; null when all is in order. @throws ConservationBroken */
  private async refusal(
    one: FollowedAsset,
    view: ProcessView,
    released: ReadonlySet<bigint>,
  ): Promise<SignRefusal | null> {
    if (!this.isMember(view)) return 'not-in-set';
    const { home } = this.parts;
    if (!home.hasSeen(view)) return 'behind';
    await this.checkBooks(one, view, released);
    if (view.open.size === 0) return null;
    if (one.unverifiedSenders.size > 0) {
      const [sender] = one.unverifiedSenders;
      const known = { asset: one.asset.id, senders: one.unverifiedSenders.size, sender };
      this.parts.log.warn(known, 'payouts wait: nobody shows that a sender is a process');
      return 'unverified-sender';
    }
    if (!(await this.custody.isHeldBySet(one, view))) return 'rotation';
    return view.paused || (await this.custody.isPaused(view)) ? 'paused' : null;
  }

  /** I3, on this guardian's own sight of both sides, whether or not anything waits for a signature. @throws ConservationBroken */
  private async checkBooks(one: FollowedAsset, view: ProcessView, released: ReadonlySet<bigint>): Promise<void> {
    const supply = view.minted - view.burned;
    const inFlight = [...view.open.values()]
      .filter((w) => !released.has(w.number))
      .reduce((sum, w) => sum + w.amount, 0n);
    if (supply + inFlight === 0n) return this.wantPause(one, view, false);
    const short = shortfall({ locked: await this.parts.home.holdings(one.asset), supply, inFlight });
    await this.wantPause(one, view, short > 0n);
    if (short > 0n) throw new ConservationBroken(one.asset.id, short);
  }

  /** A pause is moved when the books turn out short, and again when it was lifted too early; given up when they are whole. */
  private async wantPause(one: FollowedAsset, view: ProcessView, short: boolean): Promise<void> {
    const { motions, log } = this.parts;
    const { process, id } = one.asset;
    if (!short) {
      if (one.short !== false) await motions.booksAreWhole(process);
    } else if (!view.paused || !(await this.custody.isPaused(view))) {
      if (await motions.open(process, 'pause', 'books'))
        log.error({ asset: id }, 'the books are short: asking for a pause');
    }
    one.short = short;
  }

  /** The process has checked the same; a guardian takes nobody's word for what it signs. */
  private flawOf(w: OpenWithdrawal, asset: Asset): SignRefusal | null {
    const payable = this.parts.home.canPay(w.recipient, asset);
    return w.amount > 0n && w.maxFee < w.amount && payable ? null : 'bad-withdrawal';
  }

  /** A large release waits until anyone can read on Arweave why it is paid. What cannot be asked is not known to be there. */
  private async unsettled(one: FollowedAsset, w: OpenWithdrawal, looks: { left: number }): Promise<SignRefusal | null> {
    const { config, settled, log } = this.parts;
    const above = config.settlement?.releaseAbove[one.asset.id];
    if (above === undefined || w.amount <= above) return null;
    const place = one.placeOf(w);
    if (!settled || !place || looks.left === 0) return 'settlement';
    looks.left -= 1;
    try {
      return (await settled.has(place)) ? null : 'settlement';
    } catch (error) {
      if (!(error instanceof ArweaveError)) throw error;
      log.warn(
        { transfer: w.id, code: error.code, detail: error.message },
        'a large release waits: Arweave cannot be asked',
      );
      return 'settlement';
    }
  }

  private isMember(view: ProcessView): boolean {
    return view.set.guardians.includes(this.parts.account.address);
  }

  /** Does the same for every asset; failures are thrown when all had their turn. */
  private async forEach(act: (one: FollowedAsset) => Promise<void>): Promise<void> {
    const failures: unknown[] = [];
    for (const one of this.followed) await act(one).catch((error: unknown) => failures.push(error));
    throwAll(failures);
  }

  private message(process: string, action: string, data: string, more: readonly Tag[] = []): Promise<Item> {
    const tags = [
      { name: 'Data-Protocol', value: 'ao' },
      { name: 'Variant', value: 'ao.TN.1' },
      { name: 'Type', value: 'Message' },
      { name: 'Action', value: action },
      ...more,
    ];
    return createItem({ target: process, tags, data }, this.parts.signer);
  }
}

/** What changes nothing in the process as it is. */
function isMoot(decision: Decision, view: ProcessView): boolean {
  return decision.kind === 'pause' ? view.paused : decision.kind === 'unpause' && !view.paused;
}

function throwAll(errors: readonly unknown[]): void {
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new SeveralFailed(errors);
}
