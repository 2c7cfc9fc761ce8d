/** When a deposit that was minted and is not seen paid is given up as lost. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class LostDeposits1700000000900 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table bitcoin_unseen
        -- milliseconds; 0: it was seen paid before, so no block is waited for
        add column minted_at bigint not null default 0,
        -- the block from which on others are counted; null while nothing says that its own must be known by now
        add column missed_at integer,
        add column lost boolean not null default false;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('alter table bitcoin_unseen drop column minted_at, drop column missed_at, drop column lost');
  }
}
