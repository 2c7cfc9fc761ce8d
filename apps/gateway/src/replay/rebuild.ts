/**
 * Everything again from Arweave alone: schedules into their tables, every slot evaluated, results held against the seals, transfers and
 * books projected from them, and in the end the canonical state as of the last seal, by the code a gateway tells its own with.
 */
import {
  Follower,
  imageOf,
  readBundles,
  readCheckpoint,
  SettlementError,
  SettlementFinding,
  type BundleSource,
  type ReadBundle,
  type ReplayPhase,
  type ReplayProgress,
} from '@isthmus/arweave';
import { parseItem, PublicState, Rerun, StoredSlots, tagOf, WorkerPool, type RerunStopped } from '@isthmus/ao';
import type { DataSource } from 'typeorm';
import { totalsAt } from '../state/asset-totals.js';
import { StateStore, type StateAt } from '../state/state-store.js';
import { DecisionStore } from '../transfers/decision-store.js';
import { Projector } from '../transfers/projector.js';
import { TransferStore } from '../transfers/transfer-store.js';
import type { ReplayedBooks } from './chain/asset-books.js';
import { checkBooks, type ChainOptions } from './chain/books.js';
import { ReplayError } from './error.js';
import { ResultsLedger } from './results-ledger.js';
import { ScheduleTables } from './schedule-tables.js';
import { takeTails, type TailSource, type TakenTail } from './tail.js';
import { totalsOf, type TokenTotals } from './token-totals.js';

export interface RebuildOptions {
  source: BundleSource;
  scheduler: string;
  /** Empty but for its tables. */
  database: DataSource;
  /** How many compute threads of its own; or those of whoever gives them, to close what is open there. */
  workers: number | WorkerPool;
  memoryBudget?: number | undefined;
  /** Number of the last bundle to take; all there are unless told. */
  upTo?: number | undefined;
  /** Begin each process at its newest checkpoint. */
  checkpoint?: boolean;
  /** Token processes to take for assets, whatever else the scheduler names; all it names unless told. */
  processes?: readonly string[] | undefined;
  /** What guardians have kept beyond what was settled, for a gateway to go on behind it; not from checkpoints. */
  tails?: readonly TailSource[];
  /** Read the home chains too, and hold the books against them; not from checkpoints. */
  chains?: ChainOptions | undefined;
  /** A gateway is to go on with the database. */
  goOn?: boolean;
  onProgress?: (progress: ReplayProgress) => void;
}

export interface Rebuilt {
  bundles: number;
  slots: number;
  /** Results computed here: fewer than slots when it began at checkpoints. */
  evaluated: number;
  bytes: number;
  /** The state as of the last seal. */
  state: StateAt;
  /** Processes that began at a checkpoint; null when they were to begin at slot 0. */
  fromCheckpoints: number | null;
  /** Whether its index says something: from checkpoints on there are not all events. */
  indexed: boolean;
  /** Books held against their chains; none when none was read. */
  books: ReplayedBooks[];
  /** Slots behind the last seal, from tails. */
  tail: TakenTail[];
  /** Processes that go no further on this machine. */
  stopped: RerunStopped[];
}

/** Slots the projector takes at once here, where nobody waits for the first. */
const PROJECTED_AT_ONCE = 2000;
/** Results whose public state is written at once. */
const SAID_AT_ONCE = 1000;
const PROCESSES_AT_ONCE = 500;

/**
 * @throws SettlementFinding when something is wrong with what was settled; SourceError when it cannot be read; ReplayError
 */
export async function rebuild(options: RebuildOptions): Promise<Rebuilt> {
  if (options.goOn && options.checkpoint)
    throw new ReplayError('bad-request', 'A gateway goes on from all results: rebuild it without checkpoints.');
  if ((options.tails ?? []).length > 0 && !options.goOn)
    throw new ReplayError(
      'bad-request',
      '--tail: slots that are not settled are for a gateway to go on with: say where with --into.',
    );
  const { workers: asked } = options;
  const workers = typeof asked === 'number' ? new WorkerPool(asked) : asked;
  const tables = await ScheduleTables.open(options.database, options.scheduler, options.goOn ?? false);
  const ledger = await ResultsLedger.open(options.database);
  const begun = new Rebuild(options, workers, tables, ledger);
  try {
    return await begun.run();
  } finally {
    const ended = begun.end();
    if (workers !== asked) await workers.stop(); // what is under way there is not waited for
    await ended;
    await ledger.close();
    await tables.close();
  }
}

class Rebuild {
  private readonly rerun: Rerun;
  private readonly follower: Follower;
  private begun = 0;
  private bundles = 0;
  private bytes = 0;
  private phase: ReplayPhase = 'reading';
  private of = 0;

