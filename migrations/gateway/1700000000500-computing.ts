/**
 * How far each process is computed, and by which gateway: apart from the schedule's head, so that computing and scheduling never wait for
 * each other's rows. Checkpoints become pages, of which only those that changed are written.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Computing1700000000500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- a gateway that computes; it lives while it says so and keeps its connection, on which it holds an advisory lock on its number
      create table compute_holder (
        id int generated always as identity primary key,
        expires timestamptz not null
      );
      -- no row: nothing is computed yet. No foreign key, whose check would wait for the scheduler's lock on the process.
      create table progress (
        process text primary key,
        -- last slot whose result is stored; -1 before the first
        evaluated bigint not null default -1,
        -- who may store results and checkpoints, with this token; null: nobody, anyone may take it
        holder int,
        token bigint not null default 0
      ) with (fillfactor = 70);
      insert into progress (process, evaluated) select id, evaluated from process where evaluated >= 0;
      alter table process drop column evaluated;
      create view computed_process as
        select p.*, coalesce(g.evaluated, -1) as evaluated from process p left join progress g on g.process = p.id;
      -- A message's slot is found by the schedule, and its result by the slot.
      drop index result_by_message;
      -- Images of another form: the processes are evaluated again from their schedule.
      drop table checkpoint;
      create table checkpoint (
        process text primary key,
        -- the state after this slot
        nonce bigint not null,
        -- bytes of the memory
        size bigint not null,
        made timestamptz not null default now()
      );
      create table checkpoint_page (
        process text not null references checkpoint(process) on delete cascade,
        page int not null,
        -- 64 KiB that are not all zero
        bytes bytea not null,
        primary key (process, page)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table checkpoint_page, checkpoint;
      create table checkpoint (process text primary key references process(id), nonce bigint not null, image bytea not null);
      alter table process add column evaluated bigint not null default -1;
      update process set evaluated = p.evaluated from progress p where p.process = process.id;
      drop view computed_process;
      drop table progress, compute_holder;
      create index result_by_message on result (message_id);
    `);
  }
}
