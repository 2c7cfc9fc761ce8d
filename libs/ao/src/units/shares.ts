/** So much for all together, and of that so much for one client, so that nobody keeps the others out alone. */
export class Shares {
  private total = 0;
  private readonly held = new Map<string, number>();

  constructor(
    private readonly most: number,
    private readonly mostOfOne: number,
  ) {}

  get taken(): number {
    return this.total;
  }

  /** Whether a client may have so much more; then it has. @param client null for one who counts among all only */
  take(client: string | null, amount: number): boolean {
    const own = client === null ? 0 : (this.held.get(client) ?? 0) + amount;
    if (this.total + amount > this.most || own > this.mostOfOne) return false;
    this.total += amount;
    if (client !== null) this.held.set(client, own);
    return true;
  }

  give(client: string | null, amount: number): void {
    this.total -= amount;
    if (client === null) return;
    const own = (this.held.get(client) ?? 0) - amount;
    if (own > 0) this.held.set(client, own);
    else this.held.delete(client);
  }
}
