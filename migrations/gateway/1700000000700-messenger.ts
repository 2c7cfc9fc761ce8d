/**
 * The messenger in full: spawns, assignments and ticks are delivered like messages; every delivery says on behalf of which signed message it
 * is; dead letters say why; spawns are counted; monitors are kept.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Messenger1700000000700 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table outbox
        add column kind text not null default 'message' check (kind in ('message', 'spawn', 'spawned', 'assignment', 'tick')),
        -- whose schedule it is for; '' for a spawn, whose id is its own
        add column target text not null default '',
        -- the signed message at the beginning, and how many pushes this is from there
        add column root text not null default '',
        add column hops int not null default 0,
        -- why it is dead, in one word
        add column reason text,
        drop constraint outbox_process_nonce_position_key,
        drop constraint outbox_state_check,
        -- 'held': sent once the spawn it tells of has its place
        add constraint outbox_state_check check (state in ('held', 'waiting', 'delivered', 'dead')),
        -- the nonce of a tick is its time
        add constraint outbox_place unique (process, kind, nonce, position);
      update outbox set reason = 'unknown' where state = 'dead';
      create index outbox_dead on outbox (id) where state = 'dead';
      create index outbox_dead_by_sender on outbox (process, id) where state = 'dead';
      create index outbox_assigned on outbox (target, item_id) where kind = 'assignment';
      create table spawned (
        -- how many spawns one signed message has led to, and how many one process has asked for
        scope text not null check (scope in ('root', 'process')),
        id text not null,
        spawns bigint not null,
        primary key (scope, id)
      );
      create table monitor (
        process text primary key references process(id),
        -- who asked: the wallet the process belongs to
        owner text not null,
        -- milliseconds: ticks up to this moment have been made or passed over, the next one is due then
        ticked bigint not null,
        due bigint not null
      );
      create index monitor_due on monitor (due);
      create index monitor_owner on monitor (owner);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table monitor, spawned;
      drop index outbox_dead, outbox_dead_by_sender, outbox_assigned;
      delete from outbox where kind <> 'message' or state = 'held';
      alter table outbox
        drop constraint outbox_place,
        drop constraint outbox_state_check,
        add constraint outbox_state_check check (state in ('waiting', 'delivered', 'dead')),
        add constraint outbox_process_nonce_position_key unique (process, nonce, position),
        drop column kind, drop column target, drop column root, drop column hops, drop column reason;
    `);
  }
}
