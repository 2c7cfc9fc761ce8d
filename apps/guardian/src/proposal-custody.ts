/**
 * A vault that only keys hold: releases are proposed, and a guardian signs what it would have built itself. I2 rests on one rule, kept in the
 * ledger before anything leaves: a withdrawal is signed under one anchor only, until that can never pay it any more.
 */
import {
  encodeProposalSignLine,
  proposalId,
  type Decision,
  type OpenProposal,
  type OpenWithdrawal,
  type ProcessView,
} from '@isthmus/bridge';
import type { Logger } from '@isthmus/store';
import type { Custody, SignRefusal, Write } from './custody.js';
import type { FollowedAsset } from './followed-asset.js';
import type { ProposingHome } from './homes/home.js';
import type { Ledger } from './ledger.js';
import { Turns } from './turns.js';

export interface ProposalCustodyParts {
  home: ProposingHome;
  ledger: Ledger;
  /** AO address of this guardian. */
  self: string;
  write: Write;
  /** Milliseconds a guardian has to propose before it is the next one's turn. */
  turnMs: number;
  log: Logger;
  /** As in `Turns`. */
  now?: (() => number) | undefined;
}

/** Proposals signed in one round: each is rebuilt. */
const SIGN_AT_ONCE = 20;

interface Bindings {
  /** By number of what this guardian has signed: the anchors that may still pay it. */
  bound: Map<bigint, string[]>;
  /** Anchors that cannot any more. */
  voided: string[];
}

export class ProposalCustody implements Custody {
  private readonly turns: Turns;
  /** Proposals the ledger has a signature of, so that it is not asked again; of those that are open. */
  private readonly signed = new Set<string>();
  /** Id of the proposal looked at last, by process. */
  private readonly looked = new Map<string, string>();

  constructor(private readonly parts: ProposalCustodyParts) {
    this.turns = new Turns(parts.turnMs, parts.now);
  }

  /** Limits and pauses hold by what guardians refuse to sign; a rotation is done when the vault is in the new set's hands. */
  async isAs(decision: Decision, one: FollowedAsset, view: ProcessView): Promise<boolean> {
    if (decision.kind !== 'rotate') return true;
    return view.set.epoch >= decision.epoch && (await this.isHeldBySet(one, view));
  }

  accepts(decision: Decision, { asset }: FollowedAsset): boolean {
    return decision.kind !== 'rotate' || this.parts.home.acceptsSet(asset, decision);
  }

  /** The set before last could not hand over what it still held. */
  async mayDecide(decision: Decision, one: FollowedAsset, view: ProcessView): Promise<boolean> {
    return decision.kind !== 'rotate' || this.isHeldBySet(one, view);
  }

  isPaused(view: ProcessView): Promise<boolean> {
    return Promise.resolve(view.paused);
  }

  async isHeldBySet(one: FollowedAsset, view: ProcessView): Promise<boolean> {
    return (await this.parts.home.holder(one.asset, view)) === 'set';
  }

  /** Who has just left hands the vault over. */
  async carry(one: FollowedAsset, view: ProcessView): Promise<void> {
    const { outgoing } = view;
    if (!outgoing?.guardians.some((g) => g === this.parts.self)) return;
    if ((await this.parts.home.holder(one.asset, view)) !== 'outgoing') return;
    await this.act(one, view, outgoing, []);
  }

  unsigned(_one: FollowedAsset, view: ProcessView): Promise<{ open: OpenWithdrawal[]; doubled: Error[] }> {
    return Promise.resolve({ open: [...view.open.values()], doubled: [] }); // a proposal may replace one that is signed
  }

  sign(one: FollowedAsset, view: ProcessView, payable: readonly OpenWithdrawal[]): Promise<Map<string, SignRefusal>> {
    return this.act(one, view, view.set, payable);
  }

  private async act(
    one: FollowedAsset,
    view: ProcessView,
    set: ProcessView['set'],
    payable: readonly OpenWithdrawal[],
  ): Promise<Map<string, SignRefusal>> {
    for (const id of this.signed) if (!view.proposals.has(id as OpenProposal['id'])) this.signed.delete(id);
    const bindings = await this.bindings(one, payable);
    await this.propose(one, view, set, payable, bindings);
    const refused = new Map<string, SignRefusal>();
    const byNumber = new Map(payable.map((w) => [w.number, w]));
    const over = new Map<string, boolean>();
    let left = SIGN_AT_ONCE;
    for (const proposal of this.inTurn(one, view)) {
      if (left === 0) break;
      this.looked.set(one.asset.process, proposal.id);
      if (proposal.epoch !== set.epoch || (await this.isSigned(one, proposal))) continue;
      // What can never be any more keeps none of the others waiting.
      const { anchor } = proposal;
      if (!over.has(anchor)) over.set(anchor, await this.parts.home.isOver(one.asset, anchor));
      if (over.get(anchor) === true) continue;
      left -= 1;
      const why = await this.signOne(one, view, proposal, byNumber, bindings);
      if (why === null) continue;
      for (const number of proposal.withdrawals) {
        const w = byNumber.get(number);
        if (w) refused.set(w.id, why);
      }
    }
    return refused;
  }

