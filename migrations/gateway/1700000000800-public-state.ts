/** What processes show of their state: a row for each value, found by its path, and how much there is of each process. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class PublicState1700000000800 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table process_state (
        process text not null,
        -- keys, percent-encoded, joined by slashes; in the order of bytes, so that what is below a path lies together
        path text collate "C" not null,
        -- JSON
        value text not null,
        -- slot that wrote it
        nonce bigint not null,
        primary key (process, path)
      );
      create table process_state_size (
        process text primary key,
        leaves bigint not null,
        bytes bigint not null,
        -- newest slot of which something was refused
        refused_nonce bigint,
        refused text
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table process_state_size, process_state');
  }
}
