/** What a vault has paid, held against the withdrawals that were burned: each payment is of one, as it was burned, and there is one payment of each. */
import { SettlementFinding } from '@isthmus/arweave';
import type { DataSource } from 'typeorm';

/** A payment of the vault whose burn is in no slot that was settled. */
export interface EarlyPayment {
  /** Of the withdrawal. */
  number: bigint;
  tx: string;
}

/** A payment for a withdrawal, in a block that counts. */
export interface SeenPayment {
  number: bigint;
  /** Base units that left the vault for it, those for who carried it out among them or not. */
  paid: bigint;
  /** Whether it pays this address of the home chain. */
  isTo: (recipient: string) => boolean;
  tx: string;
}

interface Burned {
  number: string;
  recipient: string;
  amount: string;
  max_fee: string;
  state: string;
}

/** Payments shown for withdrawals that no settled slot has. */
const MOST_EARLY = 100;
/** No withdrawal has a number above it: that is what a column takes. */
const HIGHEST = 2n ** 63n - 1n;
/** Withdrawals read at once. */
const PAGE = 10_000;
/** What the process holds for paid. */
const PAID = ['released', 'held'];

/** Payments of one token process, in memory one bit a withdrawal. */
export class Payments {
  private readonly seen = new NumberBits();
  private readonly known = new Map<bigint, EarlyPayment>();
  private unattested = 0n;

  constructor(
    private readonly database: DataSource,
    readonly process: string,
  ) {}

  /** Paid by the vault, and not known as released to the process; base units. */
  get releasedUnattested(): bigint {
    return this.unattested;
  }

  /** Payments of withdrawals that no settled slot has: what burned for them may be settled later, or there is nothing. */
  get early(): readonly EarlyPayment[] {
    return [...this.known.values()];
  }

  /** @throws SettlementFinding for a payment that is not as it was burned, or a second one */
  async take(payments: readonly SeenPayment[]): Promise<void> {
    if (payments.length === 0) return;
    const rows: Burned[] = await this.database.query(
      `select number, recipient, amount, max_fee, state from transfer where process = $1 and direction = 'withdrawal' and number = any($2::bigint[])`,
      [this.process, payments.filter((p) => p.number <= HIGHEST).map((p) => String(p.number))],
    );
    const burned = new Map(rows.map((row) => [BigInt(row.number), row]));
    for (const payment of payments) {
      const burn = burned.get(payment.number);
      if (burn) this.match(payment, burn);
      else this.takeEarly(payment);
    }
  }

  /** What the process holds for paid was paid, once all blocks that count were taken. @throws SettlementFinding */
  async end(): Promise<void> {
    for (let after = '0'; ;) {
      const rows: { number: string; release_tx: string | null }[] = await this.database.query(
        `select number, release_tx from transfer where process = $1 and direction = 'withdrawal' and state = any($2) and number > $3 order by number limit ${PAGE}`,
        [this.process, PAID, after],
      );
      const missing = rows.find(({ number }) => !this.seen.has(Number(number)));
      if (missing)
        throw this.finding(
          `Withdrawal ${missing.number} is released by ${missing.release_tx}, and no block of the chain that counts pays it.`,
        );
      const last = rows.at(-1);
      if (!last) return;
      after = last.number;
    }
  }

  finding(message: string): SettlementFinding {
    return new SettlementFinding('books-short', message, { process: this.process });
  }

  private match({ number, paid, isTo, tx }: SeenPayment, burn: Burned): void {
    if (!this.seen.add(Number(number))) throw this.finding(`Withdrawal ${number} was paid twice, by ${tx} again.`);
    const amount = BigInt(burn.amount);
    if (paid > amount || paid < amount - BigInt(burn.max_fee))
      throw this.finding(
        `Transaction ${tx} pays ${paid} for withdrawal ${number}; ${amount} were burned, of which ${burn.max_fee} may be its fee.`,
      );
    if (!isTo(burn.recipient))
      throw this.finding(
        `Transaction ${tx} pays somebody else for withdrawal ${number}: it was burned for ${burn.recipient}.`,
      );
    if (!PAID.includes(burn.state)) this.unattested += amount;
  }

  private takeEarly({ number, paid, tx }: SeenPayment): void {
    if (this.known.has(number)) throw this.finding(`Withdrawal ${number} was paid twice, by ${tx} again.`);
    if (this.known.size === MOST_EARLY)
      throw this.finding(
        `Transaction ${tx} pays withdrawal ${number}, which nobody has burned as far as is settled; so do ${MOST_EARLY} payments before it.`,
      );
    this.known.set(number, { number, tx });
    this.unattested += paid;
  }
}

/** Numbers from 1 on, one bit each. */
class NumberBits {
  private bits = new Uint8Array(1024);

  has(number: number): boolean {
    return ((this.bits[number >> 3] ?? 0) & (1 << (number & 7))) !== 0;
  }

  /** False when it is there already. */
  add(number: number): boolean {
    if (this.has(number)) return false;
    const at = number >> 3;
    if (at >= this.bits.length) {
      const more = new Uint8Array(2 * at + 1);
      more.set(this.bits);
      this.bits = more;
    }
    this.bits[at] = (this.bits[at] ?? 0) | (1 << (number & 7));
    return true;
  }
}
