/**
 * The settler: follows the gateway's tables, seals what waits into bundles, posts them, watches them until nothing can undo them, and posts
 * again what Arweave has lost. It only reads what the pipeline writes; nothing waits for it. Every step is stored before the next one is
 * taken, and what is sent a second time does no harm.
 */
import { hash } from 'node:crypto';
import type { Signer } from '@isthmus/ao';
import type { DataSource } from 'typeorm';
import { ArweaveError } from '../client/error.js';
import type { ArweaveClient } from '../client/arweave-client.js';
import type { Carrier, Poster } from '../posting/poster.js';
import type { BundleSource } from '../reader/index.js';
import { verdict, type Depths } from './bundle-state.js';
import { Checkpoints } from './checkpoints.js';
import { SettlerError } from './error.js';
import { Funds, type FundsPolicy, type FundsReading } from './funds.js';
import { Leader } from './leader.js';
import { NewestDatabase, type NewestPolicy } from './newer-seal.js';
import { Sealer, type Backlog, type SealPolicy } from './sealer.js';
import type { BundleRow, SettlementStore } from './settlement-store.js';
import { SpotChecks, type SpotCheckPolicy } from './spot-checks.js';
import type { OnSettlementStep } from './steps.js';

export interface SettlerPolicy extends SealPolicy, Depths, FundsPolicy, NewestPolicy, SpotCheckPolicy {
  /** Slots of a process from one checkpoint on Arweave to the next. */
  checkpointSlots: number;
  /** Milliseconds after which what waits says that settlement is behind. */
  behindMs: number;
}

export interface SettlerOptions {
  database: DataSource;
  store: SettlementStore;
  /** Key of the scheduler, which signs the seals. */
  signer: Signer;
  client: ArweaveClient;
  /** The same gateway, to find bundles at. */
  source: BundleSource;
  poster: Poster;
  policy: SettlerPolicy;
  onStep?: OnSettlementStep | undefined;
  now?: () => number;
  /** From 0 up to 1. */
  random?: () => number;
}

/** How settlement is, as far as one gateway knows. */
export interface SettlerStatus {
  /** Whether this gateway is the one that settles. */
  leads: boolean;
  /** Until when nothing is sealed, since Arweave may have bundles this database does not know of; milliseconds, null when nothing is waited for. */
  sealsFrom: number | null;
  backlog: Backlog;
  funds: FundsReading | null;
  /** Final bundles looked at again in this run. */
  spotChecks: number;
}

/** Bundles sealed, sent and looked at in one step: the loop comes back for the rest. */
const SEALED_AT_ONCE = 20;
const SENT_AT_ONCE = 5;
const LOOKED_AT_ONCE = 100;
/** Looks under way at once: one gateway's patience. */
const LOOKS_AT_ONCE = 4;

/** What a gateway answers that goes on after the last byte of what was posted: read no further, and other bytes in any case. */
const LONGER = Symbol('longer than what was posted');

function asLonger(error: unknown): typeof LONGER {
  if (error instanceof ArweaveError && error.code === 'too-large') return LONGER;
  throw error;
}

