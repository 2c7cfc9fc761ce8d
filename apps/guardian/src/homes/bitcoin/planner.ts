/**
 * What a guardian proposes: payments that have waited long enough, one batch over the newest anchor at a time; deposits gathered before their refund
 * opens; a higher fee for what is not mined; and the vault's coins for the guardians that take over. All of it from facts that others have too.
 */
import { encodeProposalLine, type OpenWithdrawal, type ProcessView } from '@isthmus/bridge';
import {
  BitcoinError,
  encodeProposal,
  outpointOf,
  paysMore,
  planRelease,
  planReplacement,
  planSweep,
  type Batch,
  type BitcoinNetwork,
  type Payout,
  type VaultCoin,
  type VaultScript,
  hexOf,
} from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import type { Batches } from './batches.js';
import { payoutFor } from './facts.js';
import type { Fees } from './fees.js';
import type { BitcoinStore } from './store.js';
import { planGathering, planHandOver, sweepLimit, worthwhile } from './sweep.js';
import type { BoundWithdrawal } from '../home.js';
import type { Place } from './tip.js';

/** Payouts that do not wait for more. */
const FULL = 50;
/** Batches tried in one round, of other payouts each. */
const MAX_TRIES = 100;
/** Blocks after which a batch that is signed and not mined may be lifted. */
const STUCK_BLOCKS = 3;
/** Milliseconds others' proposal over an anchor is given to be signed, at least. */
const YOUNG_MS = 10_000;
/** Things remembered of when they were first seen. */
const MAX_SINCE = 10_000;

export interface PlannerParts {
  store: BitcoinStore;
  batches: Batches;
  network: BitcoinNetwork;
  fees: Fees;
  /** AO address of this guardian. */
  self: string;
  /** Milliseconds a payment waits for others. */
  batchMs: number;
  log: Logger;
  now: () => number;
}

/** The state of things a plan is made in. */
export interface Situation {
  view: ProcessView;
  /** Of the set that proposes. */
  epoch: bigint;
  places: readonly Place[];
  height: number;
  /** What the vault can spare at a place for a transaction that pays nobody. */
  spare: (place: Place) => bigint;
  /** Blocks before a refund opens in which deposits are gathered, and pay for nothing else. */
  sweepBlocks: number;
  isTurn: (anchor: string) => boolean;
}

type Planned = { batch: Batch; feeRate: bigint };

export class Planner {
  private readonly since = new Map<string, number>();

  constructor(private readonly parts: PlannerParts) {}

  /** The line that pays some of these, or gathers what is due. Those that are `bound` may be paid over one anchor only. */
  async pay(
    situation: Situation,
    payable: readonly OpenWithdrawal[],
    bound: readonly BoundWithdrawal[],
  ): Promise<string[]> {
    const { places, isTurn } = situation;
    const lifted = this.lift(situation);
    const top = places.at(-1);
    if (lifted || !top) return lifted ? [lifted] : [];
    const here = bound.filter((b) => b.anchor === top.anchor).map((b) => b.withdrawal);
    const due = this.waited([...payable, ...here].filter((w) => !top.paid.has(w.number)));
    const gathered = await this.gather(situation, top);
    if ((due.length === 0 && !gathered) || this.isServed(situation, top) || !isTurn(top.anchor)) return [];
    // Sweeps are in a hurry, and a flood of them delays a payment by one each.
    const isFirst = gathered !== null && top.below?.payouts.length !== 0;
    const planned = isFirst ? gathered : ((await this.release(situation, top, due)) ?? gathered);
    return planned ? [this.line(situation.epoch, planned)] : [];
  }

