/**
 * Whether a database has all that was ever sealed in its scheduler's name: an old copy would seal a number a second time, and fork the
 * settlement for every reader. A gateway's index of Arweave lags, so that nothing is shown of a bundle proves nothing at first: who begins to
 * settle waits for as long as the index may lag, and looks again before its first seal. What was posted before it began shows by then.
 */
import { verifyItem } from '@isthmus/ao';
import { sealAtStart } from '../format/index.js';
import type { BundleSource, Candidate } from '../reader/index.js';
import { SettlerError } from './error.js';
import type { SettlementStore } from './settlement-store.js';

/** Anyone can claim to carry a bundle: so many of those that claim to carry the next one are looked into, the oldest first. */
const LOOKED_INTO = 100;

export interface NewestPolicy {
  /** Milliseconds after which the gateway's index shows what was posted, at the latest. */
  indexMs: number;
}

export class NewestDatabase {
  /** When this run began to settle and had looked once; null before. */
  private begun: number | null = null;
  private proven = false;

  constructor(
    private readonly store: SettlementStore,
    private readonly source: BundleSource,
    private readonly scheduler: string,
    private readonly policy: NewestPolicy,
    private readonly now: () => number,
  ) {}

  /** Somebody else may have sealed meanwhile: everything is to be proven again. */
  forget(): void {
    this.begun = null;
    this.proven = false;
  }

  /** When the first bundle may be sealed, in milliseconds; null when nothing is waited for. */
  get sealsFrom(): number | null {
    return this.begun === null || this.proven ? null : this.begun + this.policy.indexMs;
  }

  /** Whether this database is known to have all that was sealed. @throws SettlerError `old-database`, `index-behind`; SourceError */
  async isProven(): Promise<boolean> {
    if (this.proven) return true;
    const began = this.now();
    if (this.begun === null) {
      await this.refuseOld();
      this.begun = began; // whoever sealed before this database had the lead has posted it by then, or never will
    }
    if (this.now() < this.begun + this.policy.indexMs) return false;
    await this.refuseStale();
    await this.refuseOld();
    this.proven = true;
    return true;
  }

  private async refuseOld(): Promise<void> {
    const { sequence } = await this.store.newest();
    if (await hasNewerSeal(this.source, this.scheduler, sequence))
      throw new SettlerError(
        'old-database',
        `Arweave has bundle ${sequence + 1} of this scheduler, this database ends with ${sequence}: it is an old copy. Rebuild it from Arweave before it goes on: see the runbook.`,
      );
  }

  /** An index that does not show what this gateway has seen confirmed shows no newer one either. */
  private async refuseStale(): Promise<void> {
    const confirmed = await this.store.newestConfirmed();
    if (!confirmed) return;
    const { sequence, seal, state } = confirmed;
    const shown = (await this.source.candidates(this.scheduler, sequence, sequence)).get(sequence) ?? [];
    if (shown.some((c) => c.seal === seal)) return;
    throw new SettlerError(
      'index-behind',
      `The Arweave gateway's index does not show bundle ${sequence}, which was confirmed: nothing is sealed until it does, for it may hide newer ones. ${state === 'final' ? `If the bundle is lost for other gateways too: isthmus settlement repost ${sequence} --force.` : 'It is watched until it is final, and posted again by itself if Arweave has dropped it.'}`,
    );
  }
}

/** Whether there is a bundle after number `known`. @throws SourceError */
export async function hasNewerSeal(source: BundleSource, scheduler: string, known: number): Promise<boolean> {
  const next = known + 1;
  const candidates = (await source.candidates(scheduler, next, next)).get(next) ?? [];
  for (const candidate of candidates.slice(0, LOOKED_INTO))
    if ((await sequenceOf(source, candidate, scheduler)) === next) return true;
  return false;
}

/** Number of the bundle that is carried, when its seal is this scheduler's. */
async function sequenceOf(source: BundleSource, candidate: Candidate, scheduler: string): Promise<number | null> {
  const start = await source.start(candidate);
  const seal = start && sealAtStart(start);
  return seal?.item.ownerAddress === scheduler && (await verifyItem(seal.item)) ? seal.sequence : null;
}
