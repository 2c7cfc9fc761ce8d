/** Proposals on Bitcoin are kept one by one: several may name one transaction, and nobody is first. Those nobody else stands behind are bounded. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class BitcoinProposals1700000000700 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table bitcoin_proposal drop constraint bitcoin_proposal_pkey;
      alter table bitcoin_proposal add primary key (process, txid, id);
      -- the guardian who made it, the slot that has it, and whether anybody else has signed it; what is here already stays
      alter table bitcoin_proposal add proposer text not null default '';
      alter table bitcoin_proposal add slot bigint not null default 0;
      alter table bitcoin_proposal add backed boolean not null default false;
      create index bitcoin_proposal_newest on bitcoin_proposal (process, proposer, slot) where not backed;
      create index bitcoin_proposal_id on bitcoin_proposal (process, id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      delete from bitcoin_proposal p using bitcoin_proposal q where p.process = q.process and p.txid = q.txid and p.id > q.id;
      drop index bitcoin_proposal_newest, bitcoin_proposal_id;
      alter table bitcoin_proposal drop constraint bitcoin_proposal_pkey, drop proposer, drop slot, drop backed;
      alter table bitcoin_proposal add primary key (process, txid);
    `);
  }
}
