/** The gateway's own look at the vault: an index for showing, from first sight on. Nothing is minted or released because of it. */
import { aoAddressFromBytes, BridgeError, depositId, depositReference } from '@isthmus/bridge';
import type { DepositedLog, VaultCursor, VaultLog, VaultWatcher } from '@isthmus/chains';
import type { EntityManager } from 'typeorm';
import type { DataSource } from 'typeorm';
import { crashPoint } from '../../crash-point.js';
import type { NewDeposit, StepRow, TransferStore } from '../../transfers/transfer-store.js';
import type { EthereumAssetConfig, EthereumChainConfig } from './config.js';

/** What the index needs to know of a home. */
export interface IndexedChain {
  chain: Pick<EthereumChainConfig, 'id' | 'vault' | 'deployBlock'>;
  assets: readonly Pick<EthereumAssetConfig, 'id' | 'process' | 'address'>[];
}

export class ChainIndex {
  private cursor: VaultCursor | null = null;

  constructor(
    private readonly config: IndexedChain,
    private readonly database: DataSource,
    private readonly watcher: VaultWatcher,
    private readonly store: TransferStore,
  ) {}

  /** Height up to which final blocks are indexed. */
  get height(): bigint {
    return this.cursor?.height ?? 0n;
  }

  /** One look: final blocks into the index, then what is not final yet. @throws what the watcher throws */
  async step(): Promise<void> {
    this.cursor ??= await this.loadCursor();
    for (let scan = await this.watcher.step(this.cursor); scan; scan = await this.watcher.step(this.cursor)) {
      const { logs, cursor } = scan;
      await this.store.transaction(async (manager) => {
        await this.keep(manager, logs, 'final');
        await this.saveCursor(manager, cursor);
        crashPoint('index.before-commit');
      });
      crashPoint('index.after-commit');
      this.cursor = cursor;
      this.store.announce();
    }
    await this.lookAhead();
  }

  /** Deposits not final yet: shown as confirming, and as orphaned when their block has gone. */
  private async lookAhead(): Promise<void> {
    const { logs } = await this.watcher.recent(this.height);
    await this.store.transaction(async (manager) => {
      await this.keep(manager, logs, 'seen');
      const now = new Date();
      const present = logs.filter((l) => l.type === 'deposited').map((l) => this.idOf(l));
      const gone: { id: string }[] = await manager.query(
        `select id from transfer
         where direction = 'deposit' and state = 'confirming' and process = any($3) and block_number > $1 and id <> all($2)`,
        [String(this.height), present, this.config.assets.map((a) => a.process)],
      );
      await this.store.move(
        manager,
        gone.map((g) => g.id),
        ['confirming'],
        'orphaned',
        now,
      );
      await this.store.move(manager, present, ['orphaned'], 'confirming', now);
    });
    this.store.announce();
  }

  /** The deposits among logs, as they are kept. */
  depositsIn(logs: readonly VaultLog[]): NewDeposit[] {
    const at = new Date();
    return logs.flatMap((log) => (log.type === 'deposited' ? (this.deposit(log, at) ?? []) : []));
  }

  private async keep(manager: EntityManager, logs: readonly VaultLog[], kind: 'seen' | 'final'): Promise<void> {
    const at = new Date();
    const deposits: NewDeposit[] = [];
    const steps: StepRow[] = [];
    for (const log of logs) {
      if (log.type === 'released') continue;
      const deposit = this.deposit(log, at);
      if (!deposit) continue;
      deposits.push(deposit);
      const proof = { tx: log.txHash, block: String(log.blockNumber), blockHash: log.blockHash, log: log.logIndex };
      steps.push({ transfer: deposit.id, key: `seen ${log.blockHash}`, at, kind: 'seen', proof });
      if (kind === 'final') steps.push({ transfer: deposit.id, key: 'final', at, kind: 'final', proof });
    }
    await this.store.addDeposits(manager, deposits);
    await this.store.addSteps(manager, steps);
    const ids = deposits.map((d) => d.id);
    if (kind === 'final') await this.store.move(manager, ids, ['seen', 'confirming', 'orphaned'], 'attesting', at);
    // A reorg may give a sequence number to another deposit, at the same height too: the row is what stands there now.
    await manager.query(
      `update transfer set block_number = d.block, source_tx = d.tx, sender = d.sender, recipient = d.recipient, amount = d.amount
       from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::numeric[]) as d(id, block, tx, sender, recipient, amount)
       where transfer.id = d.id and transfer.state <> 'minted'
         and (transfer.block_number, transfer.source_tx, transfer.sender, transfer.recipient, transfer.amount)
           is distinct from (d.block, d.tx, d.sender, d.recipient, d.amount)`,
      [
        ids,
        deposits.map((d) => String(d.blockNumber)),
        deposits.map((d) => d.txHash),
        deposits.map((d) => d.sender),
        deposits.map((d) => d.recipient),
        deposits.map((d) => String(d.amount)),
      ],
    );
  }

  private idOf(log: DepositedLog): `0x${string}` {
    const { chain } = this.config;
    return depositId(depositReference({ chain: chain.id, vault: chain.vault, sequence: log.sequence }));
  }

  private deposit(log: DepositedLog, at: Date): NewDeposit | null {
    const { chain, assets } = this.config;
    const asset = assets.find((a) => a.address.toLowerCase() === log.asset.toLowerCase());
    const recipient = recipientOf(log);
    if (!asset || recipient === null) return null;
    const reference = depositReference({ chain: chain.id, vault: chain.vault, sequence: log.sequence });
    const { sender, amount, txHash, blockNumber } = log;
    return {
      id: depositId(reference),
      asset: asset.id,
      process: asset.process,
      state: 'confirming',
      sender,
      recipient,
      amount,
      reference,
      txHash,
      blockNumber,
      at,
    };
  }

  private async loadCursor(): Promise<VaultCursor> {
    const rows: { height: string; block_hash: `0x${string}`; next_sequence: string }[] = await this.database.query(
      'select height, block_hash, next_sequence from gateway_cursor where chain = $1',
      [this.config.chain.id],
    );
    const row = rows[0];
    if (!row) return this.watcher.begin(BigInt(this.config.chain.deployBlock));
    return { height: BigInt(row.height), blockHash: row.block_hash, nextSequence: BigInt(row.next_sequence) };
  }

  private async saveCursor(manager: EntityManager, { height, blockHash, nextSequence }: VaultCursor): Promise<void> {
    await manager.query(
      `insert into gateway_cursor (chain, height, block_hash, next_sequence) values ($1, $2, $3, $4)
       on conflict (chain) do update set height = excluded.height, block_hash = excluded.block_hash, next_sequence = excluded.next_sequence`,
      [this.config.chain.id, String(height), blockHash, String(nextSequence)],
    );
  }
}

function recipientOf(log: DepositedLog): string | null {
  try {
    return aoAddressFromBytes(log.recipient);
  } catch (error) {
    if (error instanceof BridgeError) return null; // the zero address: nobody to show it to
    throw error;
  }
}
