/** The engine of a gateway that carries AO itself: its own pipeline over its own database. */
import type { DataSource } from 'typeorm';
import { EngineError, type AoEngine, type EngineHead, type EngineRead, type EngineSlot } from './engine.js';
import { ItemError, parseItem } from './items/index.js';
import type { AoPipeline } from './pipeline.js';
import { ScheduleError } from './scheduler/error.js';
import { StoredSlots } from './stored-slots.js';
import type { EvaluationResult, Item } from './types.js';

export class EmbeddedEngine implements AoEngine {
  running = false;
  private readonly stored: StoredSlots;

  constructor(
    private readonly pipeline: AoPipeline,
    database: DataSource,
  ) {
    this.stored = new StoredSlots(database);
  }

  get scheduler(): string {
    return this.pipeline.scheduler.address;
  }

  get messenger(): string {
    return this.pipeline.messenger.address;
  }

  slots(process: string, fromNonce: number, limit: number): Promise<EngineSlot[]> {
    return this.stored.slots(process, fromNonce, limit);
  }

  onSlots(listener: (process: string) => void): void {
    this.pipeline.compute.onResults(listener);
  }

  head(process: string): Promise<EngineHead> {
    return this.stored.head(process);
  }

  spawn(process: string): Promise<Item | null> {
    return this.stored.spawn(process);
  }

  async message(id: string): Promise<Item | null> {
    const raw = await this.pipeline.scheduler.item(id); // signatures were checked before it was stored
    return raw && parseItem(raw);
  }

  async send({ raw }: Pick<Item, 'id' | 'raw'>): Promise<void> {
    await this.pipeline.scheduler.schedule(raw).catch((error: unknown) => {
      if (error instanceof ScheduleError || error instanceof ItemError) throw new EngineError('refused', error.message);
      throw error;
    });
  }

  dryRun(process: string, { owner, tags, data = '' }: EngineRead): Promise<EvaluationResult> {
    return this.pipeline.compute.dryRun(process, {
      Id: 'read',
      Owner: owner,
      From: owner,
      Target: process,
      Anchor: '',
      Data: data,
      Tags: [...tags],
      Timestamp: Date.now(),
      'Block-Height': '0',
    });
  }

  async start(): Promise<void> {
    await this.pipeline.start();
    this.running = true;
  }

  stop(): Promise<void> {
    this.running = false;
    return this.pipeline.stop();
  }
}
