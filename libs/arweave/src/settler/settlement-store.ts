/** The only door to the tables of settlement. A write that comes late, after another gateway's, changes nothing and says so. */
import type { DataSource, EntityManager } from 'typeorm';
import type { Carrier } from '../posting/poster.js';
import type { SealedRange, Seal } from '../format/index.js';
import type { BundleState } from './bundle-state.js';

/** A bundle as it is kept. */
export interface BundleRow {
  sequence: number;
  seal: string;
  /** sha256 of its bytes, hexadecimal. */
  sha256: string;
  bytes: number;
  itemBytes: number;
  items: number;
  slots: number;
  state: BundleState;
  carrier: string | null;
  parts: number;
  /** Times a carrier was signed. */
  signed: number;
  /** Times something failed since it last went well, and why. */
  failures: number;
  error: string | null;
  sealedAt: Date;
  postedAt: Date | null;
  confirmedAt: Date | null;
  finalAt: Date | null;
  /** When it was last to be posted again by the operator. */
  repostedAt: Date | null;
  height: number | null;
  /** How the last look at it, once it was final, found it; null: well, or not looked at. */
  lost: Loss | null;
}

/** No data where it was, or other bytes. */
export type Loss = 'gone' | 'other';

export interface LostBundle {
  sequence: number;
  lost: Loss;
}

/** A bundle that was just sealed. */
export interface SealedBundle {
  seal: Seal;
  sha256: string;
  bytes: number;
  itemBytes: number;
  /** Ids of the items of no schedule, in their order. */
  others: readonly string[];
  slots: number;
  at: Date;
}

/** Where something is on Arweave. */
export interface SettledIn {
  bundle: number;
  seal: string;
  state: BundleState;
  /** Transaction of Arweave, or item of a bundling service; null before one is signed. */
  transaction: string | null;
}

interface RawBundle {
  sequence: string;
  seal_id: string;
  sha256: string;
  bytes: string;
  item_bytes: string;
  items: number;
  slots: number;
  state: BundleState;
  carrier: string | null;
  parts: number;
  signed: number;
  failures: number;
  error: string | null;
  sealed_at: Date;
  posted_at: Date | null;
  confirmed_at: Date | null;
  final_at: Date | null;
  reposted_at: Date | null;
  height: string | null;
  lost: Loss | null;
}

type RawPlace = Pick<RawBundle, 'sequence' | 'seal_id' | 'state' | 'carrier'>;

const COLUMNS =
  'sequence, seal_id, sha256, bytes, item_bytes, items, slots, state, carrier, parts, signed, failures, error, sealed_at, posted_at, confirmed_at, final_at, reposted_at, height, lost';

export class SettlementStore {
  constructor(readonly database: DataSource) {}

  /** Sequence and seal of the newest bundle; sequence 0 before the first. */
  async newest(): Promise<{ sequence: number; seal: string | null }> {
    const rows: { sequence: string; seal_id: string }[] = await this.database.query(
      'select sequence, seal_id from settlement_bundle order by sequence desc limit 1',
    );
    return { sequence: Number(rows[0]?.sequence ?? 0), seal: rows[0]?.seal_id ?? null };
  }

  /** The newest bundle that was confirmed, final or not. */
  async newestConfirmed(): Promise<BundleRow | null> {
    return (await this.rows(`where state in ('confirmed', 'final') order by sequence desc limit 1`, []))[0] ?? null;
  }

  /** Writes a sealed bundle and moves what it holds on. @returns false when its sequence is taken: somebody else seals */
  add(bundle: SealedBundle, beforeCommit: () => void): Promise<boolean> {
    const { seal, sha256, bytes, itemBytes, others, slots, at } = bundle;
    return this.database.transaction(async (manager) => {
      const added: unknown[] = await manager.query(
        `insert into settlement_bundle (sequence, seal_id, seal, sha256, bytes, item_bytes, items, slots, state, sealed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'sealed', $9) on conflict do nothing returning sequence`,
        [seal.sequence, seal.item.id, seal.item.raw, sha256, bytes, itemBytes, others.length + 2 * slots, slots, at],
      );
      if (added.length === 0) return false;
      await addItems(manager, seal.sequence, others);
      await addRanges(manager, seal.sequence, seal.ranges);
      beforeCommit();
      return true;
    });
  }

