/** Dead letters: what could not be delivered, with why, for an operator to see and to let go after all, or to give up. */
import type { DataSource } from 'typeorm';
import type { ResultBatch } from '../compute/result-sink.js';
import { tagOf } from '../items/tags.js';
import type { Scheduler } from '../scheduler/scheduler.js';
import type { EvaluationResult } from '../types.js';
import type { Dispatch } from './dispatch.js';
import { KEPT_DAYS, KEPT_MS } from './pruning.js';
import type { DeliveryKind, Sent } from './sent.js';

/** Most letters of one page. */
const MAX_PAGE = 500;
const NUMBER = /^[0-9]{1,18}$/;
/** Above every id. */
const NEWEST = '9223372036854775807';

/** Set aside for being too much: the operator may say it is not. */
const OF_BOUNDS: ReadonlySet<string> = new Set(['hops', 'pushes', 'answers', 'spawns']);
/** Would be the same however often it is tried. */
const FINAL: ReadonlySet<string> = new Set(['bad-item', 'bad-assignment', 'foreign-scheduler', 'too-large']);

export type DeadLetterErrorCode = 'unknown-letter' | 'final';

export class DeadLetterError extends Error {
  constructor(
    readonly code: DeadLetterErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'DeadLetterError';
  }
}

export interface DeadLetter {
  /** Decimal; ascending in the order in which they were sent. */
  id: string;
  /** Who sends. */
  process: string;
  kind: DeliveryKind;
  /** Slot of the result it comes from; of a tick its time (ms). */
  nonce: number;
  position: number;
  /** Whose schedule it is for; null when it is for none yet. */
  target: string | null;
  /** The item, or the message to be assigned; null when none was made. */
  itemId: string | null;
  /** The signed message at the beginning. */
  root: string;
  hops: number;
  /** In one word: `hops`, `pushes`, `answers`, `spawns`, `bad-item`, `bad-assignment`, `foreign-scheduler`, `unknown-process`, `unknown-module`, … */
  reason: string;
  error: string;
  attempts: number;
  /** Whether letting it go can change anything. */
  releasable: boolean;
}

/** Letters of one process set aside for one reason. */
export interface DeadLetterGroup {
  process: string;
  reason: string;
  count: number;
}

export interface DeadLetterFilter {
  process?: string | undefined;
  reason?: string | undefined;
  /** Of one signed message. */
  root?: string | undefined;
}

interface Row {
  id: string;
  process: string;
  kind: DeliveryKind;
  nonce: string;
  position: number;
  target: string;
  item_id: string;
  root: string;
  hops: number;
  reason: string;
  error: string;
  attempts: number;
}

const COLUMNS = 'id, process, kind, nonce, position, target, item_id, root, hops, reason, error, attempts';

export class DeadLetters {
  constructor(
    private readonly database: DataSource,
    private readonly scheduler: Scheduler,
    private readonly dispatch: Dispatch,
  ) {}

  async list(
    filter: DeadLetterFilter = {},
    cursor = NEWEST,
    limit = 100,
  ): Promise<{ letters: DeadLetter[]; next: string | null }> {
    const size = Math.min(limit, MAX_PAGE);
    const rows: Row[] = await this.database.query(
      `select ${COLUMNS} from outbox where state = 'dead' and id < $1::bigint and ($2::text is null or process = $2)
         and ($3::text is null or reason = $3) and ($4::text is null or root = $4) order by id desc limit $5`,
      [cursor, filter.process ?? null, filter.reason ?? null, filter.root ?? null, size + 1],
    );
    const letters = rows.slice(0, size).map(letterOf);
    return { letters, next: rows.length > size ? (letters.at(-1)?.id ?? null) : null };
  }

  async counts(): Promise<{ reason: string; count: number }[]> {
    return this.database.query(
      `select reason, count(*)::int as count from outbox where state = 'dead' group by reason order by reason`,
    );
  }

  /** Of which process, why and how many, the most first; at most 500 groups. */
  async groups(limit = MAX_PAGE): Promise<DeadLetterGroup[]> {
    return this.database.query(
      `select process, reason, count(*)::int as count from outbox where state = 'dead' group by process, reason
       order by count desc, process, reason limit $1`,
      [Math.min(limit, MAX_PAGE)],
    );
  }

  /** @throws DeadLetterError */
  async discard(id: string): Promise<void> {
    if (!NUMBER.test(id) || (await this.giveUp('id = $1', [id])) === 0)
      throw new DeadLetterError('unknown-letter', `There is no dead letter ${id}.`);
  }

  /** @param reason only those set aside for it */
  async discardAll(process: string, reason: string | null): Promise<number> {
    let count = 0;
    for (let gone = MAX_PAGE; gone === MAX_PAGE; count += gone)
      gone = await this.giveUp('process = $1 and ($2::text is null or reason = $2)', [process, reason]);
    return count;
  }

  /** A page of letters at a time: deliveries wait for nothing. */
  private async giveUp(which: string, values: readonly unknown[]): Promise<number> {
    const [, count]: [unknown, number] = await this.database.query(
      `update outbox set state = 'discarded', due = now() where id in (
         select id from outbox where state = 'dead' and ${which} order by id limit ${MAX_PAGE} for update)`,
      [...values],
    );
    return count;
  }