export class Settler {
  readonly sealer: Sealer;
  private readonly checkpoints: Checkpoints;
  private readonly funds: Funds;
  private readonly leader: Leader;
  private readonly newest: NewestDatabase;
  private readonly spotChecks: SpotChecks;
  private readonly now: () => number;
  private readonly onStep: OnSettlementStep;
  private leads = false;
  private stopping = false;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly options: SettlerOptions) {
    const { database, store, signer, client, source, poster, policy } = options;
    this.now = options.now ?? Date.now;
    this.onStep = options.onStep ?? (() => undefined);
    this.sealer = new Sealer(database, store, signer, policy, this.now, this.onStep);
    this.checkpoints = new Checkpoints(database, signer, policy.checkpointSlots, this.onStep);
    this.funds = new Funds(poster, store, policy, this.now);
    this.leader = new Leader(database);
    this.newest = new NewestDatabase(store, source, signer.address, policy, this.now);
    this.spotChecks = new SpotChecks(store, client, policy, this.now, options.random ?? Math.random);
  }

  get status(): SettlerStatus {
    return {
      leads: this.leads,
      sealsFrom: this.newest.sealsFrom,
      backlog: this.sealer.backlog,
      funds: this.funds.reading,
      spotChecks: this.spotChecks.count,
    };
  }

  /**
   * Takes settlement as far as it goes now. Each part is tried whatever became of the others.
   * @throws the first thing that went wrong, when all is done: SettlerError, ArweaveError
   */
  step(): Promise<void> {
    this.running = this.stepOnce();
    return this.running;
  }

  private async stepOnce(): Promise<void> {
    if (this.stopping) return;
    const leads = await this.leader.leads();
    if (leads !== this.leads) this.newest.forget();
    this.leads = leads;
    if (!leads) return;
    const failed: unknown[] = [];
    const part = (work: () => Promise<void>) => work().catch((error: unknown) => void failed.push(error));
    await part(() => this.seal());
    await part(() => this.funds.look());
    await part(() => this.send());
    await part(() => this.watch());
    await part(() => this.sayIfBehind());
    await part(() => this.spotChecks.step());
    if (failed.length > 0) throw failed[0];
  }

  /** When the oldest slot or bundle that is not confirmed came, in milliseconds; null when there is none. */
  async oldestUnconfirmed(): Promise<number | null> {
    const oldest = await this.options.store.oldestWaiting();
    const since = Math.min(this.sealer.backlog.since ?? Infinity, oldest?.getTime() ?? Infinity);
    return since === Infinity ? null : since;
  }

  /**
   * Has a final bundle posted again that was seen lost, or, with `force`, any final one: that is paid for again. @returns false when it was not seen lost, or
   * is not final: then it is watched, and posted again by itself if it is dropped
   */
  repost(sequence: number, force = false): Promise<boolean> {
    return this.options.store.repost(sequence, new Date(this.now()), force);
  }

  /** Ends what is under way at the next place where it can be gone on from. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.running.catch(() => undefined); // said to who took the step
    await this.leader.release();
  }

  /** Nothing is sealed before it is known that this database has all that was sealed: two seals of one number would be a fork. */
  private async seal(): Promise<void> {
    if (!(await this.newest.isProven())) return;
    for (let i = 0; i < SEALED_AT_ONCE && !this.stopping && (await this.sealer.seal()); i += 1);
    await this.checkpoints.make();
  }

  private async send(): Promise<void> {
    const failed: unknown[] = [];
    for (const bundle of await this.options.store.toSend(SENT_AT_ONCE)) {
      if (this.stopping || failed.some(isEverybodys)) break;
      await this.noting(bundle, () => this.sendOne(bundle)).catch((error: unknown) => void failed.push(error));
    }
    if (failed.length > 0) throw failed[0];
  }

  private async sendOne(bundle: BundleRow): Promise<void> {
    const { store, poster } = this.options;
    const bytes = await this.sealer.bytesOf(bundle.sequence);
    const carrier = await this.carrierFor(bundle, bytes);
    if (!carrier) return;
    const done = carrier.id === bundle.carrier ? bundle.parts : 0;
    try {
      await poster.send(carrier, bytes, done, async (parts) => {
        this.onStep('post.before-part');
        await store.tookParts(bundle.sequence, carrier.id, parts);
        this.onStep('post.after-part');
      });
    } catch (error) {
      // Another anchor may be taken where this one is not.
      if (error instanceof ArweaveError && error.code === 'refused') await store.refused(bundle.sequence, carrier.id);
      throw error;
    }
    this.onStep('post.before-mark');
    await store.posted(bundle.sequence, carrier.id, new Date(this.now()));
    this.onStep('post.after-mark');
  }

  /**
   * What was signed for it, as long as the network takes it or has it: what is in a block is paid for, and lacks its data at most. Else another,
   * stored before anything of it is sent. Null: somebody else has.
   */
  private async carrierFor(bundle: BundleRow, bytes: Buffer): Promise<Carrier | null> {
    const { store, poster, client, signer } = this.options;
    const kept = await store.carrierOf(bundle.sequence);
    if (kept && (kept.goodUntil === null || (await client.height()) <= kept.goodUntil)) return kept;
    if (kept && (await poster.status(kept.id)).state === 'mined') return kept;
    await this.assertPayable(bytes.length);
    const made = await poster.sign(bytes, { scheduler: signer.address, sequence: bundle.sequence, seal: bundle.seal });
    this.onStep('sign.before-commit');
    if (!(await store.signed(bundle.sequence, bundle.carrier, made))) return null;
    this.onStep('sign.after-commit');
    return made;
  }

  /** A transaction that cannot be paid would be taken by some nodes, and mined by none. */
  private async assertPayable(bytes: number): Promise<void> {
    const { poster } = this.options;
    const [balance, price] = await Promise.all([poster.balance(), poster.price(bytes)]);
    if (balance !== null && price !== null && balance < price)
      throw new SettlerError(
        'wallet-short',
        `The wallet ${poster.wallet} has ${balance} winston, the next bundle costs ${price}: send AR there. Settlement goes on by itself then.`,
      );
  }

  private async watch(): Promise<void> {
    const { store } = this.options;
    const open = await store.leastLookedAt(LOOKED_AT_ONCE);
    const failed: unknown[] = [];
    const looks = open.values();
    const look = async (): Promise<void> => {
      for (const bundle of looks) {
        if (this.stopping || failed.length > 0) return;
        await this.noting(bundle, () => this.watchOne(bundle)).catch((error: unknown) => void failed.push(error));
      }
    };
    await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, look));
    if (failed.length > 0) throw failed[0];
  }

  private async watchOne(bundle: BundleRow): Promise<void> {
    const { store, poster, policy } = this.options;
    const { sequence } = bundle;
    const carrier = bundle.carrier ?? '';
    const at = new Date(this.now());
    // Before it is asked: one that cannot be asked for must not be the first to be asked for again.
    await store.lookedAt([sequence], at);
    const status = await poster.status(carrier);
    const decided = verdict(bundle, status, policy, at.getTime());
    switch (decided.do) {
      case 'wait':
        return;
      case 'confirm':
        return this.confirm(bundle, carrier, decided.height);
      case 'finish':
        await store.finished(sequence, carrier, decided.height, at);
        return;
      case 'reopen':
        await store.reopened(sequence, carrier, decided.reason, at);
        return;
      case 'repost':
        await store.dropped(sequence, carrier, decided.reason);
    }
  }

  /** A transaction in a block is nothing without its data: what was posted has to come back. */
  private async confirm({ sequence, bytes, sha256 }: BundleRow, carrier: string, height: number): Promise<void> {
    const { store, client } = this.options;
    const data = await client.data(carrier, bytes).catch(asLonger);
    if (data === null) {
      await store.dropped(sequence, carrier, 'its transaction is in a block and its data is not there');
      return;
    }
    if (data === LONGER || hash('sha256', data, 'hex') !== sha256)
      throw new SettlerError(
        'other-bytes',
        `${client.server.url} gives other bytes for ${carrier} than those of bundle ${sequence}: ask another gateway.`,
      );
    this.onStep('confirm.before-mark');
    await store.confirmed(sequence, carrier, height, new Date(this.now()));
    this.onStep('confirm.after-mark');
  }

  /** What goes wrong with a bundle is kept with it. */
  private async noting(bundle: BundleRow, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.options.store.failed(bundle.sequence, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  private async sayIfBehind(): Promise<void> {
    const { policy } = this.options;
    const late = this.now() - ((await this.oldestUnconfirmed()) ?? Infinity);
    if (late > policy.bundleMs + policy.behindMs)
      throw new SettlerError(
        'behind',
        `What was placed ${Math.round(late / 60_000)} minutes ago is not confirmed on Arweave yet.`,
      );
  }
}

/** Whether the next bundle would fail alike: the gateway is away, or the wallet empty. */
function isEverybodys(error: unknown): boolean {
  if (error instanceof ArweaveError) return error.code === 'unreachable' || error.code === 'too-dear';
  return error instanceof SettlerError && error.code === 'wallet-short';
}
