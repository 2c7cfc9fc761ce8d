/** What it costs to pay a withdrawal, by what nodes say a block costs now: the fee comes out of what it pays. */
import { dustLimit, MAX_FEE_RATE, sampleCoins, vsizeOf, type BitcoinNetwork, type BitcoinPool } from '@isthmus/chains';
import type { VaultSets } from './vault-sets.js';

/** Blocks within which a release should be mined. */
const WITHIN_BLOCKS = 3;
/** Satoshis per 1,000 virtual bytes where nodes cannot tell yet what a block costs. */
const UNKNOWN_RATE = 5_000n;
/** The longest and the shortest script a withdrawal is paid to. */
const [LONGEST_SCRIPT, SHORTEST_SCRIPT] = [new Uint8Array(34), Uint8Array.of(0, 20, ...new Uint8Array(20))];

/** Least satoshis any payee can be sent. */
export const LEAST_DUST = dustLimit(SHORTEST_SCRIPT);

export class ReleaseCost {
  constructor(
    private readonly pool: Pick<BitcoinPool, 'feeRate'>,
    private readonly sets: Pick<VaultSets, 'current'>,
    private readonly network: BitcoinNetwork,
  ) {}

  /** Of one alone from two coins, with room for the price to double; null while the guardians are not known here. */
  async suggestedMaxFee(): Promise<bigint | null> {
    const { current } = this.sets;
    if (!current) return null;
    const { change, deposit } = sampleCoins(current.keys, this.network);
    const vsize = vsizeOf(current.keys, [change, deposit], [current.lock.script, LONGEST_SCRIPT]);
    return feeOf(2n * BigInt(vsize), await this.rate());
  }

  /** Of one alone from nothing but the change of the batch before: no withdrawal costs less unless others share that. Null as above. */
  async least(): Promise<bigint | null> {
    const { current } = this.sets;
    if (!current) return null;
    const { change } = sampleCoins(current.keys, this.network);
    const vsize = vsizeOf(current.keys, [change], [current.lock.script, SHORTEST_SCRIPT]);
    return feeOf(BigInt(vsize), await this.rate());
  }

  private async rate(): Promise<bigint> {
    const rate = (await this.pool.feeRate(WITHIN_BLOCKS)) ?? UNKNOWN_RATE;
    return rate < 1_000n ? 1_000n : rate > MAX_FEE_RATE ? MAX_FEE_RATE : rate;
  }
}

const feeOf = (vsize: bigint, rate: bigint): bigint => (vsize * rate + 999n) / 1_000n;
