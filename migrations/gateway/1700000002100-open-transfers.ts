/** Transfers that are not done: what every round asks for, however many are done. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class OpenTransfers1700000002100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create index transfer_open on transfer (process, state, position) where state not in ('minted', 'refused', 'released', 'held')
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop index transfer_open');
  }
}
