/**
 * One guardian: sees the chain for itself, computes AO for itself, and says and signs only what both agree to. Each step is one method,
 * durable before the next depends on it, so that it can end anywhere and go on.
 */
import {
  createItem,
  Replica,
  type Item,
  type ScheduleEntry,
  type EvaluationResult,
  type Signer,
  type Tag,
  type WorkerPool,
} from '@isthmus/ao';
import {
  aoAddressFromBytes,
  BridgeError,
  chainIdOf,
  depositId,
  depositReference,
  encodeDepositLine,
  encodeReleaseLine,
  encodeSignLine,
  eventsOf,
  foldEvent,
  isEthereumAddress,
  packSignature,
  pauseTypedData,
  releaseDigest,
  releaseTypedData,
  shortfall,
  viewOfSpawn,
  type OpenWithdrawal,
  type ProcessView,
  type ReleaseStatement,
  type VaultDomain,
} from '@isthmus/bridge';
import type { DepositedLog, ReleasedLog, VaultCursor, VaultWatcher } from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import type { Hex, PrivateKeyAccount } from 'viem';
import type { GuardianConfig } from './config.js';
import { crashPoint } from './crash-point.js';
import type { DepositRow, Ledger, ReleaseRow } from './ledger.js';

type Asset = GuardianConfig['assets'][number];

/** Time after which a message not yet in the schedule is sent again. */
const RESEND_MS = 5_000;
const SEND_TIMEOUT_MS = 20_000;
const SENDS_AT_ONCE = 50;

/** Why a withdrawal is not signed now. */
export type SignRefusal = 'paused' | 'not-in-set' | 'behind' | 'conservation' | 'already-released' | 'bad-withdrawal';

/** The vault holds less than AO owes: this guardian signs nothing for the asset and asks for a pause. */
export class ConservationBroken extends Error {
  readonly code = 'conservation';
  constructor(asset: string, short: bigint) {
    super(`The vault is short of ${short} base units of ${asset}.`);
    this.name = 'ConservationBroken';
  }
}

interface Followed {
  asset: Asset;
  replica: Replica;
  view: ProcessView | null;
  pauseAsked: boolean;
}

export interface GuardianParts {
  config: GuardianConfig;
  ledger: Ledger;
  watcher: VaultWatcher;
  workers: WorkerPool;
  /** Signs AO messages. */
  signer: Signer;
  /** Signs releases; the same key. */
  account: PrivateKeyAccount;
  log: Logger;
}

export class Guardian {
  private readonly followed: Followed[];
  private readonly byAsset: ReadonlyMap<string, Asset>;
  private readonly domain: VaultDomain;
  private cursor: VaultCursor | null = null;

  constructor(private readonly parts: GuardianParts) {
    const { config, ledger, workers } = parts;
    this.byAsset = new Map(config.assets.map((a) => [a.address.toLowerCase(), a]));
    this.domain = { chainId: chainIdOf(config.chain.id), vault: config.chain.vault };
    this.followed = config.assets.map((asset) => {
      const one: Followed = {
        asset,
        view: null,
        pauseAsked: false,
        replica: new Replica({
          process: asset.process,
          scheduler: config.scheduler,
          store: ledger,
          workers,
          gatewayUrl: config.gatewayUrl,
          onResult: (entry, result) => this.learn(one, entry, result),
        }),
      };
      return one;
    });
  }

  /** What this guardian knows of a process; null before its spawn was seen. */
  viewOf(process: string): ProcessView | null {
    return this.followed.find((f) => f.asset.process === process)?.view ?? null;
  }

  get height(): bigint {
    return this.cursor?.height ?? 0n;
  }

  /** Scans final blocks until none is left. @throws AgreementLost, FinalityViolated, SequenceGap, VaultLogError */
  async watch(): Promise<void> {
    const { config, ledger, watcher } = this.parts;
    this.cursor ??= (await ledger.cursor(config.chain.id)) ?? (await watcher.begin(BigInt(config.chain.deployBlock)));
    for (let scan = await watcher.step(this.cursor); scan; scan = await watcher.step(this.cursor)) {
      const deposits = scan.logs.filter((l) => l.type === 'deposited').map((l) => this.depositRow(l));
      const releases = scan.logs.filter((l) => l.type === 'released').flatMap((l) => this.releaseRow(l));
      await ledger.keepScan(config.chain.id, scan.cursor, deposits, releases);
      this.cursor = scan.cursor;
      if (deposits.length + releases.length > 0)
        this.parts.log.info(
          { height: String(scan.cursor.height), deposits: deposits.length, releases: releases.length },
          'scanned',
        );
    }
  }