  /** The line that gives all the vault has to other keys; what does not fit is gathered first. */
  async handOver(situation: Situation, to: VaultScript): Promise<string[]> {
    const { store, batches, fees } = this.parts;
    // One that pays too little to be mined is replaced, or nobody would ever be paid again.
    const stuck = this.stuck(situation);
    const at = stuck ?? situation.places.at(-1);
    if (!at || at.unconfirmed > 0 || !situation.isTurn(at.anchor)) return [];
    if (this.isServed(situation, at, stuck?.signed?.feeRate)) return [];
    const from = at.coin.lock;
    const rows = await store.leftIn(hexOf(from.script));
    const of = async (isCredited: boolean): Promise<VaultCoin[]> =>
      this.usable(at, await batches.coins(rows.filter((r) => (r.state === 'credited') === isCredited)));
    const old = stuck?.signed?.batch;
    const left = { credited: await of(true), others: await of(false), kept: old?.inputs.slice(1) ?? [] };
    const feeRate = fees.rate;
    const plan = { anchor: at.coin, unconfirmed: at.unconfirmed, vault: keysOf(batches, at), feeRate };
    const batch = planHandOver(plan, { from, to }, left, situation.spare(at));
    if (old && !(batch instanceof BitcoinError) && !paysMore(batch, old)) return [];
    return this.orSay(batch, feeRate, situation, 'the vault cannot be handed over');
  }

  /** The lowest place whose batch is signed and not mined for long at less than is paid now. */
  private stuck({ places, height }: Situation): Place | null {
    const place = places.find((p) => p.signed);
    if (!place?.signed) return null;
    const { batch, row } = place.signed;
    const blocks = height - this.first(`signed ${row.txid}`, height);
    return blocks >= STUCK_BLOCKS && this.parts.fees.isLow(batch) ? place : null;
  }

  /** What lifts the lowest batch that is signed and not mined for long at less than is paid now. */
  private lift(situation: Situation): string | null {
    const { fees, batches } = this.parts;
    const { places, isTurn } = situation;
    const stuck = this.stuck(situation);
    if (!stuck?.signed) return null;
    const { batch, feeRate } = stuck.signed;
    const over = this.isServed(situation, stuck, feeRate);
    if (over || !isTurn(stuck.anchor)) return null;
    const rate = fees.rate;
    const isLast = places.at(-1) === places[places.indexOf(stuck) + 1];
    const replaced = isLast ? this.replacement(situation, stuck, batch, rate) : null;
    if (replaced) return this.line(situation.epoch, { batch: replaced, feeRate: rate });
    const [under, top] = places.slice(-2);
    // What was lifted already is not lifted again at the same rate.
    if (!top?.below || !under?.signed || !fees.isLow(under.signed.batch) || this.isServed(situation, top)) return null;
    const { vsize, fee } = top.below;
    const child = attempt(() =>
      planSweep({
        ...planOf(top, top.coin.lock),
        vault: keysOf(batches, top),
        feeRate: rate,
        coins: [],
        reserve: situation.spare(top),
        lift: { vsize, fee },
      }),
    );
    return child instanceof BitcoinError ? null : this.line(situation.epoch, { batch: child, feeRate: rate });
  }

  private replacement({ spare }: Situation, place: Place, batch: Batch, feeRate: bigint): Batch | null {
    const [, ...coins] = batch.inputs;
    const reserve = sweepLimit(coins, spare(place));
    const made = attempt(() =>
      batch.payouts.length > 0
        ? planReplacement(batch, feeRate)
        : planSweep({ ...planOf(place, batch.change.lock), vault: batch.vault, feeRate, coins, reserve }),
    );
    return made instanceof BitcoinError ? null : made;
  }

  private async release(
    { height, sweepBlocks }: Situation,
    top: Place,
    due: readonly OpenWithdrawal[],
  ): Promise<Planned | null> {
    const { store, batches, fees, network, log } = this.parts;
    const feeRate = fees.rate;
    const vault = keysOf(batches, top);
    const rows = await store.spendable(hexOf(top.coin.lock.script), height, sweepBlocks);
    const coins = worthwhile(this.usable(top, await batches.coins(rows)), vault, feeRate);
    let waiting = due.map((w) => payoutFor(w, network));
    let payouts: Payout[] = waiting.slice(0, FULL);
    for (let tries = 0; payouts.length > 0 && tries < MAX_TRIES; tries += 1) {
      const built = attempt(() =>
        planRelease({
          ...planOf(top, top.coin.lock),
          vault,
          feeRate,
          payouts,
          coins,
        }),
      );
      if (!(built instanceof BitcoinError)) return { batch: built.batch, feeRate };
      log.info({ why: built.code, payouts: payouts.length }, 'no batch can be built of these payouts');
      // Those that do not allow what they cost keep none behind them from being paid; nor does one too large for what is there.
      if (built.code === 'fee-limit') waiting = waiting.slice(FULL);
      else if (built.code === 'not-enough-coins') waiting = waiting.filter((p) => p !== largestOf(payouts));
      else return null;
      payouts = waiting.slice(0, FULL);
    }
    return null;
  }

