/**
 * Watches one vault account by its history of final transactions, in order, from its first. That nothing is missing shows in the balance:
 * each transaction must begin with what the last one left. What was final stays final.
 */
import { AgreementLost } from '../sources.js';
import { eventsOf, heldBy, type VaultEvent } from './deposit.js';
import type { VaultAccount } from './programs.js';
import { MAX_BATCH, PAGE, type Listed, type SolanaPool } from './rpc.js';

/** Up to where an account was watched. */
export interface SolanaCursor {
  /** The last transaction that was handled; null before the first. */
  signature: string | null;
  slot: number;
  /** What the account held after it, base units. */
  balance: bigint;
}

/** What one step found, and where it ended. */
export interface SolanaScan {
  events: VaultEvent[];
  cursor: SolanaCursor;
  /** Final slot when the history was listed. */
  finalized: number;
  /** Transactions that are known to come after. */
  caughtUp: boolean;
}

/** A transaction that was final is not there any more: people must look. */
export class SolanaFinalityViolated extends Error {
  readonly code = 'finality-violated';
  constructor(signature: string, slot: number, now: number | null) {
    super(
      `Transaction ${signature} was final in slot ${slot} and is now ${now === null ? 'unknown' : `in slot ${now}`}.`,
    );
    this.name = 'SolanaFinalityViolated';
  }
}

/** A transaction of the account is missing between two that are shown: withheld, or older than what the sources keep. */
export class BalanceGap extends Error {
  readonly code = 'balance-gap';
  constructor(account: string, signature: string, expected: bigint, shown: bigint) {
    super(
      `${account} held ${expected} and transaction ${signature} begins with ${shown}: one before it is missing. Use sources that keep the whole history.`,
    );
    this.name = 'BalanceGap';
  }
}

/** Pages between the newest and the oldest transaction not yet handled: 100 million transactions, 10 MB of marks. */
const MAX_MARKS = 100_000;

/** A walk through the history: where its pages begin, newest first, and what is left of the oldest page, oldest first. */
interface Walk {
  finalized: number;
  top: Listed;
  marks: string[];
  queue: Listed[];
  /** The cursor it goes on from. */
  at: string | null;
}

export class SolanaWatcher {
  private walk: Walk | null = null;
  private readTo = 0;

  constructor(
    private readonly pool: SolanaPool,
    readonly vault: VaultAccount,
  ) {}

  /** Final slot up to which the account's history was read since this was made. */
  get watchedTo(): number {
    return this.readTo;
  }

  /** Where to begin: before the account was made. */
  begin(): SolanaCursor {
    return { signature: null, slot: 0, balance: 0n };
  }

  /**
   * Reads the next transactions; null when there is none. Nothing is concluded unless all of them are in order.
   * @throws AgreementLost, SolanaFinalityViolated, BalanceGap, TransactionUnclear
   */
  async step(cursor: SolanaCursor): Promise<SolanaScan | null> {
    try {
      if (this.walk === null || this.walk.at !== cursor.signature) this.walk = await this.begun(cursor);
      const { walk } = this;
      if (walk === null) return null; // `begun` has noted how far that is
      const listed = await this.next(walk);
      const { events, balance } = await this.read(listed, cursor.balance);
      const last = listed.at(-1) ?? walk.top;
      walk.at = last.signature;
      const caughtUp = last.signature === walk.top.signature;
      if (caughtUp) {
        this.walk = null;
        this.readTo = Math.max(this.readTo, walk.finalized);
      }
      return {
        events,
        cursor: { signature: last.signature, slot: last.slot, balance },
        finalized: walk.finalized,
        caughtUp,
      };
    } catch (error) {
      this.walk = null;
      throw error;
    }
  }

  /** Finds where the history after the cursor begins, by pages from its newest end. */
  private async begun(cursor: SolanaCursor): Promise<Walk | null> {
    const finalized = await this.pool.finalized();
    if (finalized < cursor.slot)
      throw new AgreementLost(`a final slot at ${cursor.slot} or above`, 0, 1, [`the sources are at ${finalized}`]);
    await this.checkStillFinal(cursor);
    const { address } = this.vault;
    const top = await this.pool.newest(address, cursor.signature, finalized);
    if (top === null) {
      this.readTo = Math.max(this.readTo, finalized);
      return null;
    }
    const marks = [top.signature];
    let page = await this.pool.page(address, top.signature, cursor.signature);
    while (page.length === PAGE) {
      if (marks.length >= MAX_MARKS)
        throw new Error(`${address} has more history than can be watched: begin from a later cursor.`);
      const mark = (page.at(-1) as Listed).signature;
      marks.push(mark);
      page = await this.pool.page(address, mark, cursor.signature);
    }
    return { finalized, top, marks, queue: page.toReversed(), at: cursor.signature };
  }

  /** The next transactions in the chain's order. */
  private async next(walk: Walk): Promise<Listed[]> {
    while (walk.queue.length === 0) {
      walk.marks.pop();
      const mark = walk.marks.at(-1);
      walk.queue =
        mark === undefined ? [walk.top] : (await this.pool.page(this.vault.address, mark, walk.at)).toReversed();
    }
    return walk.queue.splice(0, MAX_BATCH);
  }

  private async read(listed: readonly Listed[], before: bigint): Promise<{ events: VaultEvent[]; balance: bigint }> {
    const wanted = listed.filter((one) => !one.failed); // a failed one moved nothing
    const transactions = wanted.length === 0 ? [] : await this.pool.transactions(wanted);
    let balance = before;
    const events = transactions.flatMap((transaction) => {
      const holding = transaction.holdings.get(this.vault.address);
      if (holding === undefined) return []; // only named by a lookup table’s own instructions
      const held = heldBy(this.vault, holding.before);
      if (held !== balance) throw new BalanceGap(this.vault.address, transaction.signature, balance, held);
      balance = heldBy(this.vault, holding.after);
      return eventsOf(transaction, this.vault);
    });
    return { events, balance };
  }

  private async checkStillFinal({ signature, slot }: SolanaCursor): Promise<void> {
    if (signature === null) return;
    if ((await this.pool.finalSlot(signature)) === slot) return;
    this.pool.recheckChains(); // a source that has come to serve another cluster only looks like it
    const now = await this.pool.finalSlot(signature);
    if (now !== slot) throw new SolanaFinalityViolated(signature, slot, now);
  }
}
