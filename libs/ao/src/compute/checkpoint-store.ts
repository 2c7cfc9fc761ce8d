/** Where checkpoints are kept: a process' memory after some slot, in pages, of which only those that changed are written. */
import { createHash } from 'node:crypto';
import type { DataSource, EntityManager } from 'typeorm';
import type { MemoryChange, MemoryImage } from '../types.js';
import { NOBODY_IS_TOLD, type OnStep } from '../steps.js';
import { LeaseLost, type Lease } from './leases.js';

/** Pages of one statement: 16 MiB, sent as text of twice that. */
const PAGES_AT_ONCE = 256;

export interface Checkpoint {
  nonce: number;
  image: MemoryImage;
}

export class CheckpointStore {
  constructor(
    private readonly database: DataSource,
    private readonly onStep: OnStep = NOBODY_IS_TOLD,
  ) {}

  /** The newest checkpoint, as one transaction wrote it, or null. */
  async load(process: string): Promise<Checkpoint | null> {
    const rows: { nonce: string; size: string; page: number | null; bytes: Buffer | null }[] =
      await this.database.query(
        'select c.nonce, c.size, p.page, p.bytes from checkpoint c left join checkpoint_page p on p.process = c.process where c.process = $1',
        [process],
      );
    const first = rows[0];
    if (!first) return null;
    const pages = new Map(rows.flatMap(({ page, bytes }) => (page !== null && bytes ? [[page, bytes] as const] : [])));
    return { nonce: Number(first.nonce), image: { size: Number(first.size), pages } };
  }

  /**
   * Writes what has changed since the checkpoint at `base`: all or nothing. With `base` null, since the process began: nothing is there yet,
   * or what is there goes.
   * @throws LeaseLost when the lease is not the newest, or the stored checkpoint is not the one at `base`
   */
  async save(lease: Lease, base: number | null, nonce: number, { size, changed }: MemoryChange): Promise<void> {
    const { process, token } = lease;
    await this.database.transaction(async (manager) => {
      if (base === null) await manager.query('delete from checkpoint where process = $1', [process]);
      const moved: unknown[] =
        base === null
          ? await manager.query(
              'insert into checkpoint (process, nonce, size) values ($1, $2, $3) on conflict do nothing returning nonce',
              [process, nonce, size],
            )
          : (
              await manager.query(
                'update checkpoint set nonce = $3, size = $4, made = now() where process = $1 and nonce = $2 returning nonce',
                [process, base, nonce, size],
              )
            )[0];
      if (moved.length !== 1) throw new LeaseLost(process);
      await writePages(manager, process, changed);
      // Last, since results of the process wait for this row: from here on a newer token comes after the commit, and one that came before is seen.
      const held: unknown[] = await manager.query(
        'select 1 from progress where process = $1 and token = $2 and evaluated >= $3 for update',
        [process, token, nonce],
      );
      if (held.length === 0) throw new LeaseLost(process);
      this.onStep('checkpoint.before-commit');
    });
    this.onStep('checkpoint.after-commit');
  }

  /** Makes this the process' checkpoint, whatever there was: for who alone writes this database. */
  async replace(process: string, nonce: number, image: MemoryImage): Promise<void> {
    await this.database.transaction(async (manager) => {
      await manager.query('delete from checkpoint where process = $1', [process]);
      await manager.query('insert into checkpoint (process, nonce, size) values ($1, $2, $3)', [
        process,
        nonce,
        image.size,
      ]);
      await writePages(manager, process, [...image.pages]);
    });
  }
}

async function writePages(manager: EntityManager, process: string, changed: MemoryChange['changed']): Promise<void> {
  const empty = changed.flatMap(([page, bytes]) => (bytes ? [] : [page]));
  if (empty.length > 0)
    await manager.query('delete from checkpoint_page where process = $1 and page = any($2)', [process, empty]);
  const full = changed.filter(([, bytes]) => bytes !== null);
  for (let i = 0; i < full.length; i += PAGES_AT_ONCE) {
    const some = full.slice(i, i + PAGES_AT_ONCE);
    await manager.query(
      `insert into checkpoint_page (process, page, bytes) select $1, * from unnest($2::int[], $3::bytea[])
       on conflict (process, page) do update set bytes = excluded.bytes`,
      [process, some.map(([page]) => page), some.map(([, bytes]) => (bytes ? bufferOf(bytes) : null))],
    );
  }
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

/** What identifies a memory: SHA-256 over its pages that are not all zero, each after its number, in order. Its size says nothing of its state. */
export function hashOf(image: MemoryImage): string {
  const hash = createHash('sha256');
  const number = Buffer.alloc(4);
  for (const [page, bytes] of [...image.pages].sort(([a], [b]) => a - b)) {
    number.writeUInt32BE(page);
    hash.update(number).update(bytes);
  }
  return hash.digest('hex');
}
