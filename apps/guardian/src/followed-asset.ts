/**
 * One asset's token process as this guardian computes it for itself. Its view may be acted on only while the whole schedule was followed
 * soundly; until then there is none, and whoever would sign by it has nothing to sign by.
 */
import { Replica, ReplicaError, type EvaluationResult, type ScheduleEntry, type WorkerPool } from '@isthmus/ao';
import { eventsOf, foldEvent, viewOfSpawn, type OpenWithdrawal, type ProcessView } from '@isthmus/bridge';
import type { GuardianConfig } from './config.js';
import type { Ledger } from './ledger.js';

export type Asset = GuardianConfig['assets'][number];

/** Own messages noted at once: a replay from slot 0 meets all there ever were. */
const OWN_AT_ONCE = 500;

/** The process of the configuration was spawned for another asset, chain or vault: nothing is said to it. */
export class WrongProcess extends Error {
  readonly code = 'wrong-process';
  constructor(asset: Asset, tag: string, is: string | undefined, expected: string) {
    super(
      `Process ${asset.process}, configured for ${asset.id}, was spawned with ${tag} ${is ?? '(none)'}, not ${expected}: correct assets in the configuration.`,
    );
    this.name = 'WrongProcess';
  }
}

export interface FollowedAssetParts {
  config: GuardianConfig;
  asset: Asset;
  ledger: Ledger;
  workers: WorkerPool;
  /** AO address of this guardian: its own messages in the schedule need no more sending. */
  self: string;
}

export class FollowedAsset {
  readonly asset: Asset;
  /** AO decision and vault decision for which a pause was asked last. */
  pauseAskedFor: string | null = null;
  /** Decision that paused the process last. */
  pausedBy: bigint | null = null;
  private replica: Replica;
  private current: ProcessView | null = null;
  private sound = false;
  private own: { id: string; nonce: number }[] = [];
  private readonly signed = new Map<bigint, OpenWithdrawal>();
  private signedEpoch = 0n;

  constructor(private readonly parts: FollowedAssetParts) {
    this.asset = parts.asset;
    this.replica = this.newReplica();
  }

  /** What the process has come to; null until its schedule was followed to the end, and again when that fails. */
  get view(): ProcessView | null {
    return this.sound ? this.current : null;
  }

  /** Last slot evaluated. */
  get nonce(): number {
    return this.replica.nonce;
  }

  /** Follows the schedule to its end. @throws ReplicaError, WrongProcess */
  async follow(): Promise<void> {
    this.sound = false;
    try {
      await this.replica.sync();
      await this.noteOwn();
    } catch (error) {
      // What the check of a schedule refuses was never evaluated. After anything else the machine may be ahead of the view, or gone.
      if (!(error instanceof ReplicaError)) this.startAfresh();
      throw error;
    }
    this.sound = true;
  }

  /** Open withdrawals not known to be signed in this epoch, by the very content they have now. */
  notKnownSigned(view: ProcessView): OpenWithdrawal[] {
    if (this.signedEpoch !== view.set.epoch) this.signed.clear();
    this.signedEpoch = view.set.epoch;
    for (const number of this.signed.keys()) if (!view.open.has(number)) this.signed.delete(number);
    return [...view.open.values()].filter((w) => this.signed.get(w.number) !== w);
  }

  /** Remembers what the ledger holds a signature of. */
  knowSigned(withdrawals: readonly OpenWithdrawal[]): void {
    for (const w of withdrawals) this.signed.set(w.number, w);
  }

  private newReplica(): Replica {
    const { config, asset, ledger, workers } = this.parts;
    return new Replica({
      process: asset.process,
      scheduler: config.scheduler,
      store: ledger,
      workers,
      gatewayUrl: config.gatewayUrl,
      onResult: (entry, result) => this.learn(entry, result),
    });
  }

  /** Everything accepted is evaluated again, from slot 0. */
  private startAfresh(): void {
    this.replica = this.newReplica();
    this.current = null;
    this.own = [];
    this.signed.clear();
  }

  private async learn(entry: ScheduleEntry, result: EvaluationResult): Promise<void> {
    if (entry.nonce === 0) this.current = this.viewAtSpawn(entry);
    if (!this.current) throw new Error(`Process ${entry.process} has no spawn.`);
    // A slot that failed had no effect, whatever it says it sent.
    for (const event of result.Error === undefined ? eventsOf(result.Messages) : []) {
      foldEvent(this.current, event);
      if (event.type === 'decision.applied' && event.line === 'pause') this.pausedBy = event.nonce;
    }
    if (entry.message.ownerAddress !== this.parts.self) return;
    this.own.push({ id: entry.message.id, nonce: entry.nonce });
    if (this.own.length >= OWN_AT_ONCE) await this.noteOwn();
  }

  private viewAtSpawn({ message }: ScheduleEntry): ProcessView {
    const { asset, config } = this.parts;
    const expected = {
      'Isthmus-Asset': asset.id,
      'Isthmus-Chain': config.chain.id,
      'Isthmus-Vault': config.chain.vault,
    };
    for (const [name, value] of Object.entries(expected)) {
      const is = message.tags.find((t) => t.name === name)?.value;
      if (is !== value) throw new WrongProcess(asset, name, is, value);
    }
    return viewOfSpawn(message.tags);
  }

  private async noteOwn(): Promise<void> {
    await this.parts.ledger.markSeen(this.asset.process, this.own);
    this.own = [];
  }
}
