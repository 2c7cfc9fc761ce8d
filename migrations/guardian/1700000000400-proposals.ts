/** Releases by proposal: what this guardian has proposed and signed, and under which anchors. Rotations are signed once for each chain's vault. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Proposals1700000000400 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- what it has proposed, so that it says nothing twice
      create table own_proposal (
        process text not null,
        id text not null,
        primary key (process, id)
      );
      -- written before a signature leaves
      create table signed_proposal (
        process text not null,
        id text not null,
        anchor text not null,
        primary key (process, id)
      );
      -- the anchors a withdrawal was ever signed under
      create table signed_anchor (
        process text not null,
        number bigint not null,
        anchor text not null,
        primary key (process, number, anchor)
      );
      -- '*': signed before a guardian served several chains, for whichever it served
      alter table signed_rotation add column chain text not null default '*';
      alter table signed_rotation alter column chain drop default;
      alter table signed_rotation drop constraint signed_rotation_pkey;
      alter table signed_rotation add primary key (chain, epoch);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table own_proposal, signed_proposal, signed_anchor;
      alter table signed_rotation drop constraint signed_rotation_pkey;
      alter table signed_rotation drop column chain;
      alter table signed_rotation add primary key (epoch);
    `);
  }
}
