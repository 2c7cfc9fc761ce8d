/**
 * The tables of the schedules, filled from bundles that were checked: what a gateway has of its own messages once they are placed, and what
 * its settler has once they are settled. Nothing but an empty database is taken. Until `finish` it is marked as not whole, and no gateway
 * goes on with it.
 */
import { readAssetNotice, readCheckpoint, SettlementFinding, type ReadBundle } from '@isthmus/arweave';
import { tagOf, type Item, type ScheduleEntry } from '@isthmus/ao';
import { copyInto, CopyRows } from '@isthmus/store';
import { QueryFailedError, type DataSource, type QueryRunner } from 'typeorm';
import { ReplayError } from './error.js';

/** Of so many of the newest bundles the settler looks again whether Arweave still has them: deeper ones nothing takes back. */
const WATCHED = 100;
const ASSIGNMENT = ['process', 'nonce', 'id', 'message_id', 'timestamp', 'item', 'message'];

export class ScheduleTables {
  /** What the scheduler named as its bridge's assets, by process. */
  readonly assets = new Map<string, string>();
  /** Slots written. */
  slots = 0;

  private constructor(
    private readonly runner: QueryRunner,
    private readonly scheduler: string,
    private readonly indexes: readonly string[],
  ) {}

  /** @param lasting whether the tables outlive the replay @throws ReplayError `not-empty` */
  static async open(database: DataSource, scheduler: string, lasting: boolean): Promise<ScheduleTables> {
    const runner = database.createQueryRunner();
    // What a crash of the database may lose is made again: the end is written through.
    await runner.query('set synchronous_commit = off');
    const [there]: { n: number }[] = await runner.query(
      `select count(*)::int as n from (
         (select 1 from rebuilt limit 1) union all (select 1 from module limit 1) union all (select 1 from item limit 1)
         union all (select 1 from settlement_bundle limit 1) union all (select 1 from transfer limit 1)
       ) as found`,
    );
    if (there?.n !== 0)
      throw new ReplayError(
        'not-empty',
        'The database to rebuild into is not empty: give a new one, or drop and create this one again.',
      );
    await runner.query('insert into rebuilt default values');
    if (!lasting) for (const table of ['assignment', 'result']) await runner.query(`alter table ${table} set unlogged`);
    // Kept up row by row they would cost more than everything else; made at the end they are sorted once.
    const rows: { indexname: string; indexdef: string }[] = await runner.query(
      `select indexname, indexdef from pg_indexes where schemaname = current_schema() and tablename = 'assignment' and indexname <> 'assignment_pkey'`,
    );
    for (const { indexname } of rows) await runner.query(`drop index ${indexname}`);
    return new ScheduleTables(
      runner,
      scheduler,
      rows.map((r) => r.indexdef),
    );
  }

  /** Writes a bundle; what is in it can be read when this resolves. @throws SettlementFinding `missing-module`, `doubled` */
  async take(bundle: ReadBundle): Promise<void> {
    await this.atOnce(async () => {
      await this.refuseDoubled(bundle);
      await this.takeOthers(bundle);
      await this.takeEntries(bundle.ranges.map((r) => r.entries));
      await this.takeSettlement(bundle);
    });
  }

  /** Writes slots of one process that are in no bundle, behind those it has. @throws SettlementFinding `missing-module` */
  async takeUnsettled(entries: readonly ScheduleEntry[], module: Item | null): Promise<void> {
    await this.atOnce(async () => {
      if (module) await this.takeModule(module);
      await this.takeEntries([entries]);
    });
  }

  /** Ids of the assignments of these slots. */
  async assignments(process: string, from: number, to: number): Promise<string[]> {
    const rows: { id: string }[] = await this.runner.query(
      'select id from assignment where process = $1 and nonce between $2 and $3 order by nonce',
      [process, from, to],
    );
    return rows.map((r) => r.id);
  }

  private async atOnce(write: () => Promise<void>): Promise<void> {
    await this.runner.startTransaction();
    try {
      await write();
      await this.runner.commitTransaction();
    } catch (error) {
      await this.runner.rollbackTransaction();
      throw error;
    }
  }

  /** Slots, each process' one after the other, with the heads they make. */
  private async takeEntries(ranges: readonly (readonly ScheduleEntry[])[]): Promise<void> {
    await this.takeHeads(ranges);
    const rows = new CopyRows();
    for (const entries of ranges) for (const entry of entries) addEntry(rows, entry);
    await copyInto(this.runner, 'assignment', ASSIGNMENT, rows);
    this.slots += rows.count;
  }

