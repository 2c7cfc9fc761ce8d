/**
 * The schedule is cheap to write: fewer indexes, and no foreign key whose check would lock the process for each message. Items can be found by
 * owner, recipient and tags, in an index that follows the schedules by itself.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ScheduleAndIndex1700000000600 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop index assignment_by_message;
      drop index assignment_message;
      -- once in each schedule, and wherever it is
      create unique index assignment_message on assignment (message_id, process);
      drop index assignment_id;
      create index assignment_id on assignment (id);
      drop index assignment_by_time;
      create index assignment_by_time on assignment (process, timestamp, nonce);
      -- the statement that writes places writes them for processes that it has just moved
      alter table assignment drop constraint assignment_process_fkey;
      -- the head is rewritten with every batch, next to where it was
      alter table process set (fillfactor = 70);
      -- items of this gateway that are in no schedule
      create table item (
        id text primary key,
        item bytea not null
      );
      -- items in the order they became known
      create table indexed_item (
        seq bigint generated always as identity primary key,
        id text not null
      );
      -- what an item can be found by: eight bytes of the hash of a field and its value
      create table item_key (
        key bigint not null,
        seq bigint not null,
        primary key (key, seq)
      );
      -- how far each schedule is in the index; no row: nothing of it yet
      create table index_progress (
        process text primary key,
        nonce bigint not null
      ) with (fillfactor = 70);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table index_progress, item_key, indexed_item, item;
      alter table process reset (fillfactor);
      alter table assignment add constraint assignment_process_fkey foreign key (process) references process(id);
      drop index assignment_message, assignment_id, assignment_by_time;
      create unique index assignment_message on assignment (process, message_id);
      create index assignment_by_message on assignment (message_id);
      create unique index assignment_id on assignment (id);
      create index assignment_by_time on assignment (process, timestamp);
    `);
  }
}
