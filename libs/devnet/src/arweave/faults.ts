/** What a test makes this node do wrong, as gateways do: down for so many requests, silent, other bytes for an id, chunks refused, an index that lags. Nothing of it outlives the process. */
import { Outages } from '../outages.js';

/** Ids answered with other bytes at once: a test's few. */
const MAX_SWAPPED = 100;

export class Faults extends Outages {
  private readonly swapped = new Map<string, Buffer>();
  private chunksLeft: number | null = null;
  private indexedTo: number | null = null;

  /** `/raw`, `/<id>`, `/tx/<id>/data` and the chunks of an id have these bytes. */
  answerWith(id: string, bytes: Uint8Array): void {
    if (this.swapped.size >= MAX_SWAPPED)
      throw new RangeError(`At most ${MAX_SWAPPED} ids are answered with other bytes.`);
    this.swapped.set(id, Buffer.from(bytes));
  }

  /** So many chunks are taken, and none after them. */
  refuseChunksAfter(count: number): void {
    this.chunksLeft = count;
  }

  /** GraphQL knows of blocks up to this height only, and of nothing that waits; everything else goes on. */
  lagIndexAt(height: number): void {
    this.indexedTo = height;
  }

  /** Height up to which GraphQL knows; null: all there is. */
  get indexHeight(): number | null {
    return this.indexedTo;
  }

  /** All is well again. */
  override heal(): void {
    super.heal();
    this.swapped.clear();
    this.chunksLeft = null;
    this.indexedTo = null;
  }

  otherBytes(id: string): Buffer | undefined {
    return this.swapped.get(id);
  }

  /** Whether one more chunk is taken; it counts. */
  takesChunk(): boolean {
    if (this.chunksLeft === null) return true;
    this.chunksLeft -= 1;
    return this.chunksLeft >= 0;
  }
}
