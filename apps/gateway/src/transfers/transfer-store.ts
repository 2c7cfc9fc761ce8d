/** The only door to the transfer tables. Every write is idempotent: the same fact twice is once. */
import { EventEmitter } from 'node:events';
import type { Direction, TransferState } from '@isthmus/bridge';
import type { DataSource, EntityManager } from 'typeorm';
import type { Hex } from 'viem';

/** Steps that say why a transfer waits. */
const TELLING = ['conflict', 'release-attested'] as const;
export type TellingStep = (typeof TELLING)[number];

export interface TransferRow {
  id: Hex;
  direction: Direction;
  asset: string;
  process: string;
  state: TransferState;
  waits: string | null;
  /** Which of the steps that say why it waits its timeline has. */
  told: TellingStep[];
  sender: string;
  recipient: string;
  amount: string;
  fee: string;
  max_fee: string | null;
  number: string | null;
  reference: string | null;
  source_tx: Hex | null;
  release_tx: Hex | null;
  block_number: string | null;
  /** Confirmations it takes, where they are counted. */
  required: number | null;
  created_at: Date;
  updated_at: Date;
  position: string;
}

/** Columns of a TransferRow. */
const SHOWN = `*, array(select distinct kind from transfer_step
  where transfer_step.transfer = transfer.id and kind in (${TELLING.map((kind) => `'${kind}'`).join(', ')})) as told`;

/** One fact about a transfer, with its proof. */
export interface StepRow {
  transfer: string;
  key: string;
  at: Date;
  kind: string;
  proof: Record<string, string | number>;
}

export interface StateEvent {
  id: string;
  transfer: string;
  state: TransferState;
  at: Date;
}

/** A deposit as the chain or the process shows it. */
export interface NewDeposit {
  id: Hex;
  asset: string;
  process: string;
  state: TransferState;
  sender: string;
  recipient: string;
  amount: bigint;
  reference: string;
  txHash: string;
  blockNumber: bigint | null;
  at: Date;
}

export interface NewWithdrawal {
  id: Hex;
  asset: string;
  process: string;
  sender: string;
  recipient: string;
  amount: bigint;
  maxFee: bigint;
  number: bigint;
  at: Date;
}

export interface TransferFilter {
  address?: string | undefined;
  source?: string | undefined;
  release?: string | undefined;
  message?: string | undefined;
  state?: string | undefined;
  asset?: string | undefined;
  before?: bigint | undefined;
  limit: number;
}

/** Any constant will do, as long as every gateway uses the same and nothing else does. */
const EVENT_LOCK = 4_953_169;

/** One transfer's move to another state, at the time of what moved it. */
export interface Move {
  id: string;
  at: Date;
}

/** What a slot adds to a process' totals; `released` names the withdrawal. */
export type Moved = { slot: number } & ({ minted: bigint } | { burned: bigint } | { released: bigint });

/** Says when state events were committed. */
export const committed = new EventEmitter().setMaxListeners(0);

export class TransferStore {
  constructor(private readonly database: DataSource) {}

