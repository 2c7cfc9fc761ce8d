/** The gateway's view of transfers: an index over chain and schedule, rebuilt from them whenever wanted. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Bridge1700000000200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table transfer (
        id text primary key,
        direction text not null check (direction in ('deposit', 'withdrawal')),
        asset text not null,
        process text not null,
        state text not null,
        waits text,
        sender text not null,
        recipient text not null,
        amount numeric(39) not null,
        fee numeric(39) not null default 0,
        max_fee numeric(39),
        number bigint,
        reference text,
        source_tx text,
        release_tx text,
        block_number bigint,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        -- order of appearance, for paging
        position bigint generated always as identity
      );
      create unique index transfer_position on transfer (position);
      create index transfer_sender on transfer (sender, position);
      create index transfer_recipient on transfer (recipient, position);
      create index transfer_source on transfer (source_tx);
      create index transfer_release on transfer (release_tx);
      create unique index transfer_withdrawal on transfer (process, number) where number is not null;
      create table transfer_step (
        -- may come before its transfer: attestations can be faster than this gateway's own watcher
        transfer text not null,
        -- the same fact is one step, however often it is learnt
        key text not null,
        at timestamptz not null,
        kind text not null,
        proof jsonb not null,
        position bigint generated always as identity,
        primary key (transfer, key)
      );
      create index transfer_step_message on transfer_step ((proof ->> 'message'));
      create table transfer_event (
        id bigint generated always as identity primary key,
        transfer text not null,
        state text not null,
        at timestamptz not null default now()
      );
      create table projection (
        process text primary key,
        nonce bigint not null,
        -- what the quorum has decided, as of this slot
        epoch bigint not null default 0,
        threshold int not null default 0,
        paused boolean not null default false
      );
      create table gateway_cursor (
        chain text primary key,
        height bigint not null,
        block_hash text not null,
        next_sequence bigint not null
      );
      create table submission (
        id bigint generated always as identity primary key,
        chain text not null,
        -- whose nonce it is: gateways with other keys may share the database
        account text not null,
        nonce bigint not null,
        -- (process, number) pairs paid by this transaction; none for a decision of the quorum
        process text not null,
        numbers bigint[] not null,
        raw text not null,
        tx_hash text not null,
        max_fee_per_gas numeric(78) not null,
        state text not null check (state in ('signed', 'mined', 'failed', 'superseded')),
        sent_at timestamptz not null,
        unique (chain, tx_hash)
      );
      create index submission_open on submission (chain, account, nonce) where state = 'signed';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table submission, gateway_cursor, projection, transfer_event, transfer_step, transfer');
  }
}
