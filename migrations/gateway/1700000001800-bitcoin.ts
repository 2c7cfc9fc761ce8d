/** Bitcoin as the gateway shows it: headers and place, registered deposit addresses, the vault's coins, and the batches that are to pay from them. */
import { HEADER_TABLE } from '@isthmus/chains';
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Bitcoin1700000001800 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(HEADER_TABLE);
    await runner.query(`
      create table bitcoin_cursor (
        chain text primary key,
        height int not null,
        block_hash text not null
      );
      -- up to which slot registrations were read
      create table bitcoin_followed (
        process text primary key,
        slot bigint not null
      );
      create table bitcoin_address (
        chain text not null,
        -- output script, hex
        script text not null,
        address text not null,
        process text not null,
        -- the message that registered it
        message text not null,
        slot bigint not null,
        recipient text not null,
        refund_after int not null,
        -- DepositTexts: all terms
        terms jsonb not null,
        primary key (chain, script)
      );
      create index bitcoin_address_message on bitcoin_address (message);
      -- Outputs that pay the vault, and who has spent them.
      create table bitcoin_coin (
        chain text not null,
        txid text not null,
        vout int not null,
        -- of the deposit
        id text not null,
        value numeric(39) not null,
        script text not null,
        height int not null,
        block_hash text not null,
        together numeric(39) not null,
        coinbase boolean not null,
        claim text not null check (claim in ('deposit', 'memo', 'unclaimed', 'change')),
        recipient text,
        fault text,
        refund_after int,
        standing text not null check (standing in ('confirming', 'final', 'refused', 'change')),
        spent_by text,
        spent_height int,
        spent_hash text,
        refunded boolean not null default false,
        primary key (chain, txid, vout)
      );
      create index bitcoin_coin_confirming on bitcoin_coin (chain) where standing = 'confirming';
      create index bitcoin_coin_unspent on bitcoin_coin (chain) where spent_by is null;
      create index bitcoin_coin_height on bitcoin_coin (chain, height);
      create index bitcoin_coin_spent_height on bitcoin_coin (chain, spent_height);
      create index bitcoin_coin_spent_by on bitcoin_coin (chain, spent_by);
      create index bitcoin_coin_script on bitcoin_coin (chain, script);
      create table bitcoin_batch (
        chain text not null,
        txid text not null,
        process text not null,
        -- its id on AO
        proposal text not null,
        -- the coin it uses up first
        anchor text not null,
        numbers bigint[] not null,
        -- of each withdrawal its share
        fees numeric(39)[] not null,
        fee numeric(39) not null,
        vsize int not null,
        fee_rate bigint not null,
        change_script text not null,
        change_value numeric(39) not null,
        -- signed; null until enough good signatures are known
        raw text,
        sent_at timestamptz,
        -- the block it is in, as far as its withdrawals were told
        mined_hash text,
        state text not null default 'open' check (state in ('open', 'done', 'superseded')),
        position bigint generated always as identity,
        primary key (chain, txid)
      );
      create index bitcoin_batch_open on bitcoin_batch (chain, position) where state = 'open';
      -- confirmations it takes, where they are counted
      alter table transfer add column required int;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table transfer drop column required;
      drop table bitcoin_batch, bitcoin_coin, bitcoin_address, bitcoin_followed, bitcoin_cursor, bitcoin_header
    `);
  }
}
