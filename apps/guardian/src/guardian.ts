/**
 * One guardian: sees the chain for itself, computes AO for itself, and says and signs only what both agree to. Each step is one method,
 * durable before the next depends on it, so that it can end anywhere and go on. What fails for one asset holds up that asset only.
 */
import { createItem, type AoNetwork, type Item, type Signer, type Tag, type WorkerPool } from '@isthmus/ao';
import { ArweaveError, type SettledSlots } from '@isthmus/arweave';
import {
  aoAddressFromBytes,
  BridgeError,
  chainIdOf,
  depositId,
  depositReference,
  encodeDepositLine,
  encodeReleaseLine,
  encodeSignLine,
  isEthereumAddress,
  isListedAs,
  packSignature,
  parseDecision,
  decisionDigest,
  subjectOf,
  type Subject,
  releaseDigest,
  releaseTypedData,
  shortfall,
  type Decision,
  type OpenWithdrawal,
  type ProcessView,
  type ReleaseStatement,
  type VaultDomain,
  type VaultListing,
} from '@isthmus/bridge';
import type { DepositedLog, ReleasedLog, RpcPool, VaultCursor, VaultWatcher } from '@isthmus/chains';
import { tokenSource, type Logger } from '@isthmus/store';
import {
  decodeFunctionResult,
  encodeFunctionData,
  erc20Abi,
  getAddress,
  keccak256,
  stringToHex,
  zeroAddress,
  type Hex,
  type PrivateKeyAccount,
} from 'viem';
import { sourceHash } from './boot-check.js';
import type { GuardianConfig } from './config.js';
import { crashPoint } from './crash-point.js';
import { FollowedAsset, type Asset } from './followed-asset.js';
import { DoubleSignRefused, type DepositRow, type Ledger, type ReleaseRow, type SignedRow } from './ledger.js';
import type { Motion, Motions } from './motions.js';
import { postItem, MessageRefused } from './post.js';

/** Time after which a message not yet in the schedule is sent again. */
const RESEND_MS = 5_000;
const SENDS_AT_ONCE = 50;
/** Large releases of one asset looked for on Arweave in one round, the oldest first; three requests each. */
const LOOKS_AT_ONCE = 20;

/** Why a withdrawal is not signed now. */
export type SignRefusal =
  | 'paused'
  | 'not-in-set'
  | 'behind'
  | 'rotation'
  | 'already-released'
  | 'bad-withdrawal'
  /** It is above what is signed before it can be read on Arweave. */
  | 'settlement'
  | 'unverified-sender';

/** The vault holds less than AO owes: this guardian signs nothing for the asset and asks for a pause. */
export class ConservationBroken extends Error {
  readonly code = 'conservation';
  constructor(asset: string, short: bigint) {
    super(`The vault is short of ${short} base units of ${asset}.`);
    this.name = 'ConservationBroken';
  }
}

/** The vault has another guardian set for an epoch than AO has decided: people must look. */
export class VaultDiverged extends Error {
  readonly code = 'vault-diverged';
  constructor(epoch: bigint) {
    super(`The vault's guardian set of epoch ${epoch} is not the one decided on AO.`);
    this.name = 'VaultDiverged';
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
  ledger: Ledger;
  motions: Motions;
  watcher: VaultWatcher;
  /** The watcher's sources, for what a token says itself. */
  pool: Pick<RpcPool, 'call'>;
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
}

/** What one asset has to sign, and what it must not. */
interface Waiting {
  unsigned: OpenWithdrawal[];
  doubled: DoubleSignRefused[];
}

export class Guardian {
  private readonly followed: FollowedAsset[];
  private readonly byAsset: ReadonlyMap<string, Asset>;
  private readonly domain: VaultDomain;
  private readonly scan: string;
  private cursor: VaultCursor | null = null;
  /** The last look at the chain reached its final head, and nothing was wrong with it. */
  private watched = false;
  private readonly atHeight = new Map<string, Promise<unknown>>();

