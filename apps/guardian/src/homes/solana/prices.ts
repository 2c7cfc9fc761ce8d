/**
 * What a compute unit should cost, and what others may propose it costs: near what was paid lately as this guardian's own sources tell it, so that
 * no guardian alone has the relayer pay what nobody else pays. What others propose is judged by the dearest that any source tells: one that says
 * nothing was paid, or says nothing, must not have this guardian refuse what all others sign.
 */
import { Recently, solana } from '@isthmus/chains';

/** Prices of two minutes move by that much between two honest looks; what is proposed is signed some rounds later. */
const APART = 4n;
/** Beside that, where next to nothing is paid: at 100,000 units 1,000 lamports, less than a signature costs. */
const SLACK = 10_000n;
/** Milliseconds a look at the fees serves: validators tell those of the last 150 slots, a minute. */
const FRESH_MS = 5_000;

interface Look {
  /** What to propose. */
  price: bigint;
  /** The dearest that was told; null when no source told anything. */
  dearest: bigint | null;
}

export class Prices {
  /** By vault: as many as there are assets. */
  private readonly looks = new Map<string, Recently<Look>>();

  constructor(
    private readonly pool: Pick<solana.SolanaPool, 'priorityFees'>,
    /** Never more, micro-lamports a unit. */
    private readonly most: bigint,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** What to propose for a transaction of a vault now. */
  async fair(vault: string, relayer: string): Promise<bigint> {
    return this.within((await this.look(vault, relayer)).price);
  }

  /** Whether a price others propose is one this guardian signs for: whatever is within its limit when no source answers. */
  async isFair(price: bigint, vault: string, relayer: string): Promise<boolean> {
    if (price <= this.within(SLACK)) return true;
    const { dearest } = await this.look(vault, relayer);
    return price <= (dearest === null ? this.most : this.within(dearest * APART + SLACK));
  }

  private look(vault: string, relayer: string): Promise<Look> {
    const known = this.looks.get(vault) ?? new Recently(() => this.ask(vault, relayer), FRESH_MS, this.now);
    this.looks.set(vault, known);
    return known.get();
  }

  private async ask(vault: string, relayer: string): Promise<Look> {
    const answers = await this.pool.priorityFees([vault, relayer]);
    return { price: solana.offeredPrice(answers), dearest: solana.pricesOf(answers).at(-1) ?? null };
  }

  private within(price: bigint): bigint {
    return price < this.most ? price : this.most;
  }
}
