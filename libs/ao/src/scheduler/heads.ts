/** Items without their data: as much of the bytes as owner and tags take, however large the rest is. */
import type { DataSource } from 'typeorm';
import { parseItem } from '../items/index.js';
import type { Item } from '../types.js';
import { tagOf } from '../items/tags.js';

/** Everything before the data, at most: type, the longest signature and key, target, anchor, counts and tags. */
const MAX_HEAD_BYTES = 2 + 512 + 512 + 33 + 33 + 16 + 16_384;
/** An assignment has no data, and tags of one form. */
const MAX_ASSIGNMENT_BYTES = 2048;

export interface ItemHead {
  /** Its `raw` and `data` may be cut off. */
  item: Item;
  dataBytes: number;
  /** Where it was placed first, if it is in a schedule. Milliseconds. */
  placed: { height: number; timestamp: number } | null;
}

interface HeadRow {
  id: string;
  head: Buffer;
  bytes: number;
  assignment: Buffer | null;
}

/** Those of these items that are known here, by id. */
export async function itemHeads(database: DataSource, ids: readonly string[]): Promise<Map<string, ItemHead>> {
  const rows: HeadRow[] = await database.query(
    `select distinct on (id) id, substring(raw for ${MAX_HEAD_BYTES}) as head, octet_length(raw) as bytes, substring(assignment for ${MAX_ASSIGNMENT_BYTES}) as assignment from (
       select message_id as id, message as raw, item as assignment, timestamp from assignment where message_id = any($1)
       union all select id, item, null, null from module where id = any($1)
       union all select id, item, null, null from item where id = any($1)
     ) as known order by id, timestamp`,
    [ids],
  );
  return new Map(rows.map((row) => [row.id, headOf(row)]));
}

function headOf({ head, bytes, assignment }: HeadRow): ItemHead {
  const item = parseItem(head);
  const place = assignment && parseItem(assignment);
  return {
    item,
    dataBytes: bytes - head.length + item.data.length,
    placed: place && { height: Number(tagOf(place, 'Block-Height')), timestamp: Number(tagOf(place, 'Timestamp')) },
  };
}
