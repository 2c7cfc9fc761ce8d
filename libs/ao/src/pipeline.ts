/** The AO pipeline of one gateway: scheduler, compute and messenger over one database. */
import type { DataSource } from 'typeorm';
import { ComputeUnit } from './compute/compute-unit.js';
import { FORMATS } from './compute/machines.js';
import { WorkerPool } from './compute/worker-pool.js';
import { AnswerSigner } from './core/answer-signature.js';
import { Messenger } from './messenger/messenger.js';
import { Pruning } from './messenger/pruning.js';
import { Monitors } from './messenger/monitors.js';
import { ItemIndex } from './scheduler/item-index.js';
import { publishLocation } from './scheduler/location.js';
import { Scheduler } from './scheduler/scheduler.js';
import { PublicState } from './state/public-state.js';
import type { OnStep } from './steps.js';
import { createItem, type ItemContent } from './items/index.js';
import type { Item, Signer } from './types.js';

export interface PipelineOptions {
  database: DataSource;
  schedulerSigner: Signer;
  messengerSigner: Signer;
  /** Compute threads. */
  workers: number;
  /** Bytes of memory all open processes may hold together; MEMORY_BUDGET_BYTES unless told. */
  memoryBudget?: number | undefined;
  /** Where clients reach this gateway; published as the scheduler's location. */
  publicUrl?: string | undefined;
  /** Told of failures that are tried again by themselves. */
  onFailure: (process: string, error: unknown) => void;
  /** Told when a process goes on that could not be computed before. */
  onSound?: ((process: string) => void) | undefined;
  /** Told of durable steps. */
  onStep?: OnStep | undefined;
  now?: () => number;
}

export class AoPipeline {
  readonly scheduler: Scheduler;
  readonly messenger: Messenger;
  readonly monitors: Monitors;
  private readonly pruning: Pruning;
  readonly workers: WorkerPool;
  readonly compute: ComputeUnit;
  readonly index: ItemIndex;
  readonly state: PublicState;
  /** Signs what is answered over HTTP, with the scheduler's key; null when that is no ed25519 key. */
  readonly answers: AnswerSigner | null;

  private publishing: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: PipelineOptions) {
    const { database, schedulerSigner, messengerSigner, workers, memoryBudget, onFailure, onSound, onStep, now } =
      options;
    this.scheduler = new Scheduler({ database, signer: schedulerSigner, formats: FORMATS, ...(now ? { now } : {}) });
    this.index = new ItemIndex(database, this.scheduler.log, (error) => onFailure('', error));
    this.scheduler.onPlaced((process) => this.index.changed(process));
    this.scheduler.onKept((id) => this.index.changed(id));
    this.messenger = new Messenger(database, this.scheduler, messengerSigner, {}, onStep);
    this.messenger.onFailure(onFailure);
    this.pruning = new Pruning(database, (error) => onFailure('', error));
    this.monitors = new Monitors({
      database,
      messenger: this.messenger,
      signer: schedulerSigner,
      now,
      onFailure: (error) => onFailure('', error),
    });
    this.workers = new WorkerPool(workers);
    this.compute = new ComputeUnit(database, this.scheduler, this.messenger, this.workers, onFailure, {
      memoryBudget,
      onSound,
      onStep,
    });
    this.state = new PublicState(database);
    this.compute.addSink(this.state);
    if (onStep) {
      // The last of the sinks: all that is stored with the results is written by then.
      this.compute.addSink({ take: () => Promise.resolve(onStep('results.before-commit')) });
      this.compute.onResults(() => onStep('results.after-commit'));
    }
    this.answers = schedulerSigner.signatureType === 2 ? new AnswerSigner(schedulerSigner) : null;
  }

  /** Goes on with whatever an earlier run left undone. */
  async start(): Promise<void> {
    await this.messenger.recover();
    await this.compute.resume();
    await this.messenger.deliver();
    this.monitors.run();
    this.index.start();
    this.pruning.run();
    const { publicUrl, schedulerSigner, onFailure } = this.options;
    if (publicUrl !== undefined)
      this.publishing = publishLocation(this.scheduler, this.index, schedulerSigner, `${publicUrl}/su`).catch(
        (error: unknown) => onFailure('', error),
      );
  }

  /** An item of no schedule in the scheduler's own name, kept so that it is found and settled; the same words are the same item. */
  async publish(content: ItemContent): Promise<Item> {
    const item = await createItem(content, this.options.schedulerSigner);
    await this.scheduler.keep(item);
    return item;
  }

  async stop(): Promise<void> {
    await this.monitors.stop();
    await this.pruning.stop();
    await this.messenger.stop();
    await this.compute.stop();
    await this.scheduler.stop();
    await this.index.stop();
    await this.publishing;
  }
}
