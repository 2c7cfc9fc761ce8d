/** Scripts of a vault on Bitcoin that the schedule told of when blocks that may pay them were read already. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class LateScripts1700000000800 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- when the schedule told of it, milliseconds: payments count from some time before on
      alter table bitcoin_vault add column since bigint not null default 0;
      alter table bitcoin_script add column since bigint not null default 0;
      -- not looked for yet in the blocks that were read before
      create table bitcoin_late (
        process text not null,
        script text not null,
        since bigint not null,
        primary key (process, script)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table bitcoin_late;
      alter table bitcoin_script drop column since;
      alter table bitcoin_vault drop column since;
    `);
  }
}
