/**
 * Which scripts of the vault's form blocks pay that were read lately, each by six bytes of its hash: whether a block may pay a script that became known
 * after it was read is told without reading it again, but for one in 2^48 that says so of another.
 */

/** Eight bytes each: 32 MiB, a day of blocks in which nothing else is paid. */
const MAX_SCRIPTS = 4_000_000;
/** On networks whose blocks are nearly empty and come at will. */
const MAX_BLOCKS = 50_000;

export class RecentScripts {
  /** By the block's hash, in the order they were read. */
  private readonly blocks = new Map<string, Float64Array>();
  private count = 0;

  /** @param scripts of the form `0020<32 bytes>`, in hex */
  add(block: string, scripts: Iterable<string>): void {
    this.drop(block);
    const marks = Float64Array.from([...scripts], markOf).toSorted();
    this.blocks.set(block, marks);
    this.count += marks.length;
    for (const [oldest] of this.blocks) {
      if (this.count <= MAX_SCRIPTS && this.blocks.size <= MAX_BLOCKS) return;
      this.drop(oldest);
    }
  }

  /** Whether a block may pay one of these; also when nothing is known of it. */
  mayPay(block: string, scripts: readonly string[]): boolean {
    const marks = this.blocks.get(block);
    return !marks || scripts.some((script) => has(marks, markOf(script)));
  }

  private drop(block: string): void {
    this.count -= this.blocks.get(block)?.length ?? 0;
    this.blocks.delete(block);
  }
}

const markOf = (script: string): number => Number.parseInt(script.slice(4, 16), 16);

function has(sorted: Float64Array, mark: number): boolean {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < mark) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === mark;
}
