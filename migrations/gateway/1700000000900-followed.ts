/** Processes on a network of others' units: what was taken of their schedules and results, for good. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Followed1700000000900 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table followed_process (
        process text primary key,
        -- the item in slot 0
        spawn bytea not null,
        -- newest slot taken
        nonce bigint not null,
        assignment_id text not null,
        hash_chain text not null,
        timestamp bigint not null
      );
      create table followed_slot (
        process text not null references followed_process,
        nonce bigint not null,
        message_id text not null,
        timestamp bigint not null,
        -- JSON of the result
        outcome text not null,
        primary key (process, nonce)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table followed_slot, followed_process');
  }
}
