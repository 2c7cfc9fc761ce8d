/** What is settled on Arweave: the sealed bundles and what carries them, which slots and items are in which, and how far each process is. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Settlement1700000001200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- A bundle is made again from its seal and the rows it names whenever it is wanted: only what was signed is kept.
      create table settlement_bundle (
        sequence bigint primary key,
        seal_id text not null unique,
        seal bytea not null,
        -- of the whole bundle, hexadecimal, and its bytes; the bytes of its items alone
        sha256 text not null,
        bytes bigint not null,
        item_bytes bigint not null,
        items int not null,
        slots int not null,
        state text not null check (state in ('sealed', 'posted', 'confirmed', 'final')),
        -- what carries it: signed and stored before it is sent
        carrier text,
        header text,
        good_until bigint,
        -- parts of it that were taken
        parts int not null default 0,
        -- times a carrier was signed, and times something failed since it last went well, and why
        signed int not null default 0,
        failures int not null default 0,
        error text,
        sealed_at timestamptz not null,
        posted_at timestamptz,
        confirmed_at timestamptz,
        final_at timestamptz,
        looked_at timestamptz,
        -- block of Arweave
        height bigint,
        check (state = 'sealed' or carrier is not null)
      );
      create index settlement_bundle_open on settlement_bundle (sequence) where state <> 'final';
      create index settlement_bundle_carrier on settlement_bundle (carrier);
      -- slots of processes
      create table settlement_range (
        process text not null,
        first bigint not null,
        last bigint not null,
        sequence bigint not null references settlement_bundle,
        -- r(last), base64url; null: the slot had no result yet
        results text,
        primary key (process, first)
      );
      create index settlement_range_bundle on settlement_range (sequence);
      -- items of no schedule
      create table settlement_item (
        id text primary key,
        sequence bigint not null references settlement_bundle,
        position int not null,
        unique (sequence, position)
      );
      -- no row: nothing of the process is settled
      create table settlement_progress (
        process text primary key,
        -- first slot that is in no bundle
        next bigint not null,
        -- the results chain, as far as it is known: r(results_slot), base64url
        results_slot bigint not null default -1,
        results text,
        -- slot of the newest checkpoint that was made for settlement, or passed over
        checkpoint bigint not null default -1
      );
      -- made for settlement, until their bundle is final
      create table settlement_checkpoint (
        id text primary key,
        process text not null,
        nonce bigint not null,
        item bytea not null
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      'drop table settlement_checkpoint, settlement_progress, settlement_item, settlement_range, settlement_bundle',
    );
  }
}
