/**
 * What results ask to be sent that were not made here, but again from their schedules: it goes into the outbox as if they had been stored
 * just now, and what has its place already counts as delivered. In order of time, since what an assigned message leads to is on behalf of
 * whoever assigned it. All of it in one transaction: once, or not yet.
 */
import type { DataSource, EntityManager } from 'typeorm';
import type { ResultBatch } from '../compute/result-sink.js';
import { parseItem } from '../items/index.js';
import type { EvaluationResult, ScheduleEntry } from '../types.js';
import type { Dispatch } from './dispatch.js';

/** Results looked at together. */
const AT_ONCE = 500;

interface Key {
  process: string;
  nonce: string;
}

interface Row {
  process: string;
  nonce: string;
  module: string;
  item: Buffer;
  message: Buffer;
  outcome: string;
}

/** Does nothing where everything was looked at when it was stored. @returns how many results were looked at */
export function recoverSent(database: DataSource, dispatch: Dispatch): Promise<number> {
  return database.transaction(async (manager) => {
    const waiting: unknown[] = await manager.query('select 1 from rebuilt where told_at is not null for update');
    if (waiting.length === 0) return 0;
    // Results that ask for nothing begin in this one way.
    await manager.query(
      `declare sent no scroll cursor for select a.process, a.nonce from assignment a join result r on r.process = a.process and r.nonce = a.nonce
       where not r.failed and not starts_with(r.outcome, '{"Messages":[],"Spawns":[],"Assignments":[]')
       order by a.timestamp, a.process, a.nonce`,
    );
    let count = 0;
    for (;;) {
      const keys: Key[] = await manager.query(`fetch ${AT_ONCE} from sent`);
      if (keys.length === 0) break;
      count += keys.length;
      for (const part of inParts(await read(manager, keys))) await dispatch.take(manager, batchesOf(part));
    }
    await manager.query('close sent');
    await markDelivered(manager);
    await manager.query('update rebuilt set told_at = null');
    return count;
  });
}

type Found = ResultBatch['results'][number] & { module: string };

async function read(manager: EntityManager, keys: readonly Key[]): Promise<Found[]> {
  const rows: Row[] = await manager.query(
    `select k.process, k.nonce, p.module, a.item, a.message, r.outcome
     from unnest($1::text[], $2::bigint[]) with ordinality as k(process, nonce, place)
     join process p on p.id = k.process join assignment a on a.process = k.process and a.nonce = k.nonce
     join result r on r.process = k.process and r.nonce = k.nonce order by k.place`,
    [keys.map((k) => k.process), keys.map((k) => k.nonce)],
  );
  return rows.map(({ process, nonce, module, item, message, outcome }) => ({
    module,
    entry: { process, nonce: Number(nonce), assignment: parseItem(item), message: parseItem(message) },
    result: JSON.parse(outcome) as EvaluationResult,
  }));
}

/** Before a message that was assigned, all that came before is written: who assigned it is looked up there. */
function* inParts(found: readonly Found[]): Generator<Found[]> {
  let part: Found[] = [];
  for (const one of found) {
    if (part.length > 0 && isAssigned(one.entry)) {
      yield part;
      part = [];
    }
    part.push(one);
  }
  if (part.length > 0) yield part;
}

const isAssigned = ({ process, nonce, message }: ScheduleEntry): boolean => nonce > 0 && message.target !== process;

/** By process, in order for each. */
function batchesOf(found: readonly Found[]): ResultBatch[] {
  const batches = new Map<string, { process: string; module: string; results: Found[] }>();
  for (const one of found) {
    const { process } = one.entry;
    const batch = batches.get(process) ?? { process, module: one.module, results: [] };
    batch.results.push(one);
    batches.set(process, batch);
  }
  return [...batches.values()];
}

/** What has its place was delivered; the parent of a spawn that has its place is to be told, unless it was. */
async function markDelivered(manager: EntityManager): Promise<void> {
  await manager.query(
    `update outbox o set state = 'delivered', item = '' from assignment a
     where o.state in ('waiting', 'held') and o.kind <> 'spawn' and a.message_id = o.item_id and a.process = o.target`,
  );
  await manager.query(
    `update outbox o set state = 'delivered', item = '' from process p where o.state = 'waiting' and o.kind = 'spawn' and p.id = o.item_id`,
  );
  await manager.query(
    `update outbox o set state = 'waiting', due = now() from outbox s
     where o.state = 'held' and s.process = o.process and s.kind = 'spawn' and s.nonce = o.nonce and s.position = o.position and s.state = 'delivered'`,
  );
}