  /** All proposals, those not looked at in the last round first: however many are refused, they keep none from being looked at. */
  private inTurn({ asset }: FollowedAsset, { proposals }: ProcessView): OpenProposal[] {
    const all = [...proposals.values()];
    const at = all.findIndex((p) => p.id === this.looked.get(asset.process)) + 1;
    return [...all.slice(at), ...all.slice(0, at)];
  }

  private async propose(
    one: FollowedAsset,
    view: ProcessView,
    set: ProcessView['set'],
    payable: readonly OpenWithdrawal[],
    { bound }: Bindings,
  ): Promise<void> {
    const { home, ledger, log, self, write } = this.parts;
    const { asset } = one;
    const index = set.guardians.findIndex((g) => g === self);
    const isTurn = (anchor: string): boolean => this.turns.isMine(anchor, index, set.guardians.length);
    const free = payable.filter((w) => !bound.has(w.number));
    const held = payable.flatMap((withdrawal) => {
      const [anchor, ...others] = bound.get(withdrawal.number) ?? [];
      return anchor === undefined || others.length > 0 ? [] : { withdrawal, anchor };
    });
    for (const line of await home.propose(asset, view, free, isTurn, held)) {
      const id = proposalId(asset.process, line);
      if (view.proposals.has(id) || (await ledger.hasProposed(asset.process, id))) continue;
      if (await ledger.keepProposed(asset.process, id, await write(asset.process, 'Propose-Release', line)))
        log.info({ process: asset.process, proposal: id }, 'proposed a transaction of the vault');
    }
  }

  private async isSigned(one: FollowedAsset, { id, signatures }: OpenProposal): Promise<boolean> {
    if (this.signed.has(id)) return true;
    const known = [...signatures.keys()].some((g) => g === this.parts.self);
    if (!known && !(await this.parts.ledger.hasSignedProposal(one.asset.process, id))) return false;
    this.signed.add(id);
    return true;
  }

  /** Null when it is signed, or why not. */
  private async signOne(
    one: FollowedAsset,
    view: ProcessView,
    proposal: OpenProposal,
    payable: ReadonlyMap<bigint, OpenWithdrawal>,
    { bound, voided }: Bindings,
  ): Promise<SignRefusal | null> {
    const { home, ledger, log, write } = this.parts;
    const { process } = one.asset;
    const paid = proposal.withdrawals.flatMap((n) => payable.get(n) ?? []);
    if (paid.length < proposal.withdrawals.length) return 'not-payable';
    const elsewhere = paid.some((w) => bound.get(w.number)?.some((a) => a !== proposal.anchor));
    if (elsewhere) return 'other-anchor';
    const made = await home.sign(one.asset, view, proposal, paid);
    if ('refused' in made) {
      if (made.refused !== 'not-named')
        log.warn({ process, proposal: proposal.id, why: made.refused }, 'a proposal is not signed');
      return made.refused;
    }
    const { id, anchor } = proposal;
    const line = encodeProposalSignLine({ id, signatures: made.signatures });
    const message = await write(process, 'Sign-Release', line);
    await ledger.keepProposalSigned(process, { id, anchor, numbers: paid.map((w) => w.number) }, voided, message);
    this.signed.add(id);
    for (const w of paid) bound.set(w.number, [anchor]);
    for (const w of paid) log.info({ transfer: w.id, number: String(w.number), proposal: id }, 'signed a release');
    return null;
  }

  private async bindings(one: FollowedAsset, among: readonly OpenWithdrawal[]): Promise<Bindings> {
    const { home, ledger } = this.parts;
    const numbers = among.map((w) => w.number);
    const known = await ledger.anchorsAmong(one.asset.process, numbers);
    const voided: string[] = [];
    for (const anchor of new Set([...known.values()].flat()))
      if ((await home.anchor(one.asset, anchor)) === 'void') voided.push(anchor);
    const bound = [...known].map(([n, anchors]) => [n, anchors.filter((a) => !voided.includes(a))] as const);
    return { bound: new Map(bound.filter(([, anchors]) => anchors.length > 0)), voided };
  }
}
