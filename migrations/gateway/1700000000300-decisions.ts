/** What the quorum has decided on AO, voice by voice, and whether the vault has carried it out. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Decisions1700000000300 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table decision (
        process text not null,
        nonce bigint not null,
        line text not null,
        message text not null,
        slot bigint not null,
        applied_at timestamptz not null,
        -- 'done' once the vault is as decided, 'superseded' once a later decision speaks of the same
        vault text not null default 'waiting' check (vault in ('waiting', 'done', 'superseded')),
        primary key (process, nonce)
      );
      create index decision_waiting on decision (process, nonce) where vault = 'waiting';
      create table decision_vote (
        process text not null,
        nonce bigint not null,
        guardian text not null,
        line text not null,
        message text not null,
        slot bigint not null,
        at timestamptz not null,
        primary key (process, nonce, guardian)
      );
      create table decision_signature (
        process text not null,
        nonce bigint not null,
        guardian text not null,
        signature text not null,
        message text not null,
        slot bigint not null,
        at timestamptz not null,
        primary key (process, nonce, guardian)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table decision, decision_vote, decision_signature');
  }
}
