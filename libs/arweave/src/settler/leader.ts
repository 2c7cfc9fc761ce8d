/** Of the gateways on one database one settles: who holds the lock. It is free again as soon as its connection ends. */
import type { DataSource, QueryRunner } from 'typeorm';

/** Any constant will do, as long as every gateway uses the same and nothing else does. */
const SETTLEMENT_LOCK = 4_953_170;

export class Leader {
  private held: QueryRunner | null = null;

  constructor(private readonly database: DataSource) {}

  /** Whether this gateway is the one, now. */
  async leads(): Promise<boolean> {
    if (this.held) {
      try {
        await this.held.query('select 1');
        return true;
      } catch {
        await this.release(); // the connection has ended, and the lock with it
      }
    }
    const runner = this.database.createQueryRunner();
    await runner.connect();
    const rows: { got: boolean }[] = await runner.query('select pg_try_advisory_lock($1) as got', [SETTLEMENT_LOCK]);
    if (rows[0]?.got) this.held = runner;
    else await runner.release();
    return this.held !== null;
  }

  async release(): Promise<void> {
    const runner = this.held;
    this.held = null;
    if (!runner) return;
    await runner.query('select pg_advisory_unlock($1)', [SETTLEMENT_LOCK]).catch(() => undefined); // ended already
    await runner.release();
  }
}
