/**
 * How many operands a function has on its stack at most. A compiler keeps room for each, so they count when the depth of calls is bounded:
 * a function of few locals may still hold thousands of values across a call. The code is taken to be valid, as the engine checks itself.
 */

/** A block that is open: how many operands lie below it, and how many its type takes and leaves. */
interface Frame {
  below: number;
  params: number;
  results: number;
}

/** By how much instructions change the number of operands (WebAssembly 2.0, 3.3); those that are not here leave as many as they take. */
const CHANGES: ReadonlyMap<number, number> = new Map([
  ...changes(
    -1,
    [0x1a, 0x21, 0x24],
    [0x46, 0x4f],
    [0x51, 0x66],
    [0x6a, 0x78],
    [0x7c, 0x8a],
    [0x92, 0x98],
    [0xa0, 0xa6],
  ), // drop, set, what takes two
  ...changes(-2, [0x1b, 0x1c], [0x36, 0x3e]), // select, stores
  ...changes(1, [0x20, 0x23, 0x3f], [0x41, 0x44]), // get, memory.size, constants
]);

/** Single instructions, then ranges from first to last. */
function changes(by: number, single: readonly number[], ...ranges: [number, number][]): [number, number][] {
  const spread = ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
  return [...single, ...spread].map((op) => [op, by]);
}

export class Operands {
  /** The most there were at once. */
  most = 0;
  /** How many there are. */
  height = 0;
  private readonly open: Frame[] = [];

  /** An instruction that is no call and begins or ends no block. */
  plain(op: number): void {
    this.take(0, CHANGES.get(op) ?? 0);
  }

  /** Takes so many operands and leaves so many. */
  take(params: number, results: number): void {
    this.height += results - params;
    this.most = Math.max(this.most, this.height);
  }

  enter(params: number, results: number): void {
    this.open.push({ below: this.height - params, params, results });
  }

  /** The other way of an `if` begins with what the first began with. */
  otherwise(): void {
    const frame = this.open.at(-1);
    if (frame) this.height = frame.below + frame.params;
  }

  /** Ends a block. @returns whether there were as many operands as its type leaves: always so in valid code, where it is reached */
  leave(): boolean {
    const { below, results } = this.open.pop() ?? { below: 0, results: 0 };
    const isSettled = this.height === below + results;
    this.height = below + results;
    return isSettled;
  }

  /** Nothing that follows in this block is reached. */
  away(): void {
    this.height = this.open.at(-1)?.below ?? 0;
  }
}
