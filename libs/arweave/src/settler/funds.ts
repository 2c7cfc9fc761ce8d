/** How long the wallet lasts: its balance, what a bundle costs now, and what was settled in the last day. */
import type { Poster } from '../posting/poster.js';
import { SettlerError } from './error.js';
import type { SettlementStore } from './settlement-store.js';

const DAY_MS = 86_400_000;
/** Prices are asked for a mebibyte. */
const MIB = 1024 * 1024;
/** Balance and price change slowly: looked at this often at most. */
const FRESH_MS = 60_000;
/** Digits of days that are counted. */
const TENTHS = 10n;

export interface FundsPolicy {
  /** Below this the wallet counts as short, in winston. */
  minBalance: bigint;
  /** So too when it lasts for fewer days at the pace of the last one. */
  minDays: number;
}

export interface FundsReading {
  wallet: string;
  /** Winston. */
  balance: bigint;
  /** What a mebibyte costs now, in winston. */
  pricePerMiB: bigint;
  /** Settled in the last 24 hours. */
  bytesPerDay: number;
  /** At that pace and price; null when nothing was settled, or it costs nothing. */
  days: number | null;
  at: Date;
}

export class Funds {
  /** Null: nobody has looked yet, or the service that is paid does not say. */
  reading: FundsReading | null = null;
  private lookedAt = -Infinity;

  constructor(
    private readonly poster: Poster,
    private readonly store: SettlementStore,
    private readonly policy: FundsPolicy,
    private readonly now: () => number,
  ) {}

  /** Looks, if it is time to. @throws ArweaveError; SettlerError `wallet-short` as long as that is so */
  async look(): Promise<void> {
    if (this.now() - this.lookedAt >= FRESH_MS || this.shortage() !== null) await this.read();
    const short = this.shortage();
    if (short !== null) throw new SettlerError('wallet-short', short);
  }

  private async read(): Promise<void> {
    const [balance, pricePerMiB] = await Promise.all([this.poster.balance(), this.poster.price(MIB)]);
    this.lookedAt = this.now();
    if (balance === null || pricePerMiB === null) return;
    const bytesPerDay = await this.store.bytesSince(new Date(this.now() - DAY_MS));
    const perDay = (pricePerMiB * BigInt(bytesPerDay)) / BigInt(MIB);
    const days = perDay === 0n ? null : Number((balance * TENTHS) / perDay) / Number(TENTHS);
    this.reading = { wallet: this.poster.wallet, balance, pricePerMiB, bytesPerDay, days, at: new Date(this.now()) };
  }

  /** Why the wallet needs money now, for its operator; null when it does not. */
  private shortage(): string | null {
    if (!this.reading) return null;
    const { wallet, balance, days } = this.reading;
    const { minBalance, minDays } = this.policy;
    if (balance < minBalance)
      return `The wallet ${wallet} has ${balance} winston, below the ${minBalance} it should: send AR there.`;
    if (days !== null && days < minDays)
      return `The wallet ${wallet} lasts for ${days} days at the present pace, below the ${minDays} it should: send AR there.`;
    return null;
  }
}