  constructor(private readonly parts: GuardianParts) {
    const { config, ledger, network, workers, account } = parts;
    const known = {
      sources: new Set([sourceHash(tokenSource()), ...config.tokenSources]),
      modules: new Set(config.modules),
    };
    this.byAsset = new Map(config.assets.map((a) => [a.address.toLowerCase(), a]));
    this.domain = { chainId: chainIdOf(config.chain.id), vault: config.chain.vault };
    this.scan = scanName(config);
    this.followed = config.assets.map(
      (asset) => new FollowedAsset({ config, asset, ledger, network, workers, known, self: account.address }),
    );
  }

  /** What this guardian knows of a process; null while it has not followed it soundly. */
  viewOf(process: string): ProcessView | null {
    return this.followed.find((f) => f.asset.process === process)?.view ?? null;
  }

  get height(): bigint {
    return this.cursor?.height ?? 0n;
  }

  /** Whether there is an asset for which nothing is in the way. */
  get serving(): boolean {
    return this.watched && this.followed.some((f) => f.view !== null);
  }

  /** For each asset followed soundly, whether this guardian is in its set. */
  sets(): { asset: string; epoch: string; member: boolean }[] {
    return this.followed.flatMap(({ asset, view }) =>
      view ? [{ asset: asset.id, epoch: String(view.set.epoch), member: this.isMember(view) }] : [],
    );
  }

  /** Messages the schedule does not hold yet. */
  outbox(): Promise<number> {
    return this.parts.ledger.waiting();
  }

  /** Scans final blocks until none is left. @throws AgreementLost, FinalityViolated, SequenceGap, VaultLogError */
  async watch(): Promise<void> {
    const { config, ledger, watcher } = this.parts;
    this.watched = false;
    this.cursor ??= (await ledger.cursor(this.scan)) ?? (await watcher.begin(BigInt(config.chain.deployBlock)));
    for (let scan = await watcher.step(this.cursor); scan; scan = await watcher.step(this.cursor)) {
      const deposits = scan.logs.filter((l) => l.type === 'deposited').map((l) => this.depositRow(l));
      const releases = scan.logs.filter((l) => l.type === 'released').flatMap((l) => this.releaseRow(l));
      await ledger.keepScan(this.scan, scan.cursor, deposits, releases);
      this.cursor = scan.cursor;
      this.atHeight.clear();
      if (deposits.length + releases.length > 0)
        this.parts.log.info(
          { height: String(scan.cursor.height), deposits: deposits.length, releases: releases.length },
          'scanned',
        );
    }
    this.watched = true;
  }

  /** Follows every process' schedule to its end; one that cannot be followed keeps no other back. @throws ReplicaError, WrongProcess */
  async follow(): Promise<void> {
    await this.forEach((one) => one.follow());
  }

  /** Puts what was observed and not yet said into messages, of each asset for which this guardian has a voice. */
  async attest(): Promise<void> {
    if (!this.watched) return;
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
    if (!this.watched) return;
    await this.forEach(async (one) => {
      if (!one.view) return;
      for (const motion of await this.parts.motions.list(one.asset.process)) await this.pursue(one, one.view, motion);
      for (const subject of one.view.holding.keys()) await this.carry(one, one.view, subject);
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
      crashPoint('post.before-send');
      try {
        await postItem(network, id, item);
      } catch (error) {
        if (!(error instanceof MessageRefused)) throw error;
        refusals.push(error); // what it will not take keeps nothing else back
      }
      crashPoint('post.after-send');
      await ledger.markTried(id);
    }
    throwAll(refusals);
    return due.length;
  }

  // --- saying

  private depositRow(log: DepositedLog): DepositRow {
    const reference = depositReference({
      chain: this.parts.config.chain.id,
      vault: this.domain.vault,
      sequence: log.sequence,
    });
    const id = depositId(reference);
    const asset = this.byAsset.get(log.asset.toLowerCase());
    const line = asset && depositLine(log, id, reference);
    if (asset && line) return { id, process: asset.process, sequence: log.sequence, line };
    const why = asset ? 'nobody on AO can be credited' : 'its asset is not configured';
    this.parts.log.warn({ transfer: id, asset: log.asset, why }, 'a deposit is kept as seen, and not attested');
    return { id, process: null, sequence: log.sequence, line: '' };
  }

  private releaseRow(log: ReleasedLog): ReleaseRow[] {
    const asset = this.byAsset.get(log.asset.toLowerCase());
    if (!asset || asset.process !== log.process) return [];
    const line = encodeReleaseLine({
      number: log.number,
      txHash: log.txHash,
      fee: log.fee,
      outcome: log.held ? 'held' : 'paid',
    });
    return [{ process: log.process, number: log.number, line, amount: log.amount }];
  }

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
    const { process, address } = one.asset;
    const decision = parseDecision(motion.line);
    const isDecided = view.holding.get(subjectOf(decision.kind))?.line === motion.line;
    if ((isDecided || isMoot(decision, view)) && (await this.vaultIsAs(decision, address)))
      return motions.close(motion, 'done');
    if (isDecided || !this.isMember(view)) return;
    if (decision.kind === 'rotate' && decision.epoch !== view.set.epoch + 1n) {
      log.warn(
        { process, decision: motion.line, epoch: String(view.set.epoch) },
        'no such rotation can be decided now',
      );
      return motions.close(motion, 'withdrawn');
    }
    const nonce = view.decisions + 1n;
    const asked = `${nonce} ${view.set.epoch}`;
    if (motion.asked === asked) return;
    await motions.keepAsked(motion, asked, await this.onDecision(process, 'Attest-Decision', nonce, motion.line));
    log.info({ process, decision: motion.line, nonce: String(nonce), mover: motion.mover }, 'voted for a decision');
  }

