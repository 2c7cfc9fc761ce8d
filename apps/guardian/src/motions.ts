/**
 * What this guardian wants decided, durable until it is: an operator's order, or a pause the books ask for. A motion is voted on again when
 * another decision took its number, and stays open until the process and the vault both are as wanted.
 */
import { parseDecision, subjectWords } from '@isthmus/bridge';
import type { Item } from '@isthmus/ao';
import type { DataSource } from 'typeorm';
import { insertOutbox } from './ledger.js';

/** Motions one process may have open at once. */
const MAX_OPEN = 16;

export interface Motion {
  id: string;
  process: string;
  line: string;
  mover: 'operator' | 'books';
  asked: string | null;
  at: Date;
}

/** Two processes have decided different rotations to one epoch; this guardian signs only the first it met. */
export class RotationConflict extends Error {
  readonly code = 'double-sign';
  constructor(epoch: bigint) {
    super(`A rotation to epoch ${epoch} with another content is signed already.`);
    this.name = 'RotationConflict';
  }
}

export class Motions {
  constructor(private readonly database: DataSource) {}

  /** Wants this decided, and says whether that is new; whatever else is open about the same subject is wanted no more. @throws BridgeError for a line that is no decision */
  async open(process: string, line: string, mover: Motion['mover']): Promise<boolean> {
    const { kind } = parseDecision(line);
    return this.database.transaction(async (manager) => {
      await manager.query(
        `update motion set state = 'withdrawn', closed_at = now() where process = $1 and state = 'open' and line <> $2 and split_part(line, ' ', 1) = any($3)`,
        [process, line, subjectWords(kind)],
      );
      const rows: unknown[] = await manager.query(
        "insert into motion (process, line, mover) values ($1, $2, $3) on conflict (process, line) where state = 'open' do nothing returning id",
        [process, line, mover],
      );
      return rows.length > 0;
    });
  }

  /** What is open for a process, oldest first. */
  async list(process: string): Promise<Motion[]> {
    return this.database.query(
      `select id, process, line, mover, asked, at from motion where process = $1 and state = 'open' order by id limit ${MAX_OPEN}`,
      [process],
    );
  }

  /** Writes down for which place it is voted on, together with the message that does. */
  async keepAsked({ id, process }: Motion, asked: string, item: Item): Promise<void> {
    await this.database.transaction(async (manager) => {
      await insertOutbox(manager, process, item);
      await manager.query('update motion set asked = $2 where id = $1', [id, asked]);
    });
  }

  async close({ id }: Motion, state: 'done' | 'withdrawn'): Promise<void> {
    await this.database.query(`update motion set state = $2, closed_at = now() where id = $1 and state = 'open'`, [
      id,
      state,
    ]);
  }

  /** Signs one rotation at most for each of a vault's epochs, whatever several processes decide. @throws RotationConflict */
  async claimRotation(chain: string, epoch: bigint, line: string): Promise<void> {
    await this.database.query(
      `insert into signed_rotation (chain, epoch, line) select $1, $2, $3
       where not exists (select 1 from signed_rotation where chain = '*' and epoch = $2) on conflict do nothing`,
      [chain, String(epoch), line],
    );
    const [kept]: { line: string }[] = await this.database.query(
      "select line from signed_rotation where chain in ($1, '*') and epoch = $2",
      [chain, String(epoch)],
    );
    if (kept?.line !== line) throw new RotationConflict(epoch);
  }

  /** The books are whole: a pause asked for their sake is not wanted any more. */
  async booksAreWhole(process: string): Promise<void> {
    await this.database.query(
      `update motion set state = 'withdrawn', closed_at = now() where process = $1 and mover = 'books' and state = 'open'`,
      [process],
    );
  }

  /** Gives up what is open with this line; says whether there was any. */
  async withdraw(process: string, line: string): Promise<boolean> {
    const rows: unknown[] = await this.database.query(
      `with gone as (update motion set state = 'withdrawn', closed_at = now() where process = $1 and line = $2 and state = 'open' returning 1) select * from gone`,
      [process, line],
    );
    return rows.length > 0;
  }
}
