/** How far a replay is: a bar that is written over where there is a terminal, plain lines now and then where there is none. */
import type { ReplayProgress } from '@isthmus/arweave';

const WIDTH = 24;
/** Milliseconds between two lines where nobody watches. */
const LINE_MS = 5000;

interface Out {
  isTTY?: boolean;
  write(text: string): unknown;
}

export class ProgressLine {
  private readonly began: number;
  private said = { at: -Infinity, phase: '' };

  constructor(
    private readonly out: Out,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.began = now();
  }

  show(progress: ReplayProgress): void {
    if (this.out.isTTY) {
      this.out.write(`\r\x1b[K${bar(progress)} ${this.words(progress)}`);
      return;
    }
    const at = this.now();
    if (progress.phase === this.said.phase && at - this.said.at < LINE_MS) return;
    this.said = { at, phase: progress.phase };
    this.out.write(`${this.words(progress)}\n`);
  }

  /** Leaves the terminal as it was. */
  end(): void {
    if (this.out.isTTY) this.out.write('\r\x1b[K');
  }

  private words({ phase, bundles, of, slots, evaluated }: ReplayProgress): string {
    const seconds = Math.max((this.now() - this.began) / 1000, 0.001);
    const count = (n: number): string => Math.round(n).toLocaleString('en-US');
    const known = of > 0 ? `${count(bundles)} of ${count(of)}` : count(bundles);
    return `${phase}: ${known} bundles, ${count(slots)} slots, ${count(evaluated)} evaluated, ${count(slots / seconds)} slots/s`;
  }
}

/** Reading and evaluating are nearly all of it, half each. */
function bar({ bundles, of, slots, evaluated }: ReplayProgress): string {
  const read = of > 0 ? Math.min(1, bundles / of) : 0;
  const done = slots > 0 ? (read * (slots + evaluated)) / (2 * slots) : 0;
  const full = Math.round(done * WIDTH);
  return `[${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}]`;
}
