/**
 * Whose turn it is to propose over an anchor. Guardians take turns that follow from the anchor and from how long each has been waiting over it
 * itself, so that usually one proposes, and one that is down delays a payment by a turn. Nothing depends on their clocks agreeing.
 */
import { createHash } from 'node:crypto';

/** Anchors remembered; of those that wait there are few. */
const MAX_ANCHORS = 1_000;

export class Turns {
  private readonly since = new Map<string, number>();

  /** @param turnMs milliseconds of one turn */
  constructor(
    private readonly turnMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Whether the guardian with this index, of so many, may propose over an anchor that it wants something proposed over. */
  isMine(anchor: string, index: number, guardians: number): boolean {
    const began = this.since.get(anchor) ?? this.begin(anchor);
    const turn = Math.floor((this.now() - began) / this.turnMs);
    const first = createHash('sha256').update(anchor).digest().readUInt32BE(0);
    return (first + turn) % guardians === index;
  }

  private begin(anchor: string): number {
    const [oldest] = this.since.keys();
    if (this.since.size >= MAX_ANCHORS && oldest !== undefined) this.since.delete(oldest);
    const now = this.now();
    this.since.set(anchor, now);
    return now;
  }
}
