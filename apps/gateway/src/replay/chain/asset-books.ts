/** The books of one asset, as a replay draws them up; and what they are of. */
import { SettlementFinding } from '@isthmus/arweave';
import { shortfall } from '@isthmus/bridge';
import type { DataSource } from 'typeorm';
import { totalsAt } from '../../state/asset-totals.js';
import type { EarlyPayment, Payments } from './payments.js';

/** An asset of a home chain, as its token process was spawned. */
export interface TokenOfHome {
  process: string;
  /** CAIP-19 */
  id: string;
  vault: string;
  decimals: number;
}

/** A home chain with what is locked there, and how it is read. */
export interface HomeToRead {
  database: DataSource;
  /** CAIP-2 */
  chain: string;
  urls: readonly string[];
  /** How many of them must agree. */
  agreement: number;
  fromBlock: number;
  tokens: readonly TokenOfHome[];
}

/** Books of one asset: the vault at a height, the process as of the last seal. Base units. */
export interface ReplayedBooks {
  asset: string;
  process: string;
  height: bigint;
  locked: bigint;
  supply: bigint;
  inFlight: bigint;
  /** Paid by the vault, and not known as released to the process. */
  releasedUnattested: bigint;
  /** What of that is for withdrawals behind the last seal, if there are such: nothing that was settled explains it. At most 100. */
  early: EarlyPayment[];
}

/** @throws SettlementFinding `books-short` when the vault holds less than AO owes, unless it may have paid for what is not settled yet: what that cost it is not known */
export async function drawUp(
  database: DataSource,
  { process, id: asset }: TokenOfHome,
  { locked, height }: { locked: bigint; height: bigint },
  payments: Payments,
): Promise<ReplayedBooks> {
  const { minted, burned, released } = await totalsAt(database, process);
  const { releasedUnattested, early } = payments;
  const [supply, inFlight] = [minted - burned, burned - released];
  const books = { asset, process, height, locked, supply, inFlight, releasedUnattested, early: [...early] };
  const short = shortfall({ ...books, locked: locked + releasedUnattested });
  if (short > 0n && early.length === 0)
    throw new SettlementFinding(
      'books-short',
      `The vault holds ${locked} of ${asset} at block ${height} (and has paid ${releasedUnattested} that AO does not know of); AO owes ${supply} and ${inFlight} in flight: ${short} too little.`,
      { process },
    );
  return books;
}
