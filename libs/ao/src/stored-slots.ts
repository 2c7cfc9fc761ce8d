/** Processes as a gateway's own tables show them: slots that have results, how far each is, what it was spawned with. */
import type { DataSource } from 'typeorm';
import type { AoEngine, EngineHead, EngineSlot } from './engine.js';
import { parseItem } from './items/index.js';
import type { EvaluationResult, Item } from './types.js';

/** Results read at once take about this much; one is read however large it is. */
const MAX_BYTES = 32 * 1024 * 1024;

export class StoredSlots implements Pick<AoEngine, 'slots' | 'head' | 'spawn' | 'message'> {
  constructor(private readonly database: DataSource) {}

  async slots(process: string, fromNonce: number, limit: number): Promise<EngineSlot[]> {
    const rows: { nonce: string; message_id: string; outcome: string; timestamp: string }[] = await this.database.query(
      `select r.nonce, r.message_id, r.outcome, a.timestamp from (
         select *, row_number() over page as place, sum(octet_length(outcome)) over page as bytes
         from (select process, nonce, message_id, outcome from result where process = $1 and nonce >= $2 order by nonce limit $3) as first
         window page as (order by nonce)
       ) as r join assignment a on a.process = r.process and a.nonce = r.nonce where r.bytes <= $4 or r.place = 1 order by r.nonce`,
      [process, fromNonce, limit, MAX_BYTES],
    );
    return rows.map((r) => ({
      nonce: Number(r.nonce),
      message: r.message_id,
      timestamp: Number(r.timestamp),
      result: JSON.parse(r.outcome) as EvaluationResult,
    }));
  }

  async head(process: string): Promise<EngineHead> {
    const rows: { nonce: string; evaluated: string }[] = await this.database.query(
      'select nonce, evaluated from computed_process where id = $1',
      [process],
    );
    return { scheduled: Number(rows[0]?.nonce ?? -1), evaluated: Number(rows[0]?.evaluated ?? -1) };
  }

  async spawn(process: string): Promise<Item | null> {
    const rows: { item: Buffer }[] = await this.database.query('select item from process where id = $1', [process]);
    return rows[0] ? parseItem(rows[0].item) : null;
  }

  async message(id: string): Promise<Item | null> {
    const rows: { message: Buffer }[] = await this.database.query(
      'select message from assignment where message_id = $1 limit 1',
      [id],
    );
    return rows[0] ? parseItem(rows[0].message) : null;
  }
}
