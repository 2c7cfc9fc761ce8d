/** A dead letter can be given up: its operator has seen it and wants no more of it. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Discarded1700000001100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table outbox drop constraint outbox_state_check,
        add constraint outbox_state_check check (state in ('held', 'waiting', 'delivered', 'dead', 'discarded'));
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      update outbox set state = 'dead' where state = 'discarded';
      alter table outbox drop constraint outbox_state_check,
        add constraint outbox_state_check check (state in ('held', 'waiting', 'delivered', 'dead'));
    `);
  }
}
