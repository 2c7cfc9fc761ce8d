/** Which withdrawals wait for settlement, by the guardians' policy as this gateway was told it. Guardians look for themselves: this is for show. */
import { slotKey, type SettlementStore } from '@isthmus/arweave';
import type { TransferRow } from '../transfers/transfer-store.js';

/** Ids of those whose burn is not in a confirmed bundle, above the amount of their asset, and not signed by enough guardians. */
export async function unsettledAmong(
  settlement: SettlementStore,
  rows: readonly TransferRow[],
  releaseAbove: Readonly<Record<string, bigint>>,
): Promise<ReadonlySet<string>> {
  const large = rows.filter(({ state, asset, amount }) => {
    const above = releaseAbove[asset];
    return (state === 'queued' || state === 'signing') && above !== undefined && BigInt(amount) > above;
  });
  if (large.length === 0) return new Set();
  const burns: { id: string; process: string; slot: string }[] = await settlement.database.query(
    `select t.id, t.process, s.proof ->> 'slot' as slot from transfer t join transfer_step s on s.transfer = t.id and s.kind = 'queued'
     where t.id = any($1)`,
    [large.map((row) => row.id)],
  );
  const slots = burns.map(({ process, slot }) => ({ process, slot: Number(slot) }));
  const places = await settlement.ofSlots(slots);
  const done = new Set(
    burns.flatMap(({ id, process, slot }) => {
      const state = places.get(slotKey(process, Number(slot)))?.state;
      return state === 'confirmed' || state === 'final' ? [id] : [];
    }),
  );
  return new Set(large.map((row) => row.id).filter((id) => !done.has(id)));
}
