/** A vault that is a contract: each withdrawal is signed by itself and once for each epoch, and so is what was decided for the vault. */
import {
  encodeSignLine,
  parseDecision,
  type Decision,
  type OpenWithdrawal,
  type ProcessView,
  type Subject,
} from '@isthmus/bridge';
import type { Logger } from '@isthmus/store';
import type { PrivateKeyAccount } from 'viem';
import type { Custody, SignRefusal, Write } from './custody.js';
import type { FollowedAsset } from './followed-asset.js';
import type { ContractHome } from './homes/home.js';
import { DoubleSignRefused, otherContent, type Ledger, type SignedRow } from './ledger.js';
import type { Motions } from './motions.js';

export interface ContractCustodyParts {
  /** CAIP-2 name of the chain. */
  chain: string;
  home: ContractHome;
  ledger: Ledger;
  motions: Motions;
  /** Signs releases and decisions for the vault. */
  account: PrivateKeyAccount;
  write: Write;
  /** All assets of the vault. */
  followed: readonly FollowedAsset[];
  /** Releases in one message. */
  batch: number;
  log: Logger;
}

export class ContractCustody implements Custody {
  constructor(private readonly parts: ContractCustodyParts) {}

  isAs(decision: Decision, one: FollowedAsset): Promise<boolean> {
    return this.parts.home.isAs(decision, one.asset);
  }

  /** Addresses are all a contract needs. */
  accepts(): boolean {
    return true;
  }

  mayDecide(): Promise<boolean> {
    return Promise.resolve(true); // the vault takes decisions one after another by its own count
  }

  isPaused(): Promise<boolean> {
    return this.parts.home.paused();
  }

  async isHeldBySet(_one: FollowedAsset, view: ProcessView): Promise<boolean> {
    return (await this.parts.home.epoch()) === view.set.epoch;
  }

  async carry(one: FollowedAsset, view: ProcessView): Promise<void> {
    for (const subject of view.holding.keys()) await this.carryOne(one, view, subject);
  }

  /** What has no signature in the ledger yet. A signature of another content than a withdrawal has now is never followed by a second one. */
  async unsigned(one: FollowedAsset, view: ProcessView): Promise<{ open: OpenWithdrawal[]; doubled: Error[] }> {
    const candidates = one.notKnownSigned(view);
    const open: OpenWithdrawal[] = [];
    const doubled: Error[] = [];
    if (candidates.length === 0) return { open, doubled };
    const { process } = one.asset;
    const numbers = candidates.map((w) => w.number);
    const digests = await this.parts.ledger.signedAmong(process, view.set.epoch, numbers);
    for (const w of candidates) {
      const digest = digests.get(w.number);
      if (digest === undefined) open.push(w);
      else if (digest === this.parts.home.releaseDigest(one.asset, view, w)) one.knowSigned([w]);
      else doubled.push(new DoubleSignRefused(process, w.number, otherContent(view.set.epoch)));
    }
    return { open, doubled };
  }

  async sign(
    one: FollowedAsset,
    view: ProcessView,
    payable: readonly OpenWithdrawal[],
  ): Promise<Map<string, SignRefusal>> {
    const { account, home, ledger, log, batch, write } = this.parts;
    const now = payable.slice(0, batch);
    if (now.length === 0) return new Map();
    const { process } = one.asset;
    const { epoch } = view.set;
    const index = view.set.guardians.indexOf(account.address);
    const lines: string[] = [];
    const rows: SignedRow[] = [];
    for (const w of now) {
      const signature = await home.signRelease(account, index, one.asset, view, w);
      lines.push(encodeSignLine({ number: w.number, epoch, signature }));
      rows.push({ number: w.number, epoch, digest: home.releaseDigest(one.asset, view, w) });
    }
    await ledger.keepSigned(process, rows, await write(process, 'Sign-Release', lines.join('\n')));
    one.knowSigned(now);
    for (const w of now)
      log.info({ transfer: w.id, number: String(w.number), epoch: String(epoch) }, 'signed a release');
    return new Map();
  }

  /** Signs what holds on AO and not yet at the vault; anew when the vault's count has moved on. A rotation is signed by the set that leaves. */
  private async carryOne(one: FollowedAsset, view: ProcessView, subject: Subject): Promise<void> {
    const held = view.holding.get(subject);
    if (!held || one.carried.get(subject) === held.nonce) return;
    const decision = parseDecision(held.line);
    const { asset } = one;
    const { account, chain, followed, home, ledger, log, motions, write } = this.parts;
    if (await home.isAs(decision, asset)) {
      // A pause comes and goes, also by what other assets decide; the others stand until the next decision.
      if (subject !== 'pause') one.carried.set(subject, held.nonce);
      return;
    }
    // The vault is paused while any of its assets is.
    if (decision.kind === 'unpause' && followed.some((f) => f.view === null || f.view.paused)) return;
    const signers = decision.kind === 'rotate' ? held.by : view.set;
    const index = signers.guardians.indexOf(account.address);
    const epoch = await home.epoch();
    if (index < 0 || epoch !== signers.epoch) return;
    const vaultNonce = await home.decisions();
    const place = `${held.nonce} ${epoch} ${decision.kind === 'rotate' ? '' : vaultNonce}`;
    if (one.signedPlaces.get(subject) === place) return;
    if (decision.kind === 'rotate') await motions.claimRotation(chain, decision.epoch, held.line);
    const signature = await home.signDecision(account, index, decision, asset, { epoch, nonce: vaultNonce });
    const named = [{ name: 'Decision-Nonce', value: String(held.nonce) }];
    await ledger.keepMessage(asset.process, await write(asset.process, 'Sign-Decision', signature, named));
    one.signedPlaces.set(subject, place);
    log.info(
      { process: asset.process, decision: held.line, nonce: String(held.nonce) },
      'signed a decision for the vault',
    );
  }
}
