/** The newest time of the blocks from a height on: it never runs backwards, as single blocks' times may, and needs nothing from below that height. */
import type { HeaderChain } from './headers.js';

export class NewestTimes {
  private readonly known: { hash: string; newest: number }[] = [];

  constructor(
    private readonly headers: HeaderChain,
    private readonly from: number,
  ) {}

  /** Milliseconds; 0 below the height it begins at. */
  at(height: number): number {
    this.follow(height);
    return this.known[height - this.from]?.newest ?? 0;
  }

  /** The first block whose newest time is at least this, up to a height that is on the chain; the one after it when there is none. */
  first(since: number, upTo: number): number {
    this.follow(upTo);
    let [low, high] = [this.from, Math.max(upTo + 1, this.from)];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.at(middle) >= since) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Drops blocks that are gone, and takes in those up to a height. */
  private follow(height: number): void {
    const { known, from, headers } = this;
    while (known.length > 0 && headers.at(from + known.length - 1)?.hash !== known.at(-1)?.hash) known.pop();
    while (from + known.length <= height) {
      const block = headers.at(from + known.length);
      if (!block) return;
      known.push({ hash: block.hash, newest: Math.max(block.time * 1_000, known.at(-1)?.newest ?? 0) });
    }
  }
}