  /**
   * Every transaction that may write state events goes through here, one after another: events become visible in the order of their ids, so
   * a reader who goes on from the last id it saw misses none.
   */
  transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.database.transaction(async (manager) => {
      await manager.query('select pg_advisory_xact_lock($1)', [EVENT_LOCK]);
      return work(manager);
    });
  }

  /** Tells listeners that something has changed. */
  announce(): void {
    committed.emit('events');
  }

  async addDeposits(manager: EntityManager, deposits: readonly NewDeposit[]): Promise<void> {
    if (deposits.length === 0) return;
    const column = <T>(pick: (d: NewDeposit) => T): T[] => deposits.map(pick);
    await manager.query(
      `with added as (
         insert into transfer (id, direction, asset, process, state, sender, recipient, amount, reference, source_tx, block_number, created_at, updated_at)
         select d.id, 'deposit', d.asset, d.process,
           case when d.state = 'confirming' and exists (select 1 from transfer_step s where s.transfer = d.id and s.kind = 'attested') then 'attesting' else d.state end,
           d.sender, d.recipient, d.amount, d.reference, d.source_tx, d.block_number, d.at, d.at
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::numeric[], $8::text[], $9::text[], $10::bigint[], $11::timestamptz[])
           as d(id, asset, process, state, sender, recipient, amount, reference, source_tx, block_number, at)
         on conflict (id) do nothing returning id, state)
       insert into transfer_event (transfer, state) select id, state from added`,
      [
        column((d) => d.id),
        column((d) => d.asset),
        column((d) => d.process),
        column((d) => d.state),
        column((d) => d.sender),
        column((d) => d.recipient),
        column((d) => String(d.amount)),
        column((d) => d.reference),
        column((d) => d.txHash),
        column((d) => (d.blockNumber === null ? null : String(d.blockNumber))),
        column((d) => d.at),
      ],
    );
  }

  async addWithdrawals(manager: EntityManager, withdrawals: readonly NewWithdrawal[]): Promise<void> {
    for (const w of withdrawals) {
      const added: unknown[] = await manager.query(
        `insert into transfer (id, direction, asset, process, state, sender, recipient, amount, max_fee, number, created_at, updated_at)
         values ($1, 'withdrawal', $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $9) on conflict (id) do nothing returning id`,
        [w.id, w.asset, w.process, w.sender, w.recipient, String(w.amount), String(w.maxFee), String(w.number), w.at],
      );
      if (added.length > 0)
        await manager.query(`insert into transfer_event (transfer, state) values ($1, 'queued')`, [w.id]);
    }
  }

  async addSteps(manager: EntityManager, steps: readonly StepRow[]): Promise<void> {
    if (steps.length === 0) return;
    await manager.query(
      'insert into transfer_step (transfer, key, at, kind, proof) select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::jsonb[]) on conflict do nothing',
      [
        steps.map((s) => s.transfer),
        steps.map((s) => s.key),
        steps.map((s) => s.at),
        steps.map((s) => s.kind),
        steps.map((s) => JSON.stringify(s.proof)),
      ],
    );
  }

  /** Makes deposits what the process minted: until then a row is only what this gateway's own sources showed. */
  async settleDeposits(manager: EntityManager, deposits: readonly NewDeposit[]): Promise<void> {
    if (deposits.length === 0) return;
    await manager.query(
      `update transfer set source_tx = d.tx, sender = d.sender, recipient = d.recipient, amount = d.amount
       from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[]) as d(id, tx, sender, recipient, amount)
       where transfer.id = d.id`,
      [
        deposits.map((d) => d.id),
        deposits.map((d) => d.txHash),
        deposits.map((d) => d.sender),
        deposits.map((d) => d.recipient),
        deposits.map((d) => String(d.amount)),
      ],
    );
  }

  /** Moves transfers from any of `from` to `to`; those elsewhere stay. */
  move(
    manager: EntityManager,
    ids: readonly string[],
    from: readonly TransferState[],
    to: TransferState,
    at: Date,
  ): Promise<void> {
    return this.moveEach(
      manager,
      ids.map((id) => ({ id, at })),
      from,
      to,
    );
  }

  /** As `move`, each at its own time; of several for one transfer the first counts, as it would have alone. */
  async moveEach(
    manager: EntityManager,
    moves: readonly Move[],
    from: readonly TransferState[],
    to: TransferState,
  ): Promise<void> {
    if (moves.length === 0) return;
    const first = new Map<string, Date>();
    for (const { id, at } of moves) if (!first.has(id)) first.set(id, at);
    await manager.query(
      `with moved as (
         update transfer set state = $3, waits = null, updated_at = m.at
         from unnest($1::text[], $4::timestamptz[]) as m(id, at)
         where transfer.id = m.id and state = any($2) returning transfer.id, state)
       insert into transfer_event (transfer, state) select id, state from moved`,
      [[...first.keys()], from, to, [...first.values()]],
    );
  }

  /** Ids of a process' withdrawals by number. */
  async withdrawalIds(
    manager: EntityManager,
    process: string,
    numbers: readonly bigint[],
  ): Promise<Map<string, string>> {
    if (numbers.length === 0) return new Map();
    const rows: { id: string; number: string }[] = await manager.query(
      'select id, number from transfer where process = $1 and number = any($2::bigint[])',
      [process, numbers.map(String)],
    );
    return new Map(rows.map((r) => [r.number, r.id]));
  }

  /** Adds what later slots moved to a process' totals. The withdrawals released are known by then. */
  async addTotals(manager: EntityManager, process: string, moved: readonly Moved[]): Promise<void> {
    if (moved.length === 0) return;
    await manager.query(
      `with moved as (
         select m.slot, m.place, m.minted, m.burned, coalesce(t.amount, 0) as released
         from unnest($2::bigint[], $3::numeric[], $4::numeric[], $5::bigint[]) with ordinality as m(slot, minted, burned, number, place)
         left join transfer t on t.process = $1 and t.number = m.number
       ), before as (
         select minted, burned, released from asset_total where process = $1 order by nonce desc limit 1
       )
       insert into asset_total (process, nonce, minted, burned, released)
       select $1, slot, coalesce((select minted from before), 0) + sum(sum(minted)) over so_far,
         coalesce((select burned from before), 0) + sum(sum(burned)) over so_far,
         coalesce((select released from before), 0) + sum(sum(released)) over so_far
       from moved where slot > coalesce((select max(nonce) from asset_total where process = $1), -1)
       group by slot window so_far as (order by slot)`,
      [
        process,
        moved.map((m) => m.slot),
        moved.map((m) => ('minted' in m ? String(m.minted) : '0')),
        moved.map((m) => ('burned' in m ? String(m.burned) : '0')),
        moved.map((m) => ('released' in m ? String(m.released) : null)),
      ],
    );
  }

  async find(id: string): Promise<TransferRow | null> {
    const rows: TransferRow[] = await this.database.query(`select ${SHOWN} from transfer where id = $1`, [id]);
    return rows[0] ?? null;
  }

  async steps(id: string): Promise<StepRow[]> {
    return this.database.query(
      'select transfer, key, at, kind, proof from transfer_step where transfer = $1 order by at, position limit 500',
      [id],
    );
  }

  /** Newest first; `before` is the position to go on from. */
  async list({
    address,
    source,
    release,
    message,
    state,
    asset,
    before,
    limit,
  }: TransferFilter): Promise<TransferRow[]> {
    const values: unknown[] = [];
    const bind = (value: unknown): string => `$${values.push(value)}`;
    const conditions = [
      address === undefined ? '' : ((p) => `(sender = ${p} or recipient = ${p})`)(bind(address)),
      source === undefined ? '' : `source_tx = ${bind(source)}`,
      release === undefined ? '' : `release_tx = ${bind(release)}`,
      message === undefined
        ? ''
        : `id in (select transfer from transfer_step where proof ->> 'message' = ${bind(message)})`,
      state === undefined ? '' : `state = ${bind(state)}`,
      asset === undefined ? '' : `asset = ${bind(asset)}`,
      before === undefined ? '' : `position < ${bind(String(before))}`,
    ].filter((c) => c !== '');
    const where = conditions.length > 0 ? `where ${conditions.join(' and ')}` : '';
    return this.database.query(
      `select ${SHOWN} from transfer ${where} order by position desc limit ${bind(limit)}`,
      values,
    );
  }

  /** State events after `after`, oldest first. */
  async events(after: bigint, transfer: string | null, limit: number): Promise<StateEvent[]> {
    return this.database.query(
      'select id, transfer, state, at from transfer_event where id > $1 and ($2::text is null or transfer = $2) order by id limit $3',
      [String(after), transfer, limit],
    );
  }

  async lastEvent(): Promise<bigint> {
    const rows: { id: string | null }[] = await this.database.query('select max(id) as id from transfer_event');
    return BigInt(rows[0]?.id ?? 0);
  }
}
