/** A guardian's tables: what it saw, what it accepted of the schedule, what it signed, what it has to say. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Guardian1700000000100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table vault_cursor (
        chain text primary key,
        height bigint not null,
        block_hash text not null,
        next_sequence bigint not null
      );
      create table observed_deposit (
        id text primary key,
        -- null: an asset this guardian does not know; kept, never attested
        process text,
        sequence bigint not null,
        line text not null,
        item_id text
      );
      create index observed_deposit_to_attest on observed_deposit (process, sequence) where item_id is null;
      create table observed_release (
        process text not null,
        number bigint not null,
        line text not null,
        amount numeric(78) not null,
        item_id text,
        primary key (process, number)
      );
      create table module (id text primary key, item bytea not null);
      create table schedule_entry (
        process text not null,
        nonce bigint not null,
        assignment bytea not null,
        message bytea not null,
        primary key (process, nonce)
      );
      -- Written before a signature leaves: one content for one withdrawal and epoch, ever.
      create table signed_release (
        process text not null,
        number bigint not null,
        epoch bigint not null,
        digest text not null,
        item_id text not null,
        primary key (process, number, epoch)
      );
      create table outbox (
        item_id text primary key,
        process text not null,
        item bytea not null,
        sent_at timestamptz,
        -- slot at which this guardian's own replica saw it
        slot bigint
      );
      create index outbox_unseen on outbox (process) where slot is null;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      'drop table outbox, signed_release, schedule_entry, module, observed_release, observed_deposit, vault_cursor',
    );
  }
}
