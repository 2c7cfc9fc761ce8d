/**
 * What keeps one process from being everybody's burden: which results failed without reading them, the outbox by sender, and how many
 * messages one signed message has led to.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class AoBounds1700000000400 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table result add column failed boolean not null default false;
      -- A result that failed has nothing else, so its text begins in this one way.
      update result set failed = true where starts_with(outcome, '{"Messages":[],"Spawns":[],"Assignments":[],"Output":"","Error":');
      create index outbox_by_sender on outbox (process, id) where state = 'waiting';
      create table pushed (
        -- the signed message at the beginning (Pushed-For)
        root text not null,
        -- who sent, and in answer to which process ('' for whoever signed)
        process text not null,
        cause text not null,
        messages bigint not null,
        primary key (root, process, cause)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table pushed; drop index outbox_by_sender; alter table result drop column failed');
  }
}
