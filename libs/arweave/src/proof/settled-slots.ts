/**
 * Whether a slot is on Arweave, for who trusts no gateway of AO: the bundle is fetched, opened and checked, and the block it is in is deep
 * enough. What an Arweave gateway's index says of where to look is a hint; which bytes are signed by whom is proof. How deep a block lies is
 * that gateway's word: a guardian asks one of its own choice.
 */
import { verifyItem, type ScheduleEntry } from '@isthmus/ao';
import { ArweaveError } from '../client/error.js';
import type { ArweaveClient, TransactionStatus } from '../client/arweave-client.js';
import { digestOf, openSettledBundle, SettlementError } from '../format/index.js';
import { MAX_BUNDLE_BYTES } from '../reader/index.js';

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

export class SettledSlots {
  /** By what carries them: the digests of the places that were found in it. */
  private readonly opened = new Map<string, ReadonlySet<string>>();

  constructor(
    private readonly client: ArweaveClient,
    /** Address of the only scheduler whose seals count. */
    private readonly scheduler: string,
    /** Blocks on Arweave that make a bundle good, its own among them. */
    private readonly confirmations: number,
  ) {}

  /** Whether this place is in a bundle of the scheduler that is deep enough, now. @throws ArweaveError when the gateway cannot be asked */
  async has(place: PlaceToProve): Promise<boolean> {
    const carrier = (await this.client.transaction(place.assignment))?.bundledIn;
    if (!carrier) return false;
    const status = await this.statusOf(carrier);
    if (status.state !== 'mined' || status.confirmations < this.confirmations) return false;
    return (await this.placesIn(carrier)).has(place.digest);
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