  /** The seal of a bundle, as it was signed. */
  async sealOf(sequence: number): Promise<Buffer | null> {
    const rows: { seal: Buffer }[] = await this.database.query(
      'select seal from settlement_bundle where sequence = $1',
      [sequence],
    );
    return rows[0]?.seal ?? null;
  }

  /** Ids of a bundle's items of no schedule, in their order. */
  async othersOf(sequence: number): Promise<string[]> {
    const rows: { id: string }[] = await this.database.query(
      'select id from settlement_item where sequence = $1 order by position',
      [sequence],
    );
    return rows.map((r) => r.id);
  }

  /** Since when the oldest bundle that is not confirmed has waited: since it was sealed, or was to be posted again. */
  async oldestWaiting(): Promise<Date | null> {
    const rows: { since: Date | null }[] = await this.database.query(
      `select min(coalesce(reposted_at, sealed_at)) as since from settlement_bundle where state in ('sealed', 'posted')`,
    );
    return rows[0]?.since ?? null;
  }

  /** Bundles to send, those first that failed least: one that cannot be sent keeps back nobody. */
  async toSend(limit: number): Promise<BundleRow[]> {
    return this.rows("where state = 'sealed' order by failures, sequence limit $1", [limit]);
  }

  /** Bundles to look at, those that were looked at longest ago first. */
  async leastLookedAt(limit: number): Promise<BundleRow[]> {
    return this.rows(`where state in ('posted', 'confirmed') order by looked_at nulls first, sequence limit $1`, [
      limit,
    ]);
  }

  /** Bundles below a sequence, the newest first. */
  async page(before: number | null, limit: number): Promise<BundleRow[]> {
    return this.rows('where ($1::bigint is null or sequence < $1) order by sequence desc limit $2', [before, limit]);
  }

  async find(sequence: number): Promise<BundleRow | null> {
    return (await this.rows('where sequence = $1', [sequence]))[0] ?? null;
  }

  /** What carries a bundle, as it was signed last. */
  async carrierOf(sequence: number): Promise<Carrier | null> {
    const rows: { carrier: string | null; header: string | null; good_until: string | null }[] =
      await this.database.query('select carrier, header, good_until from settlement_bundle where sequence = $1', [
        sequence,
      ]);
    const { carrier = null, header = null, good_until = null } = rows[0] ?? {};
    if (carrier === null || header === null) return null;
    return { id: carrier, header, goodUntil: good_until === null ? null : Number(good_until) };
  }

  /** Before it is sent, so that after a crash the same is sent again. @returns false when it was changed by somebody else */
  async signed(sequence: number, replaced: string | null, { id, header, goodUntil }: Carrier): Promise<boolean> {
    return this.changed(
      `update settlement_bundle set carrier = $3, header = $4, good_until = $5, parts = 0, signed = signed + 1
       where sequence = $1 and state = 'sealed' and carrier is not distinct from $2 returning 1`,
      [sequence, replaced, id, header, goodUntil],
    );
  }

  async tookParts(sequence: number, carrier: string, parts: number): Promise<void> {
    await this.database.query('update settlement_bundle set parts = $3 where sequence = $1 and carrier = $2', [
      sequence,
      carrier,
      parts,
    ]);
  }

  async posted(sequence: number, carrier: string, at: Date): Promise<boolean> {
    return this.changed(
      `update settlement_bundle set state = 'posted', posted_at = $3, looked_at = null, failures = 0, error = null
       where sequence = $1 and carrier = $2 and state = 'sealed' returning 1`,
      [sequence, carrier, at],
    );
  }

  async confirmed(sequence: number, carrier: string, height: number, at: Date): Promise<boolean> {
    return this.changed(
      `update settlement_bundle set state = 'confirmed', confirmed_at = $4, height = $3, failures = 0, error = null
       where sequence = $1 and carrier = $2 and state = 'posted' returning 1`,
      [sequence, carrier, height, at],
    );
  }

  /** No longer watched, but for a look now and then. What it was made of stays: it may have to be posted again. */
  async finished(sequence: number, carrier: string, height: number, at: Date): Promise<boolean> {
    return this.changed(
      `update settlement_bundle set state = 'final', final_at = $4, height = $3, header = null
       where sequence = $1 and carrier = $2 and state = 'confirmed' returning 1`,
      [sequence, carrier, height, at],
    );
  }