  /** @throws DeadLetterError */
  async release(id: string): Promise<void> {
    const rows: Row[] = NUMBER.test(id)
      ? await this.database.query(`select ${COLUMNS} from outbox where id = $1 and state = 'dead'`, [id])
      : [];
    const [row] = rows;
    if (!row) throw new DeadLetterError('unknown-letter', `There is no dead letter ${id}.`);
    if (FINAL.has(row.reason))
      throw new DeadLetterError('final', `It would be the same however often it is tried: ${row.error}`);
    if (row.item_id === '') await this.sendAnyway(row);
    else await this.revive([id]);
  }

  async releaseAll(process: string): Promise<number> {
    let [count, cursor]: [number, string | null] = [0, NEWEST];
    while (cursor !== null) {
      const page: { letters: DeadLetter[]; next: string | null } = await this.list({ process }, cursor, MAX_PAGE);
      const free = page.letters.filter((l) => l.releasable);
      await this.revive(free.filter((l) => l.itemId !== null).map((l) => l.id));
      for (const letter of free.filter((l) => l.itemId === null)) {
        // One that followed another in its slot has gone out with it.
        await this.release(letter.id).catch((error: unknown) => {
          if (!(error instanceof DeadLetterError)) throw error;
        });
      }
      count += free.length;
      cursor = page.next;
    }
    return count;
  }

  /**
   * Has the n-th message of a result delivered if it is not yet: also to a process that has come since. What waits goes on waiting, what was
   * tried in vain has one try more, and what was set aside for good, or by the bounds, stays so. @throws DeadLetterError
   */
  async deliverAgain(process: string, nonce: number, n: number): Promise<void> {
    if ((await this.state(process, nonce, n)) === null) {
      const batch = await this.batchOf(process, nonce);
      const itself = (sent: Sent): boolean => sent.kind === 'message' && sent.position === n;
      if (batch) {
        this.assertKept(batch);
        await this.database.transaction((manager) => this.dispatch.take(manager, [batch], itself));
      }
    }
    const row = await this.state(process, nonce, n);
    if (!row) throw new DeadLetterError('unknown-letter', `Message ${n} of slot ${nonce} is to no process here.`);
    if (row.state === 'discarded')
      throw new DeadLetterError('final', `Message ${n} of slot ${nonce} was given up by the gateway's operator.`);
    if (row.state === 'dead' && (row.item_id === '' || FINAL.has(row.reason)))
      throw new DeadLetterError('final', `Message ${n} of slot ${nonce} is set aside: ${row.error}`);
    await this.database.query(`update outbox set state = 'waiting', due = now() where id = $1 and state = 'dead'`, [
      row.id,
    ]);
  }

  /** What was delivered long ago is forgotten here, and would go out a second time. @throws DeadLetterError */
  private assertKept({ results }: ResultBatch): void {
    const [first] = results;
    const time = first ? Number(tagOf(first.entry.assignment, 'Timestamp')) : 0;
    if (time >= Date.now() - KEPT_MS) return;
    throw new DeadLetterError(
      'final',
      `The message is older than the ${KEPT_DAYS} days for which what was delivered is kept.`,
    );
  }

  private async state(process: string, nonce: number, n: number): Promise<(Row & { state: string }) | null> {
    const rows: (Row & { state: string })[] = await this.database.query(
      `select ${COLUMNS}, state from outbox where process = $1 and kind = 'message' and nonce = $2 and position = $3`,
      [process, nonce, n],
    );
    return rows[0] ?? null;
  }

  private async revive(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.database.query(
      `update outbox set state = 'waiting', attempts = 0, due = now() where id = any($1::bigint[]) and state = 'dead'`,
      [ids],
    );
  }

  private async sendAnyway({ process, nonce, kind, position, reason }: Row): Promise<void> {
    const batch = await this.batchOf(process, Number(nonce));
    if (!batch) throw new DeadLetterError('final', `The result of slot ${nonce} of ${process} is not here any more.`);
    const follows = (sent: Sent): boolean =>
      OF_BOUNDS.has(reason) &&
      (reason !== 'spawns' || sent.kind === 'spawn') &&
      order(sent) >= order({ kind, position });
    const itself = (sent: Sent): boolean => order(sent) === order({ kind, position });
    await this.database.transaction((manager) =>
      this.dispatch.sendAnyway(manager, batch, (sent) => itself(sent) || follows(sent)),
    );
  }

  private async batchOf(process: string, nonce: number): Promise<ResultBatch | null> {
    const rows: { outcome: string; module: string }[] = await this.database.query(
      'select outcome, module from result join process on process.id = result.process where result.process = $1 and result.nonce = $2',
      [process, nonce],
    );
    const [entry] = await this.scheduler.entries(process, nonce, 1);
    const [row] = rows;
    if (!row || entry?.nonce !== nonce) return null;
    return { process, module: row.module, results: [{ entry, result: JSON.parse(row.outcome) as EvaluationResult }] };
  }
}

const KINDS: readonly string[] = ['message', 'spawn', 'assignment'];

/** Place of a thing among all that its result asks for. */
function order({ kind, position }: { kind: string; position: number }): number {
  return KINDS.indexOf(kind === 'malformed' ? 'assignment' : kind) * 1e6 + position;
}

function letterOf(row: Row): DeadLetter {
  const { target, item_id: itemId, nonce, ...same } = row;
  return {
    ...same,
    nonce: Number(nonce),
    target: target || null,
    itemId: itemId || null,
    releasable: !FINAL.has(row.reason),
  };
}