  constructor(
    private readonly options: RebuildOptions,
    private readonly workers: WorkerPool,
    private readonly tables: ScheduleTables,
    private readonly ledger: ResultsLedger,
  ) {
    const { database, memoryBudget } = options;
    this.follower = new Follower(options.scheduler);
    this.rerun = new Rerun({
      database,
      workers,
      memoryBudget,
      onOutcomes: async (process, first, outcomes, messages) => {
        await ledger.take(process, first, outcomes, messages);
        this.say();
      },
    });
  }

  /** Resolves when nothing is evaluated any more, however far it has come. */
  end(): Promise<void> {
    return this.rerun.end();
  }

  async run(): Promise<Rebuilt> {
    const { options, tables, ledger, rerun } = this;
    await this.read();
    if (this.bundles === 0)
      throw new ReplayError('nothing-settled', `Nothing settled by ${options.scheduler} is shown there.`);
    const tail = await this.takeTails();
    this.say('evaluating');
    if (options.checkpoint) await this.fromCheckpoints();
    await rerun.finish();
    await ledger.finish();
    this.say('indexing');
    await tables.finish();
    this.say('projecting');
    if (options.processes) await tables.pin(options.processes);
    if (options.checkpoint) await this.takeTotals();
    else await this.project();
    const books = options.checkpoint || !options.chains ? [] : await this.readChains(options.chains);
    if (options.goOn) await this.prepareGateway();
    await tables.end();
    const { bundles, bytes } = this;
    const state = await new StateStore(options.database).at();
    return {
      bundles,
      bytes,
      slots: tables.slots,
      evaluated: ledger.count,
      state,
      fromCheckpoints: options.checkpoint ? this.begun : null,
      indexed: !options.checkpoint,
      books,
      tail,
      stopped: rerun.stopped,
    };
  }

  private async read(): Promise<void> {
    const { source, scheduler, upTo, checkpoint } = this.options;
    this.of = upTo ?? Math.max(0, ...(await source.later(scheduler, 0)).keys());
    for await (const bundle of readBundles({ source, scheduler, upTo, follower: this.follower })) {
      const place = { bundle: bundle.seal.sequence, tx: bundle.tx };
      await this.take(bundle).catch((error: unknown) => {
        throw error instanceof SettlementFinding ? error.at(place) : error;
      });
      if (!checkpoint) for (const { process, entries } of bundle.ranges) await this.rerun.give(process, entries);
      this.bundles += 1;
      this.bytes += bundle.bytes;
      this.say();
    }
  }

  private async take(bundle: ReadBundle): Promise<void> {
    await this.tables.take(bundle);
    this.ledger.expect(bundle);
  }

  /** Slots that were not settled, from who has followed them. */
  private takeTails(): Promise<TakenTail[]> {
    const { tails = [], scheduler } = this.options;
    return takeTails(tails, scheduler, this.follower, {
      assignments: (process, from, to) => this.tables.assignments(process, from, to),
      take: async (process, entries, module) => {
        await this.tables.takeUnsettled(entries, module);
        await this.rerun.give(process, entries);
        this.say();
      },
    });
  }

  /** Several processes at once, each from its newest checkpoint, or from its beginning. */
  private async fromCheckpoints(): Promise<void> {
    const processes = processesOf(this.options.database);
    const work = async (): Promise<void> => {
      for await (const process of processes) {
        await this.beginAtCheckpoint(process);
        await this.rerun.giveStored(process);
      }
    };
    await Promise.all(Array.from({ length: 2 * this.workers.size }, work));
  }

  private async beginAtCheckpoint(process: string): Promise<void> {
    const rows: { item: Buffer; nonce: string; module: string; assignment: Buffer | null; sequence: string }[] =
      await this.options.database.query(
        `select c.item, c.nonce, p.module, a.item as assignment, i.sequence
         from settlement_checkpoint c join process p on p.id = c.process join settlement_item i on i.id = c.id
         left join assignment a on a.process = c.process and a.nonce = c.nonce
         where c.process = $1 order by c.nonce desc limit 1`,
        [process],
      );
    const [row] = rows;
    if (!row) return;
    const item = parseItem(row.item);
    const checkpoint = readCheckpoint(item);
    const differs = (why: string): SettlementFinding =>
      new SettlementFinding('checkpoint-differs', `Checkpoint ${item.id} of ${process} ${why}.`, {
        bundle: Number(row.sequence),
        process,
        slot: Number(row.nonce),
        item: item.id,
      });
    if (!checkpoint || !row.assignment) throw differs('is of no slot that was settled');
    if (checkpoint.hashChain !== tagOf(parseItem(row.assignment), 'Hash-Chain')) throw differs('is of another history');
    if (checkpoint.module !== row.module) throw differs('is of another module');
    const image = await imageOf(checkpoint).catch((error: unknown) => {
      throw error instanceof SettlementError ? differs(`cannot be used: ${error.message}`) : error;
    });
    this.ledger.begin(process, checkpoint.nonce, checkpoint.results);
    await this.rerun.begin(process, checkpoint.nonce, image);
    this.begun += 1;
  }

