/** Processes that ended their thread not long ago, by taking too long or by crashing it: they live apart from all others until they have done so no more for a while. */

/** Several times as long as such a process waits at most before it is tried again: who does it each time stays apart. */
const APART_MS = 30 * 60_000;
/** Most that are remembered; the longest ago is forgotten first. */
const MAX_SUSPECTS = 10_000;

export class Suspects {
  private readonly since = new Map<string, number>();

  add(process: string): void {
    this.since.delete(process);
    this.since.set(process, performance.now());
    if (this.since.size > MAX_SUSPECTS) this.since.delete(this.since.keys().next().value as string);
  }

  has(process: string): boolean {
    const since = this.since.get(process);
    if (since === undefined) return false;
    if (performance.now() - since < APART_MS) return true;
    this.since.delete(process);
    return false;
  }
}
