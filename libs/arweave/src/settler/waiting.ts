/** What is in no bundle yet, as the gateway's tables show it: items of no schedule, and for each process the slots from where settlement is. */
import type { DataSource } from 'typeorm';

/** Most items of no schedule that one bundle takes: they have a bundle's room with the schedules, never instead of them. */
const MAX_OTHERS = 1000;

/** A process with slots to settle. */
export interface WaitingProcess {
  process: string;
  /** First slot to settle, newest slot there is, newest slot with a result. */
  next: number;
  head: number;
  evaluated: number;
  /** When the first of them was placed. Milliseconds. */
  since: number;
  /** Its module, when that must be settled first. */
  needs: string | null;
  /** The results chain as far as it is known. */
  resultsSlot: number;
  results: string | null;
}

export interface WaitingItem {
  id: string;
  bytes: number;
}

interface RawProcess {
  id: string;
  next: string;
  head: string;
  evaluated: string;
  since: string | null;
  needs: string | null;
  results_slot: string | null;
  results: string | null;
}

/** Those who have waited longest first. */
export async function waitingProcesses(database: DataSource, limit: number): Promise<WaitingProcess[]> {
  const rows: RawProcess[] = await database.query(
    `select p.id, coalesce(s.next, 0) as next, p.nonce as head, coalesce(g.evaluated, -1) as evaluated, a.timestamp as since,
       case when s.next is null and not exists (select 1 from settlement_item i where i.id = p.module) then p.module end as needs,
       s.results_slot, s.results
     from process p left join settlement_progress s on s.process = p.id left join progress g on g.process = p.id
     join assignment a on a.process = p.id and a.nonce = coalesce(s.next, 0)
     where p.nonce >= coalesce(s.next, 0) order by a.timestamp, p.id limit $1`,
    [limit],
  );
  return rows.map((row) => ({
    process: row.id,
    next: Number(row.next),
    head: Number(row.head),
    evaluated: Number(row.evaluated),
    since: Number(row.since),
    needs: row.needs,
    resultsSlot: Number(row.results_slot ?? -1),
    results: row.results,
  }));
}

/** Modules first: spawns wait for them. */
export async function waitingItems(database: DataSource): Promise<WaitingItem[]> {
  return database.query(
    `select o.id, o.bytes from (
       select id, octet_length(item) as bytes, 1 as kind from module
       union all select id, octet_length(item), 2 from item
       union all select id, octet_length(item), 3 from settlement_checkpoint
     ) as o where not exists (select 1 from settlement_item s where s.id = o.id) order by kind, id limit ${MAX_OTHERS}`,
  );
}
