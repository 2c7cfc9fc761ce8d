/**
 * How many are at something at once: the rest wait in the order they came, and find more to do for that. Who takes long holds up nobody.
 */
export class Places {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  /** @param heldMs a place is given on after this time, whether its work is done or not */
  constructor(
    size: number,
    private readonly heldMs: number,
  ) {
    this.free = size;
  }

  async in<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free -= 1;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    let held = true;
    const leave = (): void => {
      if (!held) return;
      held = false;
      clearTimeout(late);
      this.giveOn();
    };
    const late = setTimeout(leave, this.heldMs);
    try {
      return await work();
    } finally {
      leave();
    }
  }

  private giveOn(): void {
    const next = this.waiting.shift();
    if (next) next();
    else this.free += 1;
  }
}
