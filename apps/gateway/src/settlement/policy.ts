/** Which withdrawals wait for settlement, by the guardians' policy as this gateway was told it. Guardians look for themselves: this is for show. */
import type { DataSource } from 'typeorm';
import type { TransferRow } from '../transfers/transfer-store.js';

/** Ids of those whose burn is not in a confirmed bundle, above the amount of their asset, and not signed by enough guardians. */
export async function unsettledAmong(
  database: DataSource,
  rows: readonly TransferRow[],
  releaseAbove: Readonly<Record<string, bigint>>,
): Promise<ReadonlySet<string>> {
  const large = rows.filter(({ state, asset, amount }) => {
    const above = releaseAbove[asset];
    return (state === 'queued' || state === 'signing') && above !== undefined && BigInt(amount) > above;
  });
  if (large.length === 0) return new Set();
  const settled: { id: string }[] = await database.query(
    `select t.id from transfer t join transfer_step s on s.transfer = t.id and s.kind = 'queued'
     cross join lateral (
       select last, sequence from settlement_range where process = t.process and first <= (s.proof ->> 'slot')::bigint order by first desc limit 1
     ) as r join settlement_bundle b on b.sequence = r.sequence
     where t.id = any($1) and r.last >= (s.proof ->> 'slot')::bigint and b.state in ('confirmed', 'final')`,
    [large.map((row) => row.id)],
  );
  const done = new Set(settled.map((row) => row.id));
  return new Set(large.map((row) => row.id).filter((id) => !done.has(id)));
}