  /** Signs what holds on AO and not yet at the vault; anew when the vault's count has moved on. A rotation is signed by the set that leaves. */
  private async carry(one: FollowedAsset, view: ProcessView, subject: Subject): Promise<void> {
    const held = view.holding.get(subject);
    if (!held || one.carried.get(subject) === held.nonce) return;
    const decision = parseDecision(held.line);
    const { process, address: asset } = one.asset;
    if (await this.vaultIsAs(decision, asset)) {
      // A pause comes and goes, also by what other assets decide; the others stand until the next decision.
      if (subject !== 'pause') one.carried.set(subject, held.nonce);
      return;
    }
    // The vault is paused while any of its assets is.
    if (decision.kind === 'unpause' && this.followed.some((f) => f.view === null || f.view.paused)) return;
    const signers = decision.kind === 'rotate' ? held.by : view.set;
    const index = signers.guardians.indexOf(this.parts.account.address);
    const epoch = await this.vault<bigint>('epoch');
    if (index < 0 || epoch !== signers.epoch) return;
    const vaultNonce = await this.vault<bigint>('decisions');
    const place = `${held.nonce} ${epoch} ${decision.kind === 'rotate' ? '' : vaultNonce}`;
    if (one.signedPlaces.get(subject) === place) return;
    const { account, ledger, log, motions } = this.parts;
    if (decision.kind === 'rotate') await motions.claimRotation(decision.epoch, held.line);
    const hash = decisionDigest(this.domain, decision, { asset, epoch, nonce: vaultNonce });
    const signature = packSignature(index, await account.sign({ hash }));
    await ledger.keepMessage(process, await this.onDecision(process, 'Sign-Decision', held.nonce, signature));
    one.signedPlaces.set(subject, place);
    log.info({ process, decision: held.line, nonce: String(held.nonce) }, 'signed a decision for the vault');
  }

  private onDecision(process: string, action: string, nonce: bigint, data: string): Promise<Item> {
    return this.message(process, action, data, [{ name: 'Decision-Nonce', value: String(nonce) }]);
  }

  private async vaultIsAs(decision: Decision, asset: Hex): Promise<boolean> {
    switch (decision.kind) {
      case 'pause':
        return this.vault<boolean>('paused');
      case 'unpause':
        return !(await this.vault<boolean>('paused'));
      case 'rotate': {
        const epoch = await this.vault<bigint>('epoch');
        if (epoch !== decision.epoch) return epoch > decision.epoch;
        const guardians = await this.vault<readonly Hex[]>('guardians');
        if (guardians.join() !== decision.guardians.join()) throw new VaultDiverged(epoch);
        return true;
      }
      case 'list':
        return isListedAs(decision, await this.vault<VaultListing>('listing', asset));
    }
  }

