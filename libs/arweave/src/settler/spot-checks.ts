/**
 * Bundles that are final are looked at again, one at random now and then: what Arweave was paid to keep must still come back, byte for byte.
 * One that does not is said until it does; posting it again costs money, so that is for the operator to decide.
 */
import { hash } from 'node:crypto';
import type { ArweaveClient } from '../client/arweave-client.js';
import { ArweaveError } from '../client/error.js';
import { SettlerError } from './error.js';
import type { BundleRow, LostBundle, SettlementStore } from './settlement-store.js';

export interface SpotCheckPolicy {
  /** Milliseconds from one check to the next; 0: none are made. */
  spotCheckMs: number;
}

/** Named in one message at most. */
const NAMED = 10;

export class SpotChecks {
  private last = -Infinity;
  private made = 0;

  constructor(
    private readonly store: SettlementStore,
    private readonly client: ArweaveClient,
    private readonly policy: SpotCheckPolicy,
    private readonly now: () => number,
    private readonly random: () => number,
  ) {}

  /** Bundles looked at in this run. */
  get count(): number {
    return this.made;
  }

  /** Looks at one of all final bundles when it is time, and again at one that was lost. @throws SettlerError `bundle-lost`; ArweaveError */
  async step(): Promise<void> {
    const { spotCheckMs } = this.policy;
    const now = this.now();
    if (spotCheckMs > 0 && now - this.last >= spotCheckMs) {
      this.last = now; // also when it cannot be asked: the next is for the next time
      for (const bundle of await this.chosen()) await this.look(bundle);
    }
    const lost = await this.store.lost(NAMED);
    if (lost.count > 0) throw new SettlerError('bundle-lost', wordsFor(lost, this.client.server.url));
  }

  private async chosen(): Promise<BundleRow[]> {
    const { sequence } = await this.store.newest();
    const any = await this.store.finalFrom(1 + Math.floor(this.random() * sequence));
    const lost = await this.store.lostLongestAgo();
    return [any, lost].filter(
      (b, i, all) => b !== null && all.findIndex((o) => o?.sequence === b.sequence) === i,
    ) as BundleRow[];
  }

  private async look({ sequence, carrier, bytes, sha256 }: BundleRow): Promise<void> {
    const data = await this.client.data(carrier ?? '', bytes).catch(asOther);
    const lost = data === null ? 'gone' : data === 'other' || hash('sha256', data, 'hex') !== sha256 ? 'other' : null;
    await this.store.checked(sequence, carrier, lost, new Date(this.now()));
    this.made += 1;
  }
}

/** More bytes than were posted are other bytes. */
function asOther(error: unknown): 'other' {
  if (error instanceof ArweaveError && error.code === 'too-large') return 'other';
  throw error;
}

function wordsFor({ count, bundles }: { count: number; bundles: readonly LostBundle[] }, url: string): string {
  const each = bundles.map(({ sequence, lost }) => `${sequence} ${lost === 'gone' ? 'is gone' : 'has other bytes'}`);
  const more = count > bundles.length ? ` (and ${count - bundles.length} more)` : '';
  return `${url} no longer gives final bundles as they were posted: ${each.join(', ')}${more}. Ask another gateway of Arweave; if they are lost there too, post each again: isthmus settlement repost ${bundles[0]?.sequence}.`;
}
