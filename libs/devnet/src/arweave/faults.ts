/** What a test makes this node do wrong, as gateways do: down for so many requests, silent, other bytes for an id, chunks refused. Nothing of it outlives the process. */

/** Ids answered with other bytes at once: a test's few. */
const MAX_SWAPPED = 100;

export interface Outage {
  /** Requests it takes; afterwards all is well. */
  count: number;
  /** Answered with this status; null: never answered. */
  status: number | null;
  /** Only paths that begin so. */
  path: string;
}

export class Faults {
  private outages: Outage[] = [];
  private readonly swapped = new Map<string, Buffer>();
  private chunksLeft: number | null = null;

  /** The next requests fail. */
  fail(outage: Partial<Outage> = {}): void {
    this.outages.push({ count: Number.POSITIVE_INFINITY, status: 503, path: '/', ...outage });
  }

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

  /** All is well again. */
  heal(): void {
    this.outages = [];
    this.swapped.clear();
    this.chunksLeft = null;
  }

  /** The outage this request meets; it counts. */
  meet(path: string): Outage | undefined {
    const outage = this.outages.find((o) => path.startsWith(o.path));
    if (!outage) return undefined;
    outage.count -= 1;
    if (outage.count <= 0) this.outages = this.outages.filter((o) => o !== outage);
    return outage;
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
