/** Which batches pay a withdrawal, however many pay others. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class BatchNumbers1700000002300 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('create index bitcoin_batch_numbers on bitcoin_batch using gin (numbers)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop index bitcoin_batch_numbers');
  }
}