  // --- signing

  private async signOne(one: FollowedAsset, refused: Map<string, SignRefusal>): Promise<void> {
    const { ledger } = this.parts;
    const { view } = one;
    if (!view) return;
    const process = one.asset.process;
    const released = await ledger.releasedAmong(process, [...view.open.keys()]);
    const reason = await this.refusal(one, view, released);
    const { unsigned, doubled } = await this.waiting(one, view);
    const sound: OpenWithdrawal[] = [];
    const looks = { left: LOOKS_AT_ONCE };
    for (const w of unsigned) {
      const why = released.has(w.number)
        ? 'already-released'
        : (reason ?? this.flawOf(w, one.asset) ?? (await this.unsettled(one, w, looks)));
      if (why === null) sound.push(w);
      else refused.set(w.id, why);
    }
    if (sound.length > 0) await this.signAll(one, view, sound.slice(0, this.parts.config.batch));
    throwAll(doubled);
  }

  /** What has no signature in the ledger yet. A signature of another content than a withdrawal has now is never followed by a second one. */
  private async waiting(one: FollowedAsset, view: ProcessView): Promise<Waiting> {
    const open = one.notKnownSigned(view);
    const waiting: Waiting = { unsigned: [], doubled: [] };
    if (open.length === 0) return waiting;
    const { process } = one.asset;
    const numbers = open.map((w) => w.number);
    const digests = await this.parts.ledger.signedAmong(process, view.set.epoch, numbers);
    for (const w of open) {
      const digest = digests.get(w.number);
      if (digest === undefined) waiting.unsigned.push(w);
      else if (digest === releaseDigest(this.domain, statementOf(one.asset, view, w))) one.knowSigned([w]);
      else waiting.doubled.push(new DoubleSignRefused(process, w.number, view.set.epoch));
    }
    return waiting;
  }

  /** Why nothing of this asset is signed now; null when all is in order. @throws ConservationBroken */
  private async refusal(
    one: FollowedAsset,
    view: ProcessView,
    released: ReadonlySet<bigint>,
  ): Promise<SignRefusal | null> {
    if (!this.isMember(view)) return 'not-in-set';
    if (!this.watched || !this.cursor || view.highestSequence >= this.cursor.nextSequence) return 'behind';
    await this.checkBooks(one, view, released);
    if (view.open.size === 0) return null;
    if (one.unverifiedSenders.size > 0) {
      const [sender] = one.unverifiedSenders;
      const known = { asset: one.asset.id, senders: one.unverifiedSenders.size, sender };
      this.parts.log.warn(known, 'payouts wait: nobody shows that a sender is a process');
      return 'unverified-sender';
    }
    if ((await this.vault<bigint>('epoch')) !== view.set.epoch) return 'rotation';
    return view.paused || (await this.vault<boolean>('paused')) ? 'paused' : null;
  }

  /** I3, on this guardian's own sight of both sides, whether or not anything waits for a signature. @throws ConservationBroken */
  private async checkBooks(one: FollowedAsset, view: ProcessView, released: ReadonlySet<bigint>): Promise<void> {
    const supply = view.minted - view.burned;
    const inFlight = [...view.open.values()]
      .filter((w) => !released.has(w.number))
      .reduce((sum, w) => sum + w.amount, 0n);
    if (supply + inFlight === 0n) return this.wantPause(one, view, false);
    const short = shortfall({ locked: await this.holdings(one.asset), supply, inFlight });
    await this.wantPause(one, view, short > 0n);
    if (short > 0n) throw new ConservationBroken(one.asset.id, short);
  }

  /** A pause is moved when the books turn out short, and again when it was lifted too early; given up when they are whole. */
  private async wantPause(one: FollowedAsset, view: ProcessView, short: boolean): Promise<void> {
    const { motions, log } = this.parts;
    const { process, id } = one.asset;
    if (!short) {
      if (one.short !== false) await motions.booksAreWhole(process);
    } else if (!view.paused || !(await this.vault<boolean>('paused'))) {
      if (await motions.open(process, 'pause', 'books'))
        log.error({ asset: id }, 'the books are short: asking for a pause');
    }
    one.short = short;
  }

