/**
 * The gateway's own look at one vault: an index for showing, from confirmation on. What is final is taken in order and whole, what is only
 * confirmed is one source's word and may go again. Nothing is minted or released because of it.
 */
import { depositId, depositReference, type TransferState } from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import type { DataSource, EntityManager } from 'typeorm';
import { crashPoint } from '../../crash-point.js';
import type { NewDeposit, StepRow, TransferStore } from '../../transfers/transfer-store.js';
import type { VaultOfAsset } from './config.js';
import type { Vaults } from './vaults.js';

type Deposited = Extract<solana.VaultEvent, { type: 'deposited' }>;
type Released = Extract<solana.VaultEvent, { type: 'released' }>;

export interface VaultIndexParts {
  chain: string;
  database: DataSource;
  pool: solana.SolanaPool;
  store: TransferStore;
  vaults: Vaults;
  log: Pick<Logger, 'error'>;
  /** Looks through what is final before it is in the index, and keeps it out of there by throwing. */
  onFinal?: (events: readonly solana.VaultEvent[]) => Promise<void>;
}

/** Confirmed transactions looked at that are not final yet: in 13 seconds more than this is a flood, whose older ones show when they are final. */
const MOST_AHEAD = 500;
/** Whose a deposit is that is for nobody. */
const NOBODY = '-';
const UNDECIDED: TransferState[] = ['seen', 'confirming', 'orphaned'];

