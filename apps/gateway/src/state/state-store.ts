/**
 * The canonical state and index as of any seal, told from the tables a gateway has anyway. Nothing is stopped for it: what is placed,
 * evaluated and projected later has later slots, and is left out. One look at a time, the newest answers kept: who asks often costs little.
 */
import {
  IndexHash,
  indexLine,
  stateHash,
  stateLines,
  type AssetState,
  type IndexStep,
  type IndexTransfer,
  type ProcessState,
} from '@isthmus/arweave';
import { parseItem, tagOf } from '@isthmus/ao';
import type { DataSource } from 'typeorm';
import { totalsAt } from './asset-totals.js';

/** Processes read at once, and transfers. */
const PAGE = 500;
/** Who waits for an answer at most: one of an old seal reads the whole index. */
const MAX_WAITING = 8;
/** Answers kept: most ask for the newest. */
const KEPT = 8;

export interface StateAt {
  sequence: number;
  seal: string;
  /** SHA-256 of the canonical state, hexadecimal. */
  state: string;
  processes: ProcessState[];
  assets: AssetState[];
  /** SHA-256 of the index, hexadecimal, and how many transfers are in it. */
  index: string;
  transfers: number;
}

/** What was asked for is not there, or not yet. */
export class StateUnavailable extends Error {
  constructor(
    readonly code: 'nothing-settled' | 'unknown-seal' | 'not-projected' | 'busy',
    message: string,
  ) {
    super(message);
    this.name = 'StateUnavailable';
  }
}

export class StateStore {
  private readonly kept = new Map<number, StateAt>();
  private looking: Promise<unknown> = Promise.resolve();
  private waiting = 0;

  constructor(private readonly database: DataSource) {}

  /** As of this seal, or the newest. @throws StateUnavailable */
  async at(sequence?: number): Promise<StateAt> {
    if (this.waiting === MAX_WAITING)
      throw new StateUnavailable('busy', 'Others are asking for the state of other seals: ask again in a moment.');
    this.waiting += 1;
    const looked = this.looking.then(() => this.look(sequence));
    this.looking = looked.catch(() => undefined).finally(() => (this.waiting -= 1));
    return looked;
  }

  private async look(wanted?: number): Promise<StateAt> {
    const rows: { sequence: string; seal_id: string }[] = await this.database.query(
      'select sequence, seal_id from settlement_bundle where $1::bigint is null or sequence = $1 order by sequence desc limit 1',
      [wanted ?? null],
    );
    const [row] = rows;
    if (!row)
      throw wanted === undefined
        ? new StateUnavailable('nothing-settled', 'Nothing is settled yet.')
        : new StateUnavailable('unknown-seal', `There is no seal ${wanted} here.`);
    const sequence = Number(row.sequence);
    const known = this.kept.get(sequence);
    if (known) return known;
    const processes = await this.processes(sequence);
    const slots = new Map(processes.map((p) => [p.process, p.slot]));
    const assets = await this.assets(sequence, slots);
    const { digest, count } = await this.index(new Map(assets.map((a) => [a.process, slots.get(a.process) ?? -1])));
    const state = stateHash(stateLines(processes, assets));
    const found = { sequence, seal: row.seal_id, state, processes, assets, index: digest, transfers: count };
    this.keep(found);
    return found;
  }

  private keep(found: StateAt): void {
    this.kept.set(found.sequence, found);
    if (this.kept.size <= KEPT) return;
    for (const oldest of this.kept.keys()) {
      this.kept.delete(oldest);
      return;
    }
  }

  private async processes(sequence: number): Promise<ProcessState[]> {
    const found: ProcessState[] = [];
    for (let after = ''; ;) {
      const rows: { id: string; last: string; results: string | null; assignment: string; item: Buffer }[] =
        await this.database.query(
          `select p.id, r.last, r.results, a.id as assignment, a.item
           from (select process as id from settlement_progress where process > $2 order by process limit ${PAGE}) as p
           cross join lateral (
             select last, results from settlement_range where process = p.id and sequence <= $1 order by first desc limit 1
           ) as r join assignment a on a.process = p.id and a.nonce = r.last order by p.id`,
          [sequence, after],
        );
      for (const { id, last, results, assignment, item } of rows)
        found.push({
          process: id,
          slot: Number(last),
          assignment,
          hashChain: tagOf(parseItem(item), 'Hash-Chain'),
          results,
        });
      const [next]: { process: string }[] = await this.database.query(
        `select max(process) as process from (select process from settlement_progress where process > $1 order by process limit ${PAGE}) as p`,
        [after],
      );
      if (!next?.process) return found;
      after = next.process;
    }
  }

