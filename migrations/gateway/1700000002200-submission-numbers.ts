/** Which transactions were sent for a withdrawal, however many were sent for others. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class SubmissionNumbers1700000002200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('create index submission_numbers on submission using gin (numbers)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop index submission_numbers');
  }
}