  /** The first final bundle from a number on. */
  async finalFrom(sequence: number): Promise<BundleRow | null> {
    return (
      (await this.rows(`where sequence >= $1 and state = 'final' order by sequence limit 1`, [sequence]))[0] ?? null
    );
  }

  /** Of the lost bundles, the one that was looked at longest ago. */
  async lostLongestAgo(): Promise<BundleRow | null> {
    return (await this.rows('where lost is not null order by checked_at limit 1', []))[0] ?? null;
  }

  /** How a look at a final bundle found it. */
  async checked(sequence: number, carrier: string | null, lost: Loss | null, at: Date): Promise<void> {
    await this.database.query(
      `update settlement_bundle set lost = $3, checked_at = $4 where sequence = $1 and carrier = $2 and state = 'final'`,
      [sequence, carrier, lost, at],
    );
  }

  /** How many final bundles are lost, and the first of them. */
  async lost(limit: number): Promise<{ count: number; bundles: LostBundle[] }> {
    const rows: { sequence: string; lost: Loss; count: string }[] = await this.database.query(
      'select sequence, lost, count(*) over () as count from settlement_bundle where lost is not null order by sequence limit $1',
      [limit],
    );
    const bundles = rows.map(({ sequence, lost }) => ({ sequence: Number(sequence), lost }));
    return { count: Number(rows[0]?.count ?? 0), bundles };
  }

  /**
   * Has a final bundle sent again, by another carrier: it is the same seal, and counts once. Only those are known to be lost, and each time
   * is paid for: what is confirmed is still watched, and sent again by itself. @returns whether it was final
   */
  async repost(sequence: number, at: Date, force: boolean): Promise<boolean> {
    return this.changed(
      `update settlement_bundle set state = 'sealed', carrier = null, header = null, good_until = null, parts = 0, posted_at = null,
         confirmed_at = null, final_at = null, height = null, lost = null, checked_at = null, failures = 0, error = null, reposted_at = $2
       where sequence = $1 and state = 'final' and (lost is not null or $3) returning 1`,
      [sequence, at, force],
    );
  }

  /** Its block is gone: it waits for another. */
  async reopened(sequence: number, carrier: string, reason: string, at: Date): Promise<boolean> {
    return this.changed(
      `update settlement_bundle set state = 'posted', posted_at = $4, confirmed_at = null, height = null, error = $3
       where sequence = $1 and carrier = $2 and state = 'confirmed' returning 1`,
      [sequence, carrier, reason, at],
    );
  }

  /** All of it is to be sent again. */
  async dropped(sequence: number, carrier: string, reason: string): Promise<boolean> {
    return this.changed(
      `update settlement_bundle set state = 'sealed', posted_at = null, parts = 0, error = $3
       where sequence = $1 and carrier = $2 and state = 'posted' returning 1`,
      [sequence, carrier, reason],
    );
  }

  /** What carries it will never be taken: another is to be signed. */
  async refused(sequence: number, carrier: string): Promise<void> {
    await this.database.query(
      `update settlement_bundle set good_until = -1 where sequence = $1 and carrier = $2 and state = 'sealed'`,
      [sequence, carrier],
    );
  }

  async failed(sequence: number, reason: string): Promise<void> {
    await this.database.query('update settlement_bundle set failures = failures + 1, error = $2 where sequence = $1', [
      sequence,
      reason.slice(0, 500),
    ]);
  }

  async lookedAt(sequences: readonly number[], at: Date): Promise<void> {
    await this.database.query('update settlement_bundle set looked_at = $2 where sequence = any($1)', [sequences, at]);
  }

  /** Where slots are, as `process slot`; those in no bundle are absent. */
  async ofSlots(slots: readonly { process: string; slot: number }[]): Promise<Map<string, SettledIn>> {
    if (slots.length === 0) return new Map();
    const rows: (RawPlace & { process: string; slot: string })[] = await this.database.query(
      `select w.process, w.slot, b.sequence, b.seal_id, b.state, b.carrier
         from unnest($1::text[], $2::bigint[]) as w(process, slot)
         cross join lateral (
           select last, sequence from settlement_range where process = w.process and first <= w.slot order by first desc limit 1
         ) as r join settlement_bundle b on b.sequence = r.sequence where r.last >= w.slot`,
      [slots.map((s) => s.process), slots.map((s) => s.slot)],
    );
    return new Map(rows.map((r) => [slotKey(r.process, Number(r.slot)), readPlace(r)]));
  }

