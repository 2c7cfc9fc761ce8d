/** Solana: how far each vault's history is indexed, what it has paid, and what the relayer has sent. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Solana1700000001900 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table solana_cursor (
        chain text not null,
        vault text not null,
        -- of the last transaction; null before the first
        signature text,
        slot bigint not null,
        balance numeric(39) not null,
        primary key (chain, vault)
      );
      -- payments in final transactions
      create table solana_payment (
        process text not null,
        number bigint not null,
        signature text not null,
        slot bigint not null,
        amount numeric(39) not null,
        primary key (process, number)
      );
      create table solana_submission (
        chain text not null,
        signature text not null,
        process text not null,
        proposal text not null,
        nonce_account text not null,
        nonce_value text not null,
        -- micro-lamports a compute unit
        price numeric(39) not null,
        -- none for a hand-over
        numbers bigint[] not null,
        -- base64; its first signature is its name
        wire text not null,
        state text not null check (state in ('sent', 'final', 'failed', 'superseded')),
        sent_at timestamptz not null,
        primary key (chain, signature)
      );
      create index solana_submission_open on solana_submission (chain) where state = 'sent';
      create unique index solana_submission_proposal on solana_submission (process, proposal);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table solana_submission, solana_payment, solana_cursor');
  }
}
