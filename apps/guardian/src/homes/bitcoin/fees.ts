/** What a guardian proposes to pay miners, and what it signs when others propose: near its own estimate, so that no guardian alone burns what others own. */
import { INCREMENTAL_RATE, MAX_FEE_RATE, type Batch, type BitcoinPool } from '@isthmus/chains';

/** Blocks a batch may wait to be mined. */
const WITHIN_BLOCKS = 3;
/** Where nodes know no fee, as a young chain's: satoshis per 1,000 virtual bytes. */
const UNKNOWN_RATE = 2_000n;
/** What nodes relay. */
const LEAST_RATE = 1_000n;
/** Estimates of honest guardians differ by that much: nodes look at different minutes. */
const APART = 2n;
/** Beside that, where rates are so low that twice as much is nothing. */
const SLACK = 2_000n;
/** A replacement for less is not worth signing anew: a quarter more. */
const WORTH = { times: 5n, of: 4n };

/** What a batch pays, in satoshis per 1,000 virtual bytes: not what it names, as a child pays for two. */
export const paidRate = ({ fee, vsize }: Pick<Batch, 'fee' | 'vsize'>): bigint => (fee * 1_000n) / BigInt(vsize);

export class Fees {
  private estimate: bigint | null = null;

  constructor(
    private readonly pool: Pick<BitcoinPool, 'feeRate'>,
    private readonly most: bigint = MAX_FEE_RATE,
  ) {}

  /** @throws AgreementLost */
  async look(): Promise<void> {
    this.estimate = await this.pool.feeRate(WITHIN_BLOCKS);
  }

  /** Satoshis per 1,000 virtual bytes to propose now. */
  get rate(): bigint {
    return within(this.estimate ?? UNKNOWN_RATE, LEAST_RATE, this.most);
  }

  /** Rates this guardian signs: half its own estimate to twice that and 2 satoshis a byte, and never above its limit. */
  get bounds(): { least: bigint; most: bigint } {
    const { rate } = this;
    return {
      least: within(rate / APART, LEAST_RATE, this.most),
      most: within(rate * APART + SLACK, LEAST_RATE, this.most),
    };
  }

  /** Whether what was signed and pays so little is worth replacing or lifting now, and nodes would take that. */
  isLow(batch: Pick<Batch, 'fee' | 'vsize'>): boolean {
    const rate = paidRate(batch);
    return this.rate * WORTH.of >= rate * WORTH.times && this.rate >= rate + INCREMENTAL_RATE;
  }
}

const within = (value: bigint, least: bigint, most: bigint): bigint =>
  value < least ? least : value > most ? most : value;