  /** Makes what is written usable. @throws SettlementFinding `doubled` when a message has two places in one schedule */
  async finish(): Promise<void> {
    await this.runner.query(`set maintenance_work_mem = '128MB'`);
    for (const index of this.indexes) {
      try {
        await this.runner.query(index);
      } catch (error) {
        throw isUniqueViolation(error) ? await this.doubled() : error;
      }
    }
    await this.runner.query(
      `insert into settlement_progress (process, next, results_slot, results, checkpoint)
       select p.process, p.next, coalesce(k.last, -1), k.results, coalesce(c.nonce, -1)
       from (select process, max(last) + 1 as next from settlement_range group by process) as p
       left join lateral (select last, results from settlement_range where process = p.process and results is not null order by first desc limit 1) as k on true
       left join lateral (select max(nonce) as nonce from settlement_checkpoint where process = p.process) as c on true`,
    );
    await this.runner.query(
      `update settlement_bundle set state = 'final', final_at = now() where sequence <= (select max(sequence) from settlement_bundle) - ${WATCHED}`,
    );
    await this.runner.query('analyze');
  }

  /** Takes only these for assets, whatever the scheduler names. @throws ReplayError when it names one of them for none */
  async pin(processes: readonly string[]): Promise<void> {
    for (const process of processes)
      if (!this.assets.has(process))
        throw new ReplayError('bad-request', `The scheduler names ${process} for no asset of its bridge.`);
    for (const process of this.assets.keys()) if (!processes.includes(process)) this.assets.delete(process);
    await this.runner.query('delete from asset_notice where process <> all($1)', [processes]);
  }

  /** Says that the database is whole. */
  async end(): Promise<void> {
    await this.runner.query('set synchronous_commit = on');
    await this.runner.query('update rebuilt set ended = now()');
  }

  async close(): Promise<void> {
    await this.runner.release();
  }

  /** An item of no schedule is settled once. @throws SettlementFinding `doubled` */
  private async refuseDoubled({ others, seal }: ReadBundle): Promise<void> {
    const rows: { id: string; sequence: string }[] = await this.runner.query(
      'select id, sequence from settlement_item where id = any($1)',
      [others.map((o) => o.id)],
    );
    const seen = new Map(rows.map((r) => [r.id, Number(r.sequence)]));
    for (const { id } of others) {
      const first = seen.get(id);
      if (first !== undefined)
        throw new SettlementFinding('doubled', `Item ${id} is there again, which bundle ${first} has already.`, {
          item: id,
        });
      seen.set(id, seal.sequence);
    }
  }

  private async takeOthers({ others }: ReadBundle): Promise<void> {
    const modules: Item[] = [];
    const items: Item[] = [];
    for (const item of others) {
      const checkpoint = item.ownerAddress === this.scheduler ? readCheckpoint(item) : null;
      const notice = readAssetNotice(item, this.scheduler);
      if (checkpoint) await this.takeCheckpoint(checkpoint);
      else (tagOf(item, 'Type') === 'Module' ? modules : items).push(item);
      if (!notice) continue;
      this.assets.set(notice.process, notice.asset);
      await this.runner.query('insert into asset_notice (id, asset, process) values ($1, $2, $3)', [
        item.id,
        notice.asset,
        notice.process,
      ]);
    }
    for (const module of modules) await this.takeModule(module);
    for (const { id, raw } of items) await this.runner.query('insert into item (id, item) values ($1, $2)', [id, raw]);
  }

  /** A module that is there already is the same one: its id is that of its signature. */
  private async takeModule(module: Item): Promise<void> {
    await this.runner.query('insert into module (id, format, item) values ($1, $2, $3) on conflict do nothing', [
      module.id,
      tagOf(module, 'Module-Format'),
      module.raw,
    ]);
  }

  private async takeCheckpoint({
    item,
    process,
    nonce,
  }: {
    item: Item;
    process: string;
    nonce: number;
  }): Promise<void> {
    await this.runner.query('insert into settlement_checkpoint (id, process, nonce, item) values ($1, $2, $3, $4)', [
      item.id,
      process,
      nonce,
      item.raw,
    ]);
  }