  /** @throws StateUnavailable `not-projected` */
  private async assets(sequence: number, slots: ReadonlyMap<string, number>): Promise<AssetState[]> {
    const notices: { asset: string; process: string }[] = await this.database.query(
      'select n.asset, n.process from asset_notice n join settlement_item i on i.id = n.id where i.sequence <= $1 order by n.process',
      [sequence],
    );
    const found: AssetState[] = [];
    for (const { asset, process } of notices) {
      const slot = slots.get(process);
      if (slot === undefined) continue;
      const [row]: { nonce: string }[] = await this.database.query('select nonce from projection where process = $1', [
        process,
      ]);
      // First how far the index is: what is projected meanwhile has later slots.
      if (Number(row?.nonce ?? -1) < slot)
        throw new StateUnavailable('not-projected', `The index has not come to slot ${slot} of ${process} yet.`);
      found.push({ asset, process, ...(await totalsAt(this.database, process, slot)) });
    }
    return found;
  }

  /** @param slots of each asset's process, up to which transfers and steps count */
  private async index(slots: ReadonlyMap<string, number>): Promise<{ digest: string; count: number }> {
    const hash = new IndexHash();
    for await (const transfer of this.transfers(slots)) hash.add(transfer.id, indexLine(transfer));
    return { digest: hash.digest(), count: hash.count };
  }

  /** Transfers as AO knows them up to these slots, in the order of their ids. */
  async *transfers(slots: ReadonlyMap<string, number>): AsyncGenerator<IndexTransfer> {
    for (let after = ''; ;) {
      const rows: TransferRow[] = await this.database.query(
        `select t.id, t.direction, t.asset, t.process, t.sender, t.recipient, t.amount, t.number, t.reference, t.source_tx
         from transfer t where t.process = any($1) and t.id > $2 order by t.id limit ${PAGE}`,
        [[...slots.keys()], after],
      );
      const last = rows.at(-1);
      if (!last) return;
      after = last.id;
      const steps = await this.steps(rows.map((r) => r.id));
      for (const row of rows) {
        const known = (steps.get(row.id) ?? []).filter(({ slot }) => slot <= (slots.get(row.process) ?? -1));
        // Before that it is what this gateway's own sources showed.
        if (known.some(({ kind }) => kind === 'minted' || kind === 'queued')) yield asKnown(row, known);
      }
    }
  }

  private async steps(ids: readonly string[]): Promise<Map<string, AoStep[]>> {
    const rows: { transfer: string; key: string; kind: string; proof: AoStep['proof'] }[] = await this.database.query(
      `select transfer, key, kind, proof from transfer_step where transfer = any($1) and proof ? 'slot'`,
      [ids],
    );
    const found = new Map<string, AoStep[]>();
    for (const { transfer, key, kind, proof } of rows) {
      const steps = found.get(transfer) ?? [];
      steps.push({ key, kind, proof, message: String(proof['message']), slot: Number(proof['slot']) });
      found.set(transfer, steps);
    }
    return found;
  }
}

interface TransferRow {
  id: string;
  direction: string;
  asset: string;
  process: string;
  sender: string;
  recipient: string;
  amount: string;
  number: string | null;
  reference: string | null;
  source_tx: string | null;
}

type AoStep = IndexStep & { proof: Record<string, string | number> };

/** What was paid, and where, is the process' own word: a gateway may know it from the chain before. */
function asKnown(row: TransferRow, steps: readonly AoStep[]): IndexTransfer {
  const { source_tx: sourceTx, ...rest } = row;
  const released = steps.find(({ kind }) => kind === 'released')?.proof;
  return {
    ...rest,
    sourceTx,
    fee: String(released?.['fee'] ?? '0'),
    releaseTx: released ? String(released['tx']) : null,
    steps,
  };
}
