/** I3: for each asset, at every slot, the home balance covers the AO supply and the withdrawals not yet released. */

/** The books of one asset, base units. */
export interface Books {
  /** What the vault holds for the asset, at some finalized height. */
  locked: bigint;
  /** Minted minus burned, at some slot. */
  supply: bigint;
  /** Burned minus released, at the same slot. */
  inFlight: bigint;
}

/** How far the books are short; 0 when they hold. Off by one unit is a breach. */
export function shortfall({ locked, supply, inFlight }: Books): bigint {
  const owed = supply + inFlight;
  return owed > locked ? owed - locked : 0n;
}