  private async takeHeads(ranges: readonly (readonly ScheduleEntry[])[]): Promise<void> {
    const heads = ranges.map((entries) => {
      const [first, last] = [entries[0] as ScheduleEntry, entries.at(-1) as ScheduleEntry]; // no range is empty
      return {
        process: first.process,
        to: last.nonce,
        assignment: last.assignment.id,
        hashChain: tagOf(last.assignment, 'Hash-Chain'),
        timestamp: tagOf(last.assignment, 'Timestamp'),
        first,
      };
    });
    const spawns = heads.filter((h) => h.first.nonce === 0);
    await this.assertModules(spawns.map((s) => s.first));
    for (const { process, to, assignment, hashChain, timestamp, first } of spawns)
      await this.runner.query(
        'insert into process (id, module, item, nonce, assignment_id, hash_chain, timestamp) values ($1, $2, $3, $4, $5, $6, $7)',
        [process, tagOf(first.message, 'Module'), first.message.raw, to, assignment, hashChain, timestamp],
      );
    const others = heads.filter((h) => h.first.nonce > 0);
    await this.runner.query(
      `update process p set nonce = h.nonce, assignment_id = h.assignment, hash_chain = h.chain, timestamp = h.timestamp
       from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) as h(id, nonce, assignment, chain, timestamp) where p.id = h.id`,
      [
        others.map((h) => h.process),
        others.map((h) => h.to),
        others.map((h) => h.assignment),
        others.map((h) => h.hashChain),
        others.map((h) => h.timestamp),
      ],
    );
  }

  private async assertModules(spawns: readonly ScheduleEntry[]): Promise<void> {
    if (spawns.length === 0) return;
    const rows: { id: string }[] = await this.runner.query('select id from module where id = any($1)', [
      spawns.map((s) => tagOf(s.message, 'Module')),
    ]);
    const known = new Set(rows.map((r) => r.id));
    const without = spawns.find((s) => !known.has(tagOf(s.message, 'Module')));
    if (without)
      throw new SettlementFinding(
        'missing-module',
        `Module ${tagOf(without.message, 'Module')} was not settled before process ${without.process}, which names it.`,
        { process: without.process, slot: 0, item: tagOf(without.message, 'Module') },
      );
  }

  private async takeSettlement({ seal, others, ranges, tx, bytes, sha256 }: ReadBundle): Promise<void> {
    const slots = ranges.reduce((sum, { entries }) => sum + entries.length, 0);
    const raws = [...others, ...ranges.flatMap((r) => r.entries.flatMap((e) => [e.assignment, e.message]))];
    const itemBytes = raws.reduce((sum, { raw }) => sum + raw.length, 0);
    await this.runner.query(
      `insert into settlement_bundle (sequence, seal_id, seal, sha256, bytes, item_bytes, items, slots, state, carrier, sealed_at, posted_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, 'posted', $9, now(), now())`,
      [seal.sequence, seal.item.id, seal.item.raw, sha256, bytes, itemBytes, raws.length, slots, tx],
    );
    await this.runner.query(
      'insert into settlement_item (id, sequence, position) select id, $2, place from unnest($1::text[]) with ordinality as o(id, place)',
      [others.map((o) => o.id), seal.sequence],
    );
    await this.runner.query(
      `insert into settlement_range (process, first, last, results, sequence)
       select *, $5::bigint from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) as r(process, first, last, results)`,
      [
        ranges.map((r) => r.process),
        ranges.map((r) => r.from),
        ranges.map((r) => r.to),
        ranges.map((r) => r.results),
        seal.sequence,
      ],
    );
  }

  /** @returns what names the message that has two places */
  private async doubled(): Promise<SettlementFinding> {
    const rows: {
      process: string;
      message_id: string;
      first: string;
      slot: string;
      sequence: string | null;
      carrier: string | null;
    }[] = await this.runner.query(
      `select d.*, r.sequence, b.carrier from (
           select process, message_id, min(nonce) as first, max(nonce) as slot from assignment group by process, message_id having count(*) > 1 limit 1
         ) as d left join settlement_range r on r.process = d.process and d.slot between r.first and r.last
         left join settlement_bundle b on b.sequence = r.sequence`,
    );
    const {
      process = '',
      message_id: item = '',
      first = '',
      slot = '',
      sequence = null,
      carrier = null,
    } = rows[0] ?? {};
    return new SettlementFinding(
      'doubled',
      `Slot ${slot} of ${process} holds message ${item} again, which is in slot ${first}.`,
      {
        bundle: sequence === null ? null : Number(sequence), // none: it is of a tail
        tx: carrier,
        process,
        slot: Number(slot),
        item,
      },
    );
  }
}

function addEntry(rows: CopyRows, { process, nonce, assignment, message }: ScheduleEntry): void {
  rows
    .row(ASSIGNMENT.length)
    .text(process)
    .bigint(nonce)
    .text(assignment.id)
    .text(message.id)
    .bigint(Number(tagOf(assignment, 'Timestamp')))
    .raw(assignment.raw)
    .raw(message.raw);
}

function isUniqueViolation(error: unknown): boolean {
  return error instanceof QueryFailedError && (error.driverError as { code?: unknown }).code === '23505';
}
