/** Deposit addresses on Bitcoin that were registered when blocks that may pay them were read already. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class LateAddresses1700000002000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- when it was registered, milliseconds: payments count from some time before on
      alter table bitcoin_address add column since bigint not null default 0;
      -- not looked for yet in the blocks that were read before
      alter table bitcoin_address add column late boolean not null default false;
      create index bitcoin_address_late on bitcoin_address (chain) where late;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('alter table bitcoin_address drop column late, drop column since');
  }
}
