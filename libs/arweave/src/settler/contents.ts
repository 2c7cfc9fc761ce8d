/** The bytes a bundle is made of, read from the gateway's tables: the same whenever they are asked for, since what is placed never changes. */
import type { DataSource } from 'typeorm';
import type { RawItem } from '../format/index.js';

/** Slots of a process. */
export interface SlotRange {
  process: string;
  from: number;
  to: number;
}

interface SlotRow {
  place: string;
  nonce: string;
  id: string;
  message_id: string;
  item: Buffer;
  message: Buffer;
}

const OF_RANGES = `from unnest($1::text[], $2::bigint[], $3::bigint[]) with ordinality as w(process, first, last, place)
  cross join lateral (
    select nonce, id, message_id, item, message from assignment where process = w.process and nonce between w.first and w.last order by nonce
  ) as a`;

const columns = (ranges: readonly SlotRange[]): unknown[] => [
  ranges.map((r) => r.process),
  ranges.map((r) => r.from),
  ranges.map((r) => r.to),
];

/** Bytes of each slot of these ranges, assignment and message together. */
export async function slotSizes(database: DataSource, ranges: readonly SlotRange[]): Promise<number[][]> {
  const rows: { place: string; bytes: number }[] = await database.query(
    `select place, octet_length(item) + octet_length(message) as bytes ${OF_RANGES} order by place, nonce`,
    columns(ranges),
  );
  const sizes: number[][] = ranges.map(() => []);
  for (const { place, bytes } of rows) sizes[Number(place) - 1]?.push(bytes);
  return sizes;
}

/** The slots of these ranges: assignment, message, assignment, message. @throws Error when one is missing */
export async function readRanges(database: DataSource, ranges: readonly SlotRange[]): Promise<RawItem[][]> {
  const rows: SlotRow[] = await database.query(
    `select place, nonce, id, message_id, item, message ${OF_RANGES} order by place, nonce`,
    columns(ranges),
  );
  const read: RawItem[][] = ranges.map(() => []);
  for (const row of rows)
    read[Number(row.place) - 1]?.push({ id: row.id, raw: row.item }, { id: row.message_id, raw: row.message });
  for (const [i, { process, from, to }] of ranges.entries())
    if (read[i]?.length !== 2 * (to - from + 1))
      throw new Error(`Slots ${from} to ${to} of process ${process} are not all there.`);
  return read;
}

/** Items of no schedule, in the order asked for. @throws Error when one is missing */
export async function readOthers(database: DataSource, ids: readonly string[]): Promise<RawItem[]> {
  if (ids.length === 0) return [];
  const rows: { id: string; item: Buffer }[] = await database.query(
    `select id, item from module where id = any($1) union all select id, item from item where id = any($1)
     union all select id, item from settlement_checkpoint where id = any($1)`,
    [ids],
  );
  const known = new Map(rows.map((r) => [r.id, r.item]));
  return ids.map((id) => {
    const raw = known.get(id);
    if (!raw) throw new Error(`Item ${id} is no longer there.`);
    return { id, raw };
  });
}