  /** What gathers deposits whose refund opens soon; null when there are none, or they cannot be paid for. */
  private async gather({ height, sweepBlocks, spare }: Situation, top: Place): Promise<Planned | null> {
    const { store, batches, fees, log } = this.parts;
    const rows = await store.due(hexOf(top.coin.lock.script), height, sweepBlocks);
    const due = this.usable(top, await batches.coins(rows));
    if (due.length === 0) return null;
    const feeRate = fees.rate;
    const plan = { ...planOf(top, top.coin.lock), vault: keysOf(batches, top), feeRate };
    const batch = planGathering(plan, due, spare(top));
    if (batch && !(batch instanceof BitcoinError)) return { batch, feeRate };
    if (batch)
      log.error({ why: batch.message, deposits: due.length }, 'deposits cannot be gathered before their refund opens');
    return null;
  }

  private usable(top: Place, coins: readonly VaultCoin[]): VaultCoin[] {
    return coins.filter((c) => outpointOf(c) !== top.anchor && !top.spent.has(outpointOf(c)));
  }

  /**
   * Whether a proposal of this set over the anchor that this guardian stands behind, as its own or by its signature, is young enough to be signed
   * by others yet; of those above a rate. What others only claim serves nobody.
   */
  private isServed({ view, epoch }: Situation, { anchor, dead }: Place, above = 0n): boolean {
    const { batchMs, now, self } = this.parts;
    const young = now() - Math.max(2 * batchMs, YOUNG_MS);
    return [...view.proposals.values()].some(
      (p) =>
        p.anchor === anchor &&
        !dead.has(p.id) &&
        p.epoch === epoch &&
        (p.guardian === self || [...p.signatures.keys()].some((g) => g === self)) &&
        BigInt(/^r([0-9]{1,10})t/.exec(p.content)?.[1] ?? 0) > above &&
        this.first(`proposal ${p.id}`, now()) > young,
    );
  }

  /** Those to be paid now: all, once there are many or one has waited for long. */
  private waited(open: readonly OpenWithdrawal[]): readonly OpenWithdrawal[] {
    const { batchMs, now } = this.parts;
    const waited = open.filter((w) => this.first(`withdrawal ${w.id}`, now()) <= now() - batchMs);
    return waited.length > 0 || open.length >= FULL ? open : [];
  }

  /** When, or at which height, something was first seen. */
  private first(what: string, now: number): number {
    const known = this.since.get(what);
    if (known !== undefined) return known;
    const [oldest] = this.since.keys();
    if (this.since.size >= MAX_SINCE && oldest !== undefined) this.since.delete(oldest);
    this.since.set(what, now);
    return now;
  }

  private orSay(batch: Batch | BitcoinError, feeRate: bigint, { epoch }: Situation, what: string): string[] {
    if (!(batch instanceof BitcoinError)) return [this.line(epoch, { batch, feeRate })];
    this.parts.log.error({ why: batch.message }, what);
    return [];
  }

  private line(epoch: bigint, { batch, feeRate }: Planned): string {
    const withdrawals = batch.payouts.map((p) => p.number);
    return encodeProposalLine({ epoch, withdrawals, ...encodeProposal(batch, feeRate) });
  }
}

const largestOf = (payouts: readonly Payout[]): Payout | undefined =>
  payouts.toSorted((a, b) => (a.amount < b.amount ? 1 : -1))[0];

const planOf = ({ coin, unconfirmed }: Place, changeTo: VaultScript) => ({ anchor: coin, unconfirmed, changeTo });

/** Whose keys spend at a place: those the anchor is locked to. */
const keysOf = (batches: Batches, { coin }: Place) => batches.vaultAt(hexOf(coin.lock.script)).keys;

function attempt<T>(build: () => T): T | BitcoinError {
  try {
    return build();
  } catch (error) {
    if (error instanceof BitcoinError) return error;
    throw error;
  }
}
