/**
 * Which withdrawals a transaction can pay now. What an account or a trial on the cluster shows to be unpayable stays open and gives way: it goes
 * behind all others, so that however many cannot be paid, they keep none that can from being paid. Of several in one transaction the one that
 * fails need not be the one at fault: each is judged by a trial of its own, and one that gave way is paid alone. A trial is not what happens: a
 * payee may close its account behind it. So those that shared a signed transaction which came to nothing are paid alone from then on, and one that
 * was alone in it stays behind all others.
 */
import type { OpenProposal, OpenWithdrawal } from '@isthmus/bridge';
import { AgreementLost, solana } from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import type { Place } from './proposals.js';
import type { SolanaStore } from './store.js';

export interface PaymentsParts {
  pool: Pick<solana.SolanaPool, 'accounts' | 'failureOf'>;
  store: Pick<SolanaStore, 'paidAmong'>;
  log: Logger;
}

/** Recipients looked up at once: two accounts each, and one of the relayer. */
const AT_ONCE = 48;

/** Recipients looked up for one transaction: ten requests. */
const MAX_LOOKED_UP = 10 * AT_ONCE;

/** Trials for one transaction: two at most leave one payment out, and those left out are behind the others in the next round. */
const MAX_TRIALS = 16;

/** How a trial failed. */
interface Failed {
  /** Whose payment did; null when it was no one's. */
  blamed: solana.Payout | null;
  /** No instruction and no account failed, but the transaction: its nonce is another, or the relayer has no fee for it. */
  whoever: boolean;
}

export class Payments {
  /** Of each process the withdrawals, by number, that could not be paid when they were last looked at, with when that was. Only open ones. */
  private readonly behind = new Map<string, Map<bigint, number>>();
  /** Of each process those, by number, that a signed transaction was to pay which came to nothing; whether it paid no other. Only open ones. */
  private readonly apart = new Map<string, Map<bigint, boolean>>();
  /** Of each process the proposals of such transactions. Only open ones. */
  private readonly failed = new Map<string, Set<string>>();
  private looks = 0;

  constructor(private readonly parts: PaymentsParts) {}

  /** Forgets which of a process gave way and are no longer open; no other is forgotten, for it would come first again. */
  keepOpen(process: string, open: ReadonlyMap<bigint, unknown>): void {
    for (const known of [this.behindOf(process), this.apartOf(process)])
      for (const number of known.keys()) if (!open.has(number)) known.delete(number);
  }

  /** Takes all proposals that enough have signed over nonces which are used up: what of theirs is still open was not paid. */
  cameToNothing(process: string, proposals: readonly OpenProposal[]): void {
    const [before, apart] = [this.failed.get(process), this.apartOf(process)];
    this.failed.set(process, new Set(proposals.map((p) => p.id)));
    for (const { id, withdrawals } of proposals) {
      if (before?.has(id)) continue;
      const alone = withdrawals.length === 1;
      for (const number of withdrawals) {
        apart.set(number, alone || apart.get(number) === true);
        if (alone) this.putBehind({ process, number });
      }
    }
  }

  /** What one transaction of this form can pay of these withdrawals now, by number; each pays the relayer `fee`. @throws AgreementLost */
  async over(
    place: Place,
    plan: solana.TransactionPlan,
    fee: bigint,
    withdrawals: readonly OpenWithdrawal[],
  ): Promise<solana.Payout[]> {
    const [behind, apart] = [this.behindOf(place.process), this.apartOf(place.process)];
    let candidates = await this.payable(place, fee, withdrawals);
    /** Of several that failed together: tried alone next. */
    let suspect: solana.Payout | null = null;
    for (let trials = 0; trials < MAX_TRIALS && candidates.length > 0;) {
      const fresh = firstTogether(
        candidates.filter((p) => !behind.has(p.number)),
        apart,
      );
      const alone = suspect ? [suspect] : candidates.slice(0, 1);
      const { payouts, impossible } = this.packed(plan, suspect === null && fresh.length > 0 ? fresh : alone);
      candidates = candidates.filter((p) => !impossible.includes(p));
      if (payouts.length === 0) continue;
      trials += 1;
      const failed = await this.trial({ ...plan, payouts });
      if (failed === null) {
        for (const { number } of payouts) if (apart.get(number) !== true) behind.delete(number);
        return payouts;
      }
      const [first] = payouts;
      suspect = payouts.length > 1 ? (failed.blamed ?? first ?? null) : null;
      if (suspect !== null) continue;
      if (failed.whoever) return [];
      for (const payout of payouts) this.putBehind(payout);
      candidates = candidates.filter((p) => p !== first);
    }
    return [];
  }