  /** Where items of no schedule are, by id. */
  async ofItem(id: string): Promise<SettledIn | null> {
    const rows: RawPlace[] = await this.database.query(
      'select b.sequence, b.seal_id, b.state, b.carrier from settlement_item i join settlement_bundle b on b.sequence = i.sequence where i.id = $1',
      [id],
    );
    const row = rows[0];
    return row ? readPlace(row) : null;
  }

  /** Bundles and their bytes by state. */
  async totals(): Promise<{ state: BundleState; bundles: number; bytes: number }[]> {
    const rows: { state: BundleState; bundles: string; bytes: string }[] = await this.database.query(
      'select state, count(*) as bundles, coalesce(sum(bytes), 0) as bytes from settlement_bundle group by state',
    );
    return rows.map(({ state, bundles, bytes }) => ({ state, bundles: Number(bundles), bytes: Number(bytes) }));
  }

  /** Bytes sealed since a moment. */
  async bytesSince(at: Date): Promise<number> {
    const rows: { bytes: string }[] = await this.database.query(
      'select coalesce(sum(bytes), 0) as bytes from settlement_bundle where sealed_at >= $1 and sequence > (select max(sequence) - 100000 from settlement_bundle)',
      [at],
    );
    return Number(rows[0]?.bytes ?? 0);
  }

  private async rows(where: string, values: unknown[]): Promise<BundleRow[]> {
    const rows: RawBundle[] = await this.database.query(`select ${COLUMNS} from settlement_bundle ${where}`, values);
    return rows.map(readBundle);
  }

  private async changed(sql: string, values: unknown[]): Promise<boolean> {
    const answered: unknown = await this.database.query(sql, values);
    // An update answers its rows and their count, a select its rows alone.
    const rows =
      Array.isArray(answered) && Array.isArray(answered[0]) ? (answered[0] as unknown[]) : (answered as unknown[]);
    return rows.length > 0;
  }
}

/** How `ofSlots` names a slot. */
export const slotKey = (process: string, slot: number): string => `${process} ${slot}`;

async function addItems(manager: EntityManager, sequence: number, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await manager.query(
    'insert into settlement_item (id, sequence, position) select id, $2, place from unnest($1::text[]) with ordinality as o(id, place)',
    [ids, sequence],
  );
}

async function addRanges(manager: EntityManager, sequence: number, ranges: readonly SealedRange[]): Promise<void> {
  if (ranges.length === 0) return;
  const columns = [
    ranges.map((r) => r.process),
    ranges.map((r) => r.from),
    ranges.map((r) => r.to),
    ranges.map((r) => r.results),
  ];
  await manager.query(
    `insert into settlement_range (process, first, last, results, sequence)
     select *, $5 from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[])`,
    [...columns, sequence],
  );
  await manager.query(
    `insert into settlement_progress (process, next, results_slot, results)
     select process, last + 1, case when results is null then -1 else last end, results
     from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) as r(process, first, last, results)
     on conflict (process) do update set next = excluded.next,
       results_slot = case when excluded.results is null then settlement_progress.results_slot else excluded.results_slot end,
       results = coalesce(excluded.results, settlement_progress.results)`,
    columns,
  );
}

function readPlace({ sequence, seal_id: seal, state, carrier: transaction }: RawPlace): SettledIn {
  return { bundle: Number(sequence), seal, state, transaction };
}

function readBundle(row: RawBundle): BundleRow {
  return {
    sequence: Number(row.sequence),
    seal: row.seal_id,
    sha256: row.sha256,
    bytes: Number(row.bytes),
    itemBytes: Number(row.item_bytes),
    items: row.items,
    slots: row.slots,
    state: row.state,
    carrier: row.carrier,
    parts: row.parts,
    signed: row.signed,
    failures: row.failures,
    error: row.error,
    sealedAt: row.sealed_at,
    postedAt: row.posted_at,
    confirmedAt: row.confirmed_at,
    finalAt: row.final_at,
    repostedAt: row.reposted_at,
    height: row.height === null ? null : Number(row.height),
    lost: row.lost,
  };
}
