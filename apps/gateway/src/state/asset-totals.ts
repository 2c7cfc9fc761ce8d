/** What was minted, burned and released of an asset, as its process' events add up: written by the projector, slot after slot. */
import type { DataSource } from 'typeorm';

/** In base units. */
export interface AssetTotals {
  minted: bigint;
  burned: bigint;
  released: bigint;
}

/** The totals of a process after a slot, or the newest; all zero before its first event. */
export async function totalsAt(
  database: DataSource,
  process: string,
  slot: number | null = null,
): Promise<AssetTotals> {
  const [row]: { minted: string; burned: string; released: string }[] = await database.query(
    `select minted, burned, released from asset_total where process = $1 and ($2::bigint is null or nonce <= $2) order by nonce desc limit 1`,
    [process, slot],
  );
  return { minted: BigInt(row?.minted ?? 0), burned: BigInt(row?.burned ?? 0), released: BigInt(row?.released ?? 0) };
}
