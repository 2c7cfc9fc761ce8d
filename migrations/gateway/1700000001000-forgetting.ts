/** What one signed message has led to is forgotten when nothing has come of it for long; dead letters say nothing of the gateway's inside. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Forgetting1700000001000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- when it was added to last
      alter table pushed add column touched timestamptz not null default now();
      alter table spawned add column touched timestamptz not null default now();
      update outbox set error = 'The gateway could not place it: its log says why. It can be let go again.' where reason = 'failed';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('alter table spawned drop column touched; alter table pushed drop column touched');
  }
}
