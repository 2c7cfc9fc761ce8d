/** What guardians propose and sign where releases are proposed (docs/protocol.md, section 3): the open proposals of each process, as its events say. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class OpenProposals1700000001700 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table proposal (
        process text not null,
        id text not null,
        guardian text not null,
        epoch bigint not null,
        anchor text not null,
        withdrawals bigint[] not null,
        content text not null,
        -- slot of the message that made it
        slot bigint not null,
        primary key (process, id)
      );
      create table proposal_signature (
        process text not null,
        proposal text not null,
        guardian text not null,
        signatures text not null,
        slot bigint not null,
        primary key (process, proposal, guardian),
        foreign key (process, proposal) references proposal (process, id) on delete cascade
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table proposal_signature, proposal');
  }
}