export class VaultIndex {
  private watcher: solana.SolanaWatcher | null = null;
  private cursor: solana.SolanaCursor | null = null;
  /** Of confirmed transactions that are not final yet, by signature. */
  private readonly ahead = new Map<string, solana.VaultEvent[]>();
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly asset: VaultOfAsset,
    private readonly parts: VaultIndexParts,
  ) {}

  /** Final slot up to which the history was read since this was made. */
  get watchedTo(): number {
    return this.watcher?.watchedTo ?? 0;
  }

  /** One look: what is final, then what is not yet. @throws what the watcher throws; VaultUnfit, VaultDiffers */
  look(): Promise<void> {
    return this.alone(async () => {
      const cursor = await this.follow();
      await this.lookAhead(cursor);
    });
  }

  /** Takes what is final by now, and says how far that is. @throws as `look` */
  catchUp(): Promise<solana.SolanaCursor> {
    return this.alone(() => this.follow());
  }

  /** One after another: a watcher walks one way only. */
  private alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }

  private async follow(): Promise<solana.SolanaCursor> {
    const { pool, store, vaults } = this.parts;
    this.watcher ??= new solana.SolanaWatcher(pool, await vaults.vaultOf(this.asset));
    let cursor = (this.cursor ??= await this.loadCursor(this.watcher));
    for (let scan = await this.watcher.step(cursor); scan; scan = await this.watcher.step(cursor)) {
      const { events, cursor: next } = scan;
      await this.parts.onFinal?.(events);
      await store.transaction(async (manager) => {
        await this.keepFinal(manager, events);
        await this.saveCursor(manager, next);
        crashPoint('index.before-commit');
      });
      crashPoint('index.after-commit');
      this.cursor = cursor = next;
      store.announce();
    }
    return cursor;
  }

  private async lookAhead({ signature: until }: solana.SolanaCursor): Promise<void> {
    const { pool, store } = this.parts;
    const vault = await this.parts.vaults.vaultOf(this.asset);
    const known = new Set(this.ahead.keys());
    const { listed, transactions } = await pool.recent(vault.address, { until, limit: MOST_AHEAD, known });
    for (const transaction of transactions) this.ahead.set(transaction.signature, solana.eventsOf(transaction, vault));
    const there = new Set(listed.map((one) => one.signature));
    for (const signature of this.ahead.keys()) if (!there.has(signature)) this.ahead.delete(signature);
    const events = [...this.ahead.values()].flat();
    // Below the oldest that is listed, nothing is known of those that are not.
    const since = listed.length < MOST_AHEAD ? 0 : (listed[0]?.slot ?? 0);
    await store.transaction((manager) => this.keepAhead(manager, events, since));
    store.announce();
  }

  /** The deposits among events, as they are kept. */
  depositsIn(events: readonly solana.VaultEvent[]): NewDeposit[] {
    const at = new Date();
    return events.flatMap((event) => (event.type === 'deposited' ? this.rowOf(event, at) : []));
  }

  private async keepFinal(manager: EntityManager, events: readonly solana.VaultEvent[]): Promise<void> {
    const { store, log } = this.parts;
    const at = new Date();
    const deposits = events.filter((e) => e.type === 'deposited').map((e) => ({ event: e, row: this.rowOf(e, at) }));
    await this.keepDeposits(manager, deposits);
    const steps = deposits.flatMap(({ event, row }): StepRow[] => {
      const { signature: tx, slot, memo } = event;
      const final = { transfer: row.id, key: 'final', at, kind: 'final', proof: { tx, slot, commitment: 'finalized' } };
      if (typeof memo !== 'string') return [final];
      return [final, { transfer: row.id, key: 'refused', at, kind: 'refused', proof: { tx, reason: memo } }];
    });
    await store.addSteps(manager, steps);
    const ids = (isRefused: boolean): string[] =>
      deposits.filter(({ event }) => (typeof event.memo === 'string') === isRefused).map(({ row }) => row.id);
    await store.move(manager, ids(false), UNDECIDED, 'attesting', at);
    await store.move(manager, ids(true), UNDECIDED, 'refused', at);
    for (const event of events) {
      if (event.type === 'released') await this.keepPayment(manager, event, at);
      if (event.type === 'unexplained')
        log.error(
          { tx: event.signature, amount: String(event.amount), asset: this.asset.id },
          'value left the vault, and no payment says why',
        );
    }
  }

  /** Shown as confirming, and as orphaned when it has gone. */
  private async keepAhead(manager: EntityManager, events: readonly solana.VaultEvent[], since: number): Promise<void> {
    const { store } = this.parts;
    const at = new Date();
    const deposits = events.filter((e) => e.type === 'deposited').map((e) => ({ event: e, row: this.rowOf(e, at) }));
    await this.keepDeposits(manager, deposits);
    const present = deposits.map(({ row }) => row.id);
    const gone: { id: string }[] = await manager.query(
      `select id from transfer
       where direction = 'deposit' and state = 'confirming' and process = $1 and block_number >= $2 and id <> all($3)`,
      [this.asset.process, since, present],
    );
    const ids = gone.map((g) => g.id);
    await store.move(manager, ids, ['confirming'], 'orphaned', at);
    await store.move(manager, present, ['orphaned'], 'confirming', at);
    for (const event of events) if (event.type === 'released') await this.showPayment(manager, event, 'confirmed', at);
  }

  private async keepDeposits(
    manager: EntityManager,
    deposits: readonly { event: Deposited; row: NewDeposit }[],
  ): Promise<void> {
    const { store } = this.parts;
    await store.addDeposits(
      manager,
      deposits.map(({ row }) => row),
    );
    await store.addSteps(
      manager,
      deposits.map(({ event: { signature: tx, slot }, row }) => ({
        transfer: row.id,
        key: `seen ${slot}`,
        at: row.at,
        kind: 'seen',
        proof: { tx, slot, commitment: 'confirmed' },
      })),
    );
    // A fork may put it in another slot.
    await manager.query(
      `update transfer set block_number = d.slot from unnest($1::text[], $2::bigint[]) as d(id, slot)
       where transfer.id = d.id and transfer.state <> 'minted' and transfer.block_number is distinct from d.slot`,
      [deposits.map(({ row }) => row.id), deposits.map(({ event }) => event.slot)],
    );
  }

  /** Whoever sent it: a withdrawal that is paid is on its way to be attested. */
  private async keepPayment(manager: EntityManager, event: Released, at: Date): Promise<void> {
    const { process, number, signature, slot, amount } = event;
    if (process !== this.asset.process) return; // a memo names any process; this vault pays for one
    await manager.query(
      'insert into solana_payment (process, number, signature, slot, amount) values ($1, $2, $3, $4, $5) on conflict do nothing',
      [process, String(number), signature, slot, String(amount)],
    );
    const id = await this.showPayment(manager, event, 'finalized', at);
    if (id === null) return;
    await manager.query('update transfer set release_tx = $2 where id = $1 and release_tx is distinct from $2', [
      id,
      signature,
    ]);
    await this.parts.store.move(manager, [id], ['queued', 'signing', 'ready'], 'submitted', at);
  }

  private async showPayment(
    manager: EntityManager,
    event: Released,
    commitment: string,
    at: Date,
  ): Promise<string | null> {
    const { process, number, signature: tx, slot } = event;
    if (process !== this.asset.process) return null;
    const { store } = this.parts;
    const id = (await store.withdrawalIds(manager, process, [number])).get(String(number)) ?? null;
    const key = `mined ${tx} ${slot} ${commitment}`;
    if (id !== null)
      await store.addSteps(manager, [{ transfer: id, key, at, kind: 'mined', proof: { tx, slot, commitment } }]);
    return id;
  }

  private rowOf(event: Deposited, at: Date): NewDeposit {
    const { signature, path, sender, amount, slot, memo } = event;
    const reference = depositReference({ chain: this.parts.chain, signature, path });
    return {
      id: depositId(reference),
      asset: this.asset.id,
      process: this.asset.process,
      state: 'confirming',
      sender,
      recipient: typeof memo === 'string' ? NOBODY : memo.recipient,
      amount,
      reference,
      txHash: signature,
      blockNumber: BigInt(slot),
      at,
    };
  }

  private async loadCursor(watcher: solana.SolanaWatcher): Promise<solana.SolanaCursor> {
    const rows: { signature: string | null; slot: string; balance: string }[] = await this.parts.database.query(
      'select signature, slot, balance from solana_cursor where chain = $1 and vault = $2',
      [this.parts.chain, this.asset.vault],
    );
    const [row] = rows;
    return row ? { signature: row.signature, slot: Number(row.slot), balance: BigInt(row.balance) } : watcher.begin();
  }

  private async saveCursor(manager: EntityManager, { signature, slot, balance }: solana.SolanaCursor): Promise<void> {
    await manager.query(
      `insert into solana_cursor (chain, vault, signature, slot, balance) values ($1, $2, $3, $4, $5)
       on conflict (chain, vault) do update set signature = excluded.signature, slot = excluded.slot, balance = excluded.balance`,
      [this.parts.chain, this.asset.vault, signature, slot, String(balance)],
    );
  }
}
