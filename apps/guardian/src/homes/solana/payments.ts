/**
 * Which withdrawals a transaction can pay now. What an account or a trial on the cluster shows to be unpayable stays open and gives way: it goes
 * behind all others, so that however many cannot be paid, they keep none that can from being paid. Of several in one transaction the one that
 * fails need not be the one at fault: each is judged by a trial of its own, and one that gave way is paid alone. A trial is not what happens: a
 * payee may close its account behind it. So those that shared a signed transaction which came to nothing are paid alone from then on, and one that
 * was alone in it stays behind all others, and from the second time on is tried again after a wait that doubles: each costs the relayer a fee, and a nonce's
 * queue its turn.
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
  /** Milliseconds of a clock that never goes back. */
  now?: (() => number) | undefined;
}

/** What is known of a payment that a signed transaction was to make which came to nothing. */
interface Apart {
  /** Transactions that were to make no other. */
  alone: number;
  /** When it may be tried again, milliseconds of the clock. */
  next: number;
}

/** Recipients looked up at once: two accounts each, and one of the relayer. */
const AT_ONCE = 48;

/** Recipients looked up for one transaction: ten requests. */
const MAX_LOOKED_UP = 10 * AT_ONCE;

/** Trials for one transaction: two at most leave one payment out, and those left out are behind the others in the next round. */
const MAX_TRIALS = 16;

/** Milliseconds that a payment waits which failed alone twice, and the most it waits. */
const FIRST_WAIT_MS = 60_000;
const LONGEST_WAIT_MS = 3_600_000;

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
  /** Of each process those, by number, that a signed transaction was to pay which came to nothing. Only open ones. */
  private readonly apart = new Map<string, Map<bigint, Apart>>();
  /** Of each process such transactions: over which anchor they were to pay whom. Only open ones. */
  private readonly failed = new Map<string, Set<string>>();
  private readonly now: () => number;
  private looks = 0;

  constructor(private readonly parts: PaymentsParts) {
    this.now = parts.now ?? (() => performance.now());
  }

  /** Forgets which of a process gave way and are no longer open; no other is forgotten, for it would come first again. */
  keepOpen(process: string, open: ReadonlyMap<bigint, unknown>): void {
    for (const known of [this.behindOf(process), this.apartOf(process)])
      for (const number of known.keys()) if (!open.has(number)) known.delete(number);
  }

  /** Takes all proposals that enough have signed over nonces which are used up: what of theirs is still open was not paid. */
  cameToNothing(process: string, proposals: readonly OpenProposal[]): void {
    const [before, apart] = [this.failed.get(process), this.apartOf(process)];
    const seen = new Set(before);
    this.failed.set(process, new Set(proposals.map(attemptOf)));
    for (const proposal of proposals) {
      const attempt = attemptOf(proposal);
      if (seen.has(attempt)) continue;
      seen.add(attempt);
      const { anchor, withdrawals } = proposal;
      const alone = withdrawals.length === 1;
      // Of several over one anchor one was sent: who was alone in another need not have failed.
      const surely = alone && proposals.every((p) => p.anchor !== anchor || attemptOf(p) === attempt);
      for (const number of withdrawals) {
        const known = apart.get(number) ?? { alone: 0, next: 0 };
        const next = surely ? this.now() + waitAfter(known.alone) : known.next;
        apart.set(number, { alone: known.alone + (alone ? 1 : 0), next });
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
    const now = this.now();
    const tried = withdrawals.filter((w) => (apart.get(w.number)?.next ?? 0) <= now);
    let candidates = await this.payable(place, fee, tried);
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
        for (const { number } of payouts) if ((apart.get(number)?.alone ?? 0) === 0) behind.delete(number);
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

  private apartOf(process: string): Map<bigint, Apart> {
    return ofProcess(this.apart, process);
  }
}

/** The same whoever signs it, whatever its price: of all over one anchor one can be sent. */
const attemptOf = ({ anchor, withdrawals }: OpenProposal): string => `${anchor} ${withdrawals.join()}`;

/** Milliseconds that a payment waits which has failed alone, and so many times before. Once its nonce may have been used up for nothing. */
const waitAfter = (times: number): number =>
  times === 0 ? 0 : Math.min(FIRST_WAIT_MS * 2 ** (times - 1), LONGEST_WAIT_MS);

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
