/** A set of numbers that lie close together, as a vault's and a process' do: an eighth of a byte each. */

/** Numbers to a piece. */
const PIECE = 8192n;

export class NumberSet {
  private readonly pieces = new Map<bigint, Uint8Array>();

  has(number: bigint): boolean {
    const at = Number(number % PIECE);
    return (((this.pieces.get(number / PIECE)?.[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;
  }

  /** @param number not negative */
  add(number: bigint): void {
    const key = number / PIECE;
    const piece = this.pieces.get(key) ?? new Uint8Array(Number(PIECE) / 8);
    this.pieces.set(key, piece);
    const at = Number(number % PIECE);
    piece[at >> 3] = (piece[at >> 3] ?? 0) | (1 << (at & 7));
  }
}
