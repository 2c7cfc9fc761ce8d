/** What a guardian has read of vaults on Solana: how far, payments by their memos, and what it made nothing of. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Solana1700000000600 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table solana_cursor (
        process text not null,
        vault text not null,
        -- the last transaction that was handled; null before the first
        signature text,
        slot bigint not null,
        balance numeric(78) not null,
        primary key (process, vault)
      );
      create table solana_payment (
        process text not null,
        number bigint not null,
        signature text not null,
        -- the account that was paid
        recipient text not null,
        amount numeric(78) not null,
        -- null: its withdrawal is not known yet, and it is compared with that when it is
        outcome text,
        primary key (process, number, signature)
      );
      create index solana_payment_waiting on solana_payment (process, number) where outcome is null;
      create table solana_refused (
        process text not null,
        signature text not null,
        -- path of the instruction; 'out' for what left the vault, once for each withdrawal it names
        place text not null,
        amount numeric(78) not null,
        reason text not null,
        primary key (process, signature, place)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table solana_refused, solana_payment, solana_cursor');
  }
}
