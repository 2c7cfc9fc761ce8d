/**
 * Whether a slot is on Arweave, for who trusts no gateway of AO: the bundle is fetched, opened and checked, and the block it is in is deep
 * enough. What an Arweave gateway's index says of where to look is a hint; which bytes are signed by whom is proof. How deep a block lies is
 * that gateway's word: a guardian asks one of its own choice.
 */
import { verifyItem, type ScheduleEntry } from '@isthmus/ao';
import { ArweaveError } from '../client/error.js';
import type { ArweaveClient, TransactionStatus } from '../client/arweave-client.js';
import { digestOf, openSettledBundle, readTransactionTags, SettlementError } from '../format/index.js';
import { ArweaveSource, MAX_BUNDLE_BYTES, SourceError, type BundleSource } from '../reader/index.js';

/** A place in a schedule, as one's own replica of it shows it. */
export interface PlaceToProve {
  /** Id of the assignment, by which its bundle is found. */
  assignment: string;
  /** Over every byte of assignment and message: an id is the hash of a signature, and says nothing of what stands beside it. */
  digest: string;
}

export function placeOf({ assignment, message }: Pick<ScheduleEntry, 'assignment' | 'message'>): PlaceToProve {
  return { assignment: assignment.id, digest: digestOf([assignment, message]) };
}

/** Bundles of which it is remembered what was in them: those of the withdrawals of some minutes. */
const BUNDLES_KEPT = 8;
/** Anybody may say to carry a bundle: so many of those posted last are looked at. */
const CARRIERS_LOOKED_AT = 5;

export class SettledSlots {
  /** By what carries them: the digests of the places that were found in it. */
  private readonly opened = new Map<string, ReadonlySet<string>>();

  constructor(
    private readonly client: ArweaveClient,
    /** Address of the only scheduler whose seals count. */
    private readonly scheduler: string,
    /** Blocks on Arweave that make a bundle good, its own among them. */
    private readonly confirmations: number,
    /** The same gateway, to find what else carries a bundle. */
    private readonly source: Pick<BundleSource, 'candidates'> = new ArweaveSource(client.server.url),
  ) {}

  /** Whether this place is in a bundle of the scheduler that is deep enough, now. @throws ArweaveError when the gateway cannot be asked */
  async has(place: PlaceToProve): Promise<boolean> {
    const carrier = (await this.client.transaction(place.assignment))?.bundledIn;
    if (!carrier) return false;
    const found = await this.look(carrier, place);
    if (found !== 'lost') return found === 'there';
    for (const other of await this.othersBeside(carrier)) if ((await this.look(other, place)) === 'there') return true;
    return false;
  }

  /** `waits`: it is in no block yet, or in none deep enough. `lost`: unknown, or without the bytes that prove it. */
  private async look(carrier: string, place: PlaceToProve): Promise<'there' | 'waits' | 'lost'> {
    const status = await this.statusOf(carrier);
    if (status.state === 'pending') return 'waits';
    if (status.state === 'mined' && status.confirmations < this.confirmations) return 'waits';
    return status.state === 'mined' && (await this.placesIn(carrier)).has(place.digest) ? 'there' : 'lost';
  }

  /** What else says it carries the same seal: a bundle that was lost is posted again, and the index goes on naming what carried it first. */
  private async othersBeside(carrier: string): Promise<string[]> {
    const label = readTransactionTags((await this.client.transaction(carrier))?.tags ?? []);
    if (label?.scheduler !== this.scheduler) return [];
    const { sequence, seal } = label;
    const all = await this.source.candidates(this.scheduler, sequence, sequence).catch((error: unknown) => {
      throw error instanceof SourceError ? new ArweaveError('unreachable', error.message) : error;
    });
    const found = all.get(sequence) ?? [];
    return found.flatMap((c) => (c.seal === seal && c.tx !== carrier ? [c.tx] : [])).slice(-CARRIERS_LOOKED_AT);
  }

  /** What carries the bundle is a transaction, or an item of a bundling service. */
  private async statusOf(carrier: string): Promise<TransactionStatus> {
    const status = await this.client.status(carrier);
    return status.state === 'unknown' ? this.client.indexedStatus(carrier) : status;
  }

  private async placesIn(carrier: string): Promise<ReadonlySet<string>> {
    const known = this.opened.get(carrier);
    if (known) return known;
    const bytes = await this.client.data(carrier, MAX_BUNDLE_BYTES).catch((error: unknown) => {
      if (error instanceof ArweaveError && error.code === 'too-large') return null; // no bundle has so much
      throw error;
    });
    const places = bytes ? await this.checked(bytes) : null;
    if (!places) return new Set(); // asked for again: a gateway may have the bytes later, or better ones
    if (this.opened.size >= BUNDLES_KEPT) this.opened.delete(this.opened.keys().next().value ?? '');
    this.opened.set(carrier, places);
    return places;
  }

  /** The digests of the places of a bundle whose seal is the scheduler's; null for anything else. */
  private async checked(bytes: Buffer): Promise<ReadonlySet<string> | null> {
    try {
      const { seal, ranges } = openSettledBundle(bytes);
      if (seal.item.ownerAddress !== this.scheduler || !(await verifyItem(seal.item))) return null;
      return new Set(ranges.flatMap((r) => r.entries).map((entry) => placeOf(entry).digest));
    } catch (error) {
      if (error instanceof SettlementError) return null;
      throw error;
    }
  }
}
