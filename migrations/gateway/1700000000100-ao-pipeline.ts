/** The AO pipeline's tables: modules, processes with the head of their schedule, the schedule, results, the messenger's outbox, checkpoints. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class AoPipeline1700000000100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table module (
        id text primary key,
        format text not null,
        item bytea not null
      );
      create table process (
        id text primary key,
        module text not null references module(id),
        item bytea not null,
        -- head of the schedule: what the next assignment builds on
        nonce bigint not null,
        assignment_id text not null,
        hash_chain text not null,
        timestamp bigint not null,
        -- last slot whose result is stored; -1 before the first
        evaluated bigint not null default -1
      );
      create table assignment (
        process text not null references process(id),
        nonce bigint not null,
        id text not null,
        message_id text not null,
        timestamp bigint not null,
        item bytea not null,
        message bytea not null,
        primary key (process, nonce)
      );
      create unique index assignment_message on assignment (process, message_id);
      create index assignment_by_message on assignment (message_id);
      create unique index assignment_id on assignment (id);
      create index assignment_by_time on assignment (process, timestamp);
      create table result (
        process text not null,
        nonce bigint not null,
        message_id text not null,
        outcome text not null,
        primary key (process, nonce)
      );
      create index result_by_message on result (message_id);
      create table outbox (
        id bigint generated always as identity primary key,
        process text not null,
        nonce bigint not null,
        position int not null,
        item_id text not null,
        item bytea not null,
        state text not null check (state in ('waiting', 'delivered', 'dead')),
        attempts int not null default 0,
        due timestamptz not null default now(),
        error text,
        unique (process, nonce, position)
      );
      create index outbox_waiting on outbox (due) where state = 'waiting';
      create table checkpoint (
        process text primary key references process(id),
        nonce bigint not null,
        image bytea not null
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table checkpoint, outbox, result, assignment, process, module');
  }
}
