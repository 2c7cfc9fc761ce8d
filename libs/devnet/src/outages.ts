/** Requests a test makes a local node fail: refused with a status, or never answered. Nothing of it outlives the process. */

export interface Outage {
  /** Requests it takes; afterwards all is well. */
  count: number;
  /** Answered with this status; null: never answered. */
  status: number | null;
  /** Only paths that begin so. */
  path: string;
}

export class Outages {
  private outages: Outage[] = [];

  /** The next requests fail. */
  fail(outage: Partial<Outage> = {}): void {
    this.outages.push({ count: Number.POSITIVE_INFINITY, status: 503, path: '/', ...outage });
  }

  /** All is well again. */
  heal(): void {
    this.outages = [];
  }

  /** The outage this request meets; it counts. */
  meet(path: string): Outage | undefined {
    const outage = this.outages.find((o) => path.startsWith(o.path));
    if (!outage) return undefined;
    outage.count -= 1;
    if (outage.count <= 0) this.outages = this.outages.filter((o) => o !== outage);
    return outage;
  }
}