  /** Follows every process' schedule to its end. @throws ReplicaError */
  async follow(): Promise<void> {
    for (const one of this.followed) {
      await one.replica.sync();
      await this.parts.ledger.markSeen(one.asset.process, this.seen.splice(0));
    }
  }

  /** Puts what was observed and not yet said into messages. */
  async attest(): Promise<void> {
    const { ledger, config } = this.parts;
    for (const { process } of config.assets) {
      for (;;) {
        const deposits = await ledger.depositsToAttest(process, config.batch);
        if (deposits.length === 0) break;
        const item = await this.message(process, 'Attest-Deposits', deposits.map((d) => d.line).join('\n'));
        await ledger.keepAttestation(
          'deposit',
          process,
          deposits.map((d) => d.id),
          item,
        );
      }
      const releases = await ledger.releasesToAttest(process, config.batch);
      if (releases.length > 0) {
        const item = await this.message(process, 'Attest-Release', releases.map((r) => r.line).join('\n'));
        await ledger.keepAttestation(
          'release',
          process,
          releases.map((r) => r.number),
          item,
        );
      }
    }
  }

  /**
   * Signs the open withdrawals that stand up to this guardian's own view. Returns why the others wait.
   * @throws ConservationBroken
   */
  async sign(): Promise<Map<string, SignRefusal>> {
    const refused = new Map<string, SignRefusal>();
    for (const one of this.followed) {
      const { view } = one;
      if (!view || view.open.size === 0) continue;
      const waiting = await this.unsigned(one.asset.process, view);
      if (waiting.length === 0) continue;
      const reason = await this.refusal(one, view);
      if (reason === null) await this.signAll(one, view, waiting, refused);
      else for (const w of waiting) refused.set(w.id, reason);
    }
    return refused;
  }

  /** Sends what the schedule does not hold yet. Returns how many messages the gateway took. */
  async send(): Promise<number> {
    const { ledger, config } = this.parts;
    const due = await ledger.toSend(RESEND_MS, SENDS_AT_ONCE);
    for (const { item_id: id, item } of due) {
      crashPoint('post.before-send');
      const response = await fetch(`${config.gatewayUrl}/mu`, {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream' },
        body: new Uint8Array(item),
        signal: AbortSignal.timeout(SEND_TIMEOUT_MS),
      });
      crashPoint('post.after-send');
      if (!response.ok)
        throw new Error(
          `The gateway refused message ${id}: HTTP ${response.status} ${(await response.text()).slice(0, 200)}`,
        );
      await ledger.markSent(id);
    }
    return due.length;
  }

  private readonly seen: { id: string; nonce: number }[] = [];

  private learn(one: Followed, entry: ScheduleEntry, result: EvaluationResult): void {
    if (entry.nonce === 0) one.view = viewOfSpawn(entry.message.tags);
    if (!one.view) throw new Error(`Process ${entry.process} has no spawn.`);
    for (const event of eventsOf(result.Messages)) foldEvent(one.view, event);
    if (entry.message.ownerAddress === this.parts.signer.address)
      this.seen.push({ id: entry.message.id, nonce: entry.nonce });
  }

