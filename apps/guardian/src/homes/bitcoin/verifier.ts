/**
 * What others propose, held against this guardian's own facts: the same transaction must follow from its coins and the withdrawals it knows, at a rate near
 * its own, and nobody's money may be wasted by it. Two guardians never see quite the same: nothing is demanded that an honest one could not do.
 */
import { BLOCKS_APART, type BitcoinTerms } from '@isthmus/bridge';
import {
  BitcoinError,
  fewestCoins,
  MIN_CHANGE,
  outpointOf,
  ProposalMismatch,
  rebuild,
  type Batch,
  type Payout,
  type ProposedBatch,
  type RebuildFacts,
  type VaultCoin,
  type VaultKeys,
  type VaultScript,
  hexOf,
} from '@isthmus/chains';
import type { Batches } from './batches.js';
import { paidRate, type Fees } from './fees.js';
import type { Scanner } from './scanner.js';
import type { CoinRow } from './rows.js';
import type { BitcoinStore } from './store.js';
import { isDue, planHandOver, sweepLimit, worthwhile } from './sweep.js';
import type { Place } from './tip.js';

export interface VerifierParts {
  store: BitcoinStore;
  batches: Batches;
  scanner: Scanner;
  fees: Fees;
}

/** What is asked to be signed, and where. */
export interface Question {
  proposed: ProposedBatch;
  payouts: readonly Payout[];
  /** Where it begins, and all places there are. */
  place: Place;
  all: readonly Place[];
  /** What the vault can spare there. */
  spare: bigint;
  /** Whether those who sign leave, and the vault of those who take over. */
  leaves: boolean;
  next: { lock: VaultScript } | null;
}

/** Blocks before a refund opens in which deposits are gathered: twice as many as those in which they are credited no more. */
export const sweepBlocks = ({ sweepMargin }: Pick<BitcoinTerms, 'sweepMargin'>): number => 2 * sweepMargin;

export class Verifier {
  constructor(private readonly parts: VerifierParts) {}

  /** The batch that is proposed, made of this guardian's own facts. */
  async remake({ proposed, payouts, place, all, spare, leaves, next }: Question): Promise<Batch | ProposalMismatch> {
    const { store, batches, fees } = this.parts;
    const { keys, lock } = batches.vaultAt(hexOf(place.coin.lock.script));
    const found = await store.spendableAt(proposed.spends.slice(1), hexOf(lock.script), payouts.length === 0);
    const rows = found.filter((row) => !place.spent.has(outpointOf(row)));
    const coins = new Map([place.coin, ...(await batches.coins(rows))].map((c) => [outpointOf(c), c]));
    const gathered = [...coins.values()].slice(1);
    const isSweep = !leaves && gathered.length > 0;
    const wrong = leaves
      ? await this.leavesBehind(proposed, place, gathered, { vault: keys, reserve: spare })
      : payouts.length > 0
        ? (this.wastes(proposed, payouts, coins, rows) ?? (await this.scatters(proposed, payouts, place, keys)))
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
    // What M guardians have signed over this anchor is replaced with its own coins, or nodes would keep it.
    const before = new Set(place.signed?.batch.inputs.map(outpointOf));
    const added = gathered.filter((c) => !before.has(outpointOf(c)));
    if (worthwhile(added, facts.vault, feeRate).length < added.length)
      return new ProposalMismatch('coins', 'It takes what is worth less than it costs.');
    if (!stays && must.every((c) => taken.has(outpointOf(c)))) return null;
    if (stays) {
      const plan = { vault: facts.vault, anchor, unconfirmed, feeRate };
      const locks = { from: anchor.lock, to: anchor.lock };
      const whole = planHandOver(plan, locks, { credited, others: [] }, facts.reserve);
      const isWhole = !(whole instanceof BitcoinError) && whole.inputs.length > must.length;
      const named = new Set([...before, ...must.map(outpointOf)]);
      const gathers = spends.length > 1 && spends.slice(1).every((s) => named.has(s));
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

  /**
   * Each coin more makes the fee of those who are paid higher: no more are taken than the rule takes of coins that every guardian surely has. What M
   * guardians have signed over this anchor may be replaced from its own coins, whatever has come since.
   */
  private async scatters(
    { spends, feeRate }: ProposedBatch,
    payouts: readonly Payout[],
    place: Place,
    keys: VaultKeys,
  ): Promise<ProposalMismatch | null> {
    const before = place.signed?.batch.inputs.map(outpointOf) ?? [];
    if (before.length === spends.length && before.every((outpoint) => spends.includes(outpoint))) return null;
    const rows = (await this.commonTo(place)).filter((row) => !place.spent.has(outpointOf(row)));
    const coins = worthwhile(await this.parts.batches.coins(rows), keys, feeRate);
    const most = fewestCoins(place.coin, coins, payouts);
    if (most === null || spends.length - 1 <= most) return null;
    return new ProposalMismatch(
      'coins',
      `It spends ${spends.length - 1} coins beside its anchor where ${most} would do.`,
    );
  }

  /** Coins that another honest guardian may spend as well, though its tip is some blocks from this one's: minted or nobody's, long final, and not due for long. */
  private async commonTo({ coin }: Place): Promise<CoinRow[]> {
    const { store, scanner } = this.parts;
    const { height, finalHeight, terms } = scanner;
    const rows = await store.spendable(hexOf(coin.lock.script), height, sweepBlocks(terms) + BLOCKS_APART);
    return rows.filter((row) => (row.minted || row.state === 'refused') && row.height <= finalHeight - BLOCKS_APART);
  }

  /** Why a transaction that only moves coins gathers one that may stay where it is: the vault pays for it. */
  private isIdle(
    gathered: readonly VaultCoin[],
    rows: readonly CoinRow[],
    { feeRate }: ProposedBatch,
    keys: VaultKeys,
  ): ProposalMismatch | null {
    const { height, terms } = this.parts.scanner;
    const allDue = rows.every((row) => isDue(row, height, sweepBlocks(terms) + BLOCKS_APART));
    if (allDue && worthwhile(gathered, keys, feeRate).length === gathered.length) return null;
    return new ProposalMismatch('coins', 'It gathers what is not due, or is worth less than it costs.');
  }

  private liftsNothing(place: Place, all: readonly Place[], { feeRate }: ProposedBatch): ProposalMismatch | null {
    const under = all[all.indexOf(place) - 1]?.signed;
    if (under && this.parts.fees.isLow(under.batch) && feeRate > paidRate(under.batch)) return null;
    return new ProposalMismatch('coins', 'It pays nobody, gathers nothing that is due, and lifts nothing.');
  }
}
