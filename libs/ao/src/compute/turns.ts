/** One thing at a time for each name; different names do not wait for each other. */
export class Turns {
  private readonly last = new Map<string, Promise<unknown>>();

  /** Whether somebody has the turn of this name, or waits for it. */
  taken(name: string): boolean {
    return this.last.has(name);
  }

  /** Does the work when everybody before is done, however that ended. */
  take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(name);
    const mine = before ? before.then(work, work) : work();
    this.last.set(name, mine);
    const leave = (): void => {
      if (this.last.get(name) === mine) this.last.delete(name);
    };
    mine.then(leave, leave);
    return mine;
  }

  /** Resolves when no turn is taken any more. */
  async done(): Promise<void> {
    while (this.last.size > 0) await Promise.allSettled(this.last.values());
  }
}