  /** What the vault has for an asset: what it counts, or less when a token has taken some away (E11). */
  private async holdings({ address }: Asset): Promise<bigint> {
    const locked = await this.vault<bigint>('locked', address);
    if (address === zeroAddress) return locked;
    const balance = await this.memo(`balance ${address}`, async (height) => {
      const data = encodeFunctionData({ abi: erc20Abi, functionName: 'balanceOf', args: [this.domain.vault] });
      const answer = await this.parts.pool.call(address, data, height);
      return decodeFunctionResult({ abi: erc20Abi, functionName: 'balanceOf', data: answer });
    });
    return balance < locked ? balance : locked;
  }

  private vault<T>(
    view: 'epoch' | 'paused' | 'decisions' | 'locked' | 'listing' | 'guardians',
    ...args: readonly unknown[]
  ): Promise<T> {
    return this.memo([view, ...args].join(' '), (height) => this.parts.watcher.read<T>(view, args, height));
  }

  /** What stood at a final height stands for good: it is asked for once. */
  private memo<T>(name: string, ask: (height: bigint) => Promise<T>): Promise<T> {
    const known = this.atHeight.get(name) as Promise<T> | undefined;
    if (known) return known;
    const asked = ask(this.height);
    this.atHeight.set(name, asked);
    asked.catch(() => this.atHeight.delete(name));
    return asked;
  }

  private async signAll(one: FollowedAsset, view: ProcessView, withdrawals: readonly OpenWithdrawal[]): Promise<void> {
    const { account, ledger, log } = this.parts;
    const { process } = one.asset;
    const { epoch } = view.set;
    const lines: string[] = [];
    const rows: SignedRow[] = [];
    for (const w of withdrawals) {
      const statement = statementOf(one.asset, view, w);
      const signed = await account.signTypedData(releaseTypedData(this.domain, statement));
      lines.push(encodeSignLine({ number: w.number, epoch, signature: packSignature(this.indexIn(view), signed) }));
      rows.push({ number: w.number, epoch, digest: releaseDigest(this.domain, statement) });
    }
    await ledger.keepSigned(process, rows, await this.message(process, 'Sign-Release', lines.join('\n')));
    one.knowSigned(withdrawals);
    for (const w of withdrawals)
      log.info({ transfer: w.id, number: String(w.number), epoch: String(epoch) }, 'signed a release');
  }

  /** The process has checked the same; a guardian takes nobody's word for what it signs. */
  private flawOf(w: OpenWithdrawal, asset: Asset): SignRefusal | null {
    const { vault } = this.domain;
    const payable = isEthereumAddress(w.recipient) && w.recipient !== asset.address && w.recipient !== vault;
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

  private indexIn(view: ProcessView): number {
    return view.set.guardians.indexOf(this.parts.account.address);
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

/** Names what is scanned: another vault, or another asset, is read from the vault's first block on. What is known already stays as it is. */
function scanName({ chain, assets }: GuardianConfig): string {
  const known = assets.map((a) => `${a.address} ${a.process}`).toSorted();
  return `${chain.id}:${chain.vault}:${keccak256(stringToHex(known.join('\n')))}`;
}

/** The line to attest, or null when there is nobody to credit (the zero address) or the deposit has no form here: it must stop no other. */
function depositLine(log: DepositedLog, id: DepositRow['id'], reference: string): string | null {
  const tags = log.tags.length === 0 ? '-' : Buffer.from(log.tags).toString('hex');
  const { txHash, sender, amount } = log;
  try {
    const recipient = aoAddressFromBytes(log.recipient);
    return encodeDepositLine({ id, reference, txHash, sender, recipient, amount, tags });
  } catch (error) {
    if (error instanceof BridgeError) return null;
    throw error;
  }
}

function statementOf(asset: Asset, view: ProcessView, w: OpenWithdrawal): ReleaseStatement {
  return {
    process: asset.process,
    number: w.number,
    asset: asset.address,
    recipient: getAddress(w.recipient),
    amount: w.amount,
    maxFee: w.maxFee,
    epoch: view.set.epoch,
  };
}

function throwAll(errors: readonly unknown[]): void {
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new SeveralFailed(errors);
}