  private depositRow(log: DepositedLog): DepositRow {
    const asset = this.byAsset.get(log.asset.toLowerCase());
    const reference = depositReference({
      chain: this.parts.config.chain.id,
      vault: this.domain.vault,
      sequence: log.sequence,
    });
    const id = depositId(reference);
    const recipient = recipientOf(log);
    if (!asset || recipient === null) return { id, process: null, sequence: log.sequence, line: '' };
    const tags = log.tags.length === 0 ? '-' : Buffer.from(log.tags).toString('hex');
    const line = encodeDepositLine({
      id,
      reference,
      txHash: log.txHash,
      sender: log.sender,
      recipient,
      amount: log.amount,
      tags,
    });
    return { id, process: asset.process, sequence: log.sequence, line };
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

  private async unsigned(process: string, view: ProcessView): Promise<OpenWithdrawal[]> {
    const open = [...view.open.values()];
    const signed = await this.parts.ledger.signedAmong(
      process,
      view.set.epoch,
      open.map((w) => w.number),
    );
    return open.filter((w) => !signed.has(w.number));
  }

  /** Why nothing of this asset is signed now; null when all is in order. */
  private async refusal(one: Followed, view: ProcessView): Promise<SignRefusal | null> {
    const { watcher } = this.parts;
    if (!view.set.guardians.includes(this.parts.account.address)) return 'not-in-set';
    if (view.paused) return 'paused';
    if (!this.cursor || view.highestSequence >= this.cursor.nextSequence) return 'behind';
    const { height } = this.cursor;
    if (
      (await watcher.read<bigint>('epoch', [], height)) !== view.set.epoch ||
      (await watcher.read<boolean>('paused', [], height))
    )
      return 'paused';
    await this.checkBooks(one, view, height);
    return null;
  }

  /** I3, on this guardian's own sight of both sides. @throws ConservationBroken */
  private async checkBooks(one: Followed, view: ProcessView, height: bigint): Promise<void> {
    const { ledger, watcher } = this.parts;
    const locked = await watcher.read<bigint>('locked', [one.asset.address], height);
    const released = await ledger.releasedAmong(one.asset.process, [...view.open.keys()]);
    const inFlight = [...view.open.values()]
      .filter((w) => !released.has(w.number))
      .reduce((sum, w) => sum + w.amount, 0n);
    const short = shortfall({ locked, supply: view.minted - view.burned, inFlight });
    if (short === 0n) return;
    await this.askForPause(one, view, height);
    throw new ConservationBroken(one.asset.id, short);
  }

  private async askForPause(one: Followed, view: ProcessView, height: bigint): Promise<void> {
    if (one.pauseAsked || view.paused) return;
    const nonce = await this.parts.watcher.read<bigint>('decisions', [], height);
    const index = view.set.guardians.indexOf(this.parts.account.address);
    const signature = packSignature(
      index,
      await this.parts.account.signTypedData(pauseTypedData(this.domain, { epoch: view.set.epoch, nonce })),
    );
    const item = await this.message(one.asset.process, 'Attest-Decision', `pause\n${signature}`, [
      { name: 'Decision-Nonce', value: String(view.decisions + 1n) },
    ]);
    await this.parts.ledger.keepMessage(one.asset.process, item);
    one.pauseAsked = true;
  }

  private async signAll(
    one: Followed,
    view: ProcessView,
    waiting: readonly OpenWithdrawal[],
    refused: Map<string, SignRefusal>,
  ): Promise<void> {
    const { account, config, ledger, log } = this.parts;
    const index = view.set.guardians.indexOf(account.address);
    const lines: string[] = [];
    const rows: { number: bigint; epoch: bigint; digest: Hex }[] = [];
    const released = await ledger.releasedAmong(
      one.asset.process,
      waiting.map((w) => w.number),
    );
    for (const w of waiting.slice(0, config.batch)) {
      const reason = released.has(w.number) ? 'already-released' : checkWithdrawal(w, one.asset);
      if (reason) {
        refused.set(w.id, reason);
        continue;
      }
      const statement: ReleaseStatement = {
        process: one.asset.process,
        number: w.number,
        asset: one.asset.address,
        recipient: w.recipient,
        amount: w.amount,
        maxFee: w.maxFee,
        epoch: view.set.epoch,
      };
      const signature = packSignature(index, await account.signTypedData(releaseTypedData(this.domain, statement)));
      lines.push(encodeSignLine({ number: w.number, epoch: view.set.epoch, signature }));
      rows.push({ number: w.number, epoch: view.set.epoch, digest: releaseDigest(this.domain, statement) });
      log.info({ transfer: w.id, number: String(w.number), epoch: String(view.set.epoch) }, 'signed a release');
    }
    if (lines.length === 0) return;
    await ledger.keepSigned(
      one.asset.process,
      rows,
      await this.message(one.asset.process, 'Sign-Release', lines.join('\n')),
    );
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

function recipientOf(log: DepositedLog): string | null {
  try {
    return aoAddressFromBytes(log.recipient);
  } catch (error) {
    if (error instanceof BridgeError) return null; // the zero address: kept as observed, nobody to mint to
    throw error;
  }
}

/** The process has checked the same; a guardian takes nobody's word for what it signs. */
function checkWithdrawal(w: OpenWithdrawal, asset: Asset): SignRefusal | null {
  const ok = w.amount > 0n && w.maxFee < w.amount && isEthereumAddress(w.recipient) && w.recipient !== asset.address;
  return ok ? null : 'bad-withdrawal';
}
