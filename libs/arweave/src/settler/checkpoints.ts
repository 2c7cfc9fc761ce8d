/** Checkpoints for settlement: now and then one of those the gateway keeps anyway is signed and put among what waits. */
import { CheckpointStore, ItemError, parseItem, tagOf, type Signer } from '@isthmus/ao';
import type { DataSource } from 'typeorm';
import { createCheckpoint } from '../format/index.js';
import { extendChains, type ChainEnd } from './results-chain.js';
import type { OnSettlementStep } from './steps.js';

interface DueRow {
  process: string;
  module: string;
  nonce: string;
}

export class Checkpoints {
  private readonly kept: CheckpointStore;

  constructor(
    private readonly database: DataSource,
    private readonly signer: Signer,
    /** Slots of a process from one to the next. */
    private readonly everySlots: number,
    private readonly onStep: OnSettlementStep,
  ) {
    this.kept = new CheckpointStore(database);
  }

  /** Makes one of the process that has gone furthest without. @returns whether one was due */
  async make(): Promise<boolean> {
    const rows: DueRow[] = await this.database.query(
      `select c.process, p.module, c.nonce from checkpoint c join process p on p.id = c.process join settlement_progress s on s.process = c.process
       where c.nonce - s.checkpoint >= $1 and c.nonce < s.next order by c.nonce - s.checkpoint desc limit 1`,
      [this.everySlots],
    );
    const due = rows[0];
    if (!due) return false;
    await this.makeOf(due.process, due.module);
    return true;
  }

  private async makeOf(process: string, module: string): Promise<void> {
    const checkpoint = await this.kept.load(process);
    if (!checkpoint) return; // forgotten meanwhile
    const { nonce, image } = checkpoint;
    const results = await this.resultsAt(process, nonce);
    const item = await createCheckpoint(
      { process, module, nonce, hashChain: await this.hashChainAt(process, nonce), results },
      image,
      this.signer,
    ).catch((error: unknown) => {
      // Larger than an item may be: this process has none on Arweave, and is not looked at again before its next is due.
      if (error instanceof ItemError && error.code === 'too-large') return null;
      throw error;
    });
    await this.database.transaction(async (manager) => {
      if (item)
        await manager.query(
          'insert into settlement_checkpoint (id, process, nonce, item) values ($1, $2, $3, $4) on conflict do nothing',
          [item.id, process, nonce, item.raw],
        );
      await manager.query('update settlement_progress set checkpoint = greatest(checkpoint, $2) where process = $1', [
        process,
        nonce,
      ]);
      this.onStep('checkpoint.before-commit');
    });
    this.onStep('checkpoint.after-commit');
  }

  /** From the newest range before it whose end is known. */
  private async resultsAt(process: string, slot: number): Promise<string> {
    const rows: { last: string; results: string }[] = await this.database.query(
      'select last, results from settlement_range where process = $1 and last <= $2 and results is not null order by first desc limit 1',
      [process, slot],
    );
    const end: ChainEnd = { process, slot: Number(rows[0]?.last ?? -1), results: rows[0]?.results ?? null };
    const [results] = await extendChains(this.database, [{ ...end, to: slot }]);
    return results ?? '';
  }

  private async hashChainAt(process: string, slot: number): Promise<string> {
    const rows: { item: Buffer }[] = await this.database.query(
      'select item from assignment where process = $1 and nonce = $2',
      [process, slot],
    );
    if (!rows[0]) throw new Error(`Slot ${slot} of process ${process} is missing.`);
    return tagOf(parseItem(rows[0].item), 'Hash-Chain');
  }
}