  /** What a gateway's own projector makes of the results. */
  private async project(): Promise<void> {
    const { database } = this.options;
    const failed: unknown[] = [];
    const assets = [...this.tables.assets].map(([process, id]) => ({ process, id }));
    const engine = Object.assign(new StoredSlots(database), { onSlots: () => undefined });
    const projector = new Projector(
      engine,
      new TransferStore(database),
      new DecisionStore(database),
      await this.spawned(assets),
      () => undefined,
      (error) => failed.push(error),
      PROJECTED_AT_ONCE,
    );
    await projector.start();
    await projector.stop();
    if (failed.length > 0) throw failed[0];
    for (const { process, id } of assets) await this.checkTotals(process, id);
  }

  private readChains(chains: ChainOptions): Promise<ReplayedBooks[]> {
    this.say('reading the chains');
    return checkBooks(this.options.database, this.tables.assets, chains);
  }

  /** Assets whose process is settled by now: a notice may come before its process. */
  private async spawned<A extends { process: string }>(assets: readonly A[]): Promise<A[]> {
    const rows: { id: string }[] = await this.options.database.query('select id from process where id = any($1)', [
      assets.map((a) => a.process),
    ]);
    const there = new Set(rows.map((r) => r.id));
    return assets.filter((a) => there.has(a.process));
  }

  /** What the process itself says of its totals must be what its events add up to. @throws SettlementFinding `books-short` */
  private async checkTotals(process: string, asset: string): Promise<void> {
    const said = await this.said(process);
    if (!said) return;
    const { minted, burned, released } = await totalsAt(this.options.database, process);
    if (said.minted === minted && said.burned === burned && said.released === released) return;
    throw new SettlementFinding(
      'books-short',
      `Process ${process} of ${asset} says it has minted ${said.minted}, burned ${said.burned} and released ${said.released}; its events add up to ${minted}, ${burned}, ${released}.`,
      { process, slot: this.ledger.at(process) },
    );
  }

  /** From checkpoints on there are not all events: the processes' own word is what there is. */
  private async takeTotals(): Promise<void> {
    const { database } = this.options;
    for (const process of this.tables.assets.keys()) {
      const said = await this.said(process);
      if (!said) continue;
      const slot = this.ledger.at(process);
      await database.query(
        'insert into asset_total (process, nonce, minted, burned, released) values ($1, $2, $3, $4, $5)',
        [process, slot, String(said.minted), String(said.burned), String(said.released)],
      );
      await database.query('insert into projection (process, nonce) values ($1, $2)', [process, slot]);
    }
  }

  private said(process: string): Promise<TokenTotals | null> {
    return totalsOf(this.rerun, process);
  }

  /** What a gateway needs beside, to go on where the last seal ends. */
  private async prepareGateway(): Promise<void> {
    const { database } = this.options;
    await this.rerun.keepAll();
    const state = new PublicState(database);
    const stored = new StoredSlots(database);
    for await (const process of processesOf(database))
      for (let next = 0; ;) {
        const slots = await stored.slots(process, next, SAID_AT_ONCE);
        const last = slots.at(-1);
        if (!last) break;
        const results = slots.map(({ nonce, result }) => ({ entry: { nonce }, result }));
        await database.transaction((manager) => state.take(manager, [{ process, results }]));
        next = last.nonce + 1;
      }
    await database.query('update rebuilt set told_at = -1');
  }

  private say(phase: ReplayPhase = this.phase): void {
    this.phase = phase;
    this.options.onProgress?.({
      phase,
      bundles: this.bundles,
      of: this.of,
      slots: this.tables.slots,
      evaluated: this.ledger.count,
    });
  }
}

/** All processes there are, by id. */
async function* processesOf(database: DataSource): AsyncGenerator<string> {
  for (let after = ''; ;) {
    const rows: { id: string }[] = await database.query(
      `select id from process where id > $1 order by id limit ${PROCESSES_AT_ONCE}`,
      [after],
    );
    for (const { id } of rows) yield id;
    const last = rows.at(-1);
    if (!last) return;
    after = last.id;
  }
}