  /** The payment that keeps a plan from succeeding as the cluster is now; null when none does, or when its sources do not say. */
  async unpayableIn(plan: solana.ReleasePlan): Promise<solana.Payout | null> {
    return (await this.trial(plan))?.blamed ?? null;
  }

  /** How a plan fails as the cluster is now; null when it does not, or when its sources do not say. */
  private async trial(plan: solana.ReleasePlan): Promise<Failed | null> {
    const { pool, log } = this.parts;
    try {
      const failure = await pool.failureOf(solana.releaseMessage(plan));
      if (failure === null) return null;
      const blamed = solana.blamedFor(plan, failure);
      const { process, number } = blamed ?? { process: plan.payouts[0]?.process, number: null };
      log.warn({ process, number: number?.toString(), failure }, 'a withdrawal waits: a trial of its payment failed');
      return { blamed, whoever: 'other' in failure };
    } catch (error) {
      if (!(error instanceof AgreementLost)) throw error;
      log.warn({ why: error.message }, 'payments could not be tried before they are signed');
      return null;
    }
  }

  /** Payments of the first withdrawals that can be paid now, those that could not be lately last. */
  private async payable(place: Place, fee: bigint, withdrawals: readonly OpenWithdrawal[]): Promise<solana.Payout[]> {
    const behind = this.behindOf(place.process);
    const seen = ({ number }: OpenWithdrawal): number => behind.get(number) ?? 0;
    const paying = withdrawals
      .filter((w) => w.maxFee >= fee)
      .toSorted((a, b) => seen(a) - seen(b) || (a.number < b.number ? -1 : 1));
    for (let at = 0; at < Math.min(paying.length, MAX_LOOKED_UP); at += AT_ONCE) {
      const found = await this.lookedUp(place, fee, paying.slice(at, at + AT_ONCE));
      if (found.length > 0) return found;
    }
    return [];
  }

  private async lookedUp(
    { process, vault, relayer }: Place,
    fee: bigint,
    some: readonly OpenWithdrawal[],
  ): Promise<solana.Payout[]> {
    const { pool, store, log } = this.parts;
    const known = await store.paidAmong(
      process,
      some.map((w) => w.number),
    );
    const places = [{ recipient: relayer }, ...some].flatMap((w) => [w.recipient, solana.paidAt(vault, w.recipient)]);
    const accounts = await pool.accounts(places);
    const standing = (i: number, recipient: string, amount: bigint) =>
      solana.judgeRecipient(
        vault,
        recipient,
        { wallet: accounts[2 * i] ?? null, account: accounts[2 * i + 1] ?? null },
        amount,
      );
    const keeper = standing(0, relayer, fee);
    if (fee > 0n && !solana.isNative(vault) && (!keeper.payable || keeper.create)) {
      log.warn({ process, relayer }, 'withdrawals wait: the relayer has no account for its fees');
      return [];
    }
    return some.flatMap(({ number, id, recipient, amount }, i): solana.Payout[] => {
      if (known.has(number)) return [];
      const judged = standing(i + 1, recipient, amount - fee);
      if (judged.payable) return [{ process, number, recipient, amount, fee, create: judged.create }];
      this.putBehind({ process, number });
      log.warn({ transfer: id, why: judged.why }, 'a withdrawal waits: its recipient cannot be paid now');
      return [];
    });
  }

  /** As many of these payments, from the first, as one transaction holds; those no transaction can make give way. */
  private packed(
    plan: solana.TransactionPlan,
    some: readonly solana.Payout[],
  ): { payouts: solana.Payout[]; impossible: solana.Payout[] } {
    const { together, impossible } = solana.together(plan, some);
    for (const payout of impossible) {
      const { process, number } = payout;
      this.putBehind(payout);
      this.parts.log.warn({ process, number: String(number) }, 'a withdrawal cannot be paid by any transaction');
    }
    return { payouts: together.toSorted((a, b) => (a.number < b.number ? -1 : 1)), impossible };
  }

  private putBehind({ process, number }: Pick<solana.Payout, 'process' | 'number'>): void {
    this.looks += 1;
    this.behindOf(process).set(number, this.looks);
  }

  private behindOf(process: string): Map<bigint, number> {
    return ofProcess(this.behind, process);
  }

  private apartOf(process: string): Map<bigint, boolean> {
    return ofProcess(this.apart, process);
  }
}

function ofProcess<T>(all: Map<string, Map<bigint, T>>, process: string): Map<bigint, T> {
  const known = all.get(process) ?? new Map<bigint, T>();
  all.set(process, known);
  return known;
}

/** The first, and with it all others that may share a transaction; the first alone when it may not. */
function firstTogether(some: readonly solana.Payout[], apart: ReadonlyMap<bigint, unknown>): solana.Payout[] {
  const [first] = some;
  if (first && apart.has(first.number)) return [first];
  return some.filter((p) => !apart.has(p.number));
}
