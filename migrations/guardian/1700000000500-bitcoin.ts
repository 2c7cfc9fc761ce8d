/** What a guardian knows of a vault on Bitcoin: headers, scripts, coins with who spent them, and what was proposed to spend them. */
import { HEADER_TABLE } from '@isthmus/chains';
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Bitcoin1700000000500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(HEADER_TABLE);
    await runner.query(`
      -- output scripts of the vault, one for each set of guardians' keys
      create table bitcoin_vault (
        process text not null,
        script text not null,
        keys text[] not null,
        threshold int not null,
        primary key (process, script)
      );
      -- deposit addresses that were registered, by output script in hex; of many, a block's are looked up at once
      create table bitcoin_script (
        process text not null,
        script text not null,
        vault text not null,
        refund_after int not null,
        terms jsonb not null,
        primary key (process, script)
      );
      -- what paid the vault, and who spent it, as the chain stands up to the cursor
      create table bitcoin_coin (
        process text not null,
        txid text not null,
        vout bigint not null,
        value bigint not null,
        script text not null,
        -- output script of the vault whose keys may spend it
        vault text not null,
        -- deposit: to an address; memo: to the vault; change: by a transaction of the vault
        kind text not null,
        height int not null,
        position int not null,
        together bigint not null,
        coinbase boolean not null,
        recipient text,
        -- hex, or - for none
        tags text,
        fault text,
        refund_after int,
        -- seen until it is final, then credited or refused with the reason; anchor: what the first batch begins with; change needs no judgement
        state text not null,
        reason text,
        minted boolean not null,
        spent_by text,
        spent_height int,
        spent_refund boolean,
        primary key (process, txid, vout)
      );
      create index bitcoin_coin_seen on bitcoin_coin (process) where state = 'seen';
      create index bitcoin_coin_height on bitcoin_coin (process, height);
      create index bitcoin_coin_spent on bitcoin_coin (process, spent_height);
      create index bitcoin_coin_unspent on bitcoin_coin (process, value) where spent_by is null;
      -- the coins batches began with, in final state; the last is not used up
      create table bitcoin_anchor (
        process text not null,
        place int not null,
        outpoint text not null,
        primary key (process, place)
      );
      create unique index bitcoin_anchor_outpoint on bitcoin_anchor (process, outpoint);
      -- transactions that guardians proposed, each as the first that named it said
      create table bitcoin_proposal (
        process text not null,
        txid text not null,
        id text not null,
        epoch bigint not null,
        anchor text not null,
        content text not null,
        payouts jsonb not null,
        primary key (process, txid)
      );
      create index bitcoin_proposal_anchor on bitcoin_proposal (process, anchor);
      -- deposits that were minted and that this guardian has not seen paid
      create table bitcoin_unseen (
        process text not null,
        txid text not null,
        vout bigint not null,
        primary key (process, txid, vout)
      );
      -- the last slot of the schedule that is in these tables
      create table bitcoin_learned (process text primary key, slot bigint not null);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      'drop table bitcoin_learned, bitcoin_unseen, bitcoin_proposal, bitcoin_anchor, bitcoin_coin, bitcoin_script, bitcoin_vault, bitcoin_header',
    );
  }
}
