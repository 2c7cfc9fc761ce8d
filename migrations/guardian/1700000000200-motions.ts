/** What this guardian wants decided: its operator's orders, and the pauses it asks for itself. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Motions1700000000200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table motion (
        id bigint generated always as identity primary key,
        process text not null,
        -- the decision's own line
        line text not null,
        mover text not null check (mover in ('operator', 'books')),
        state text not null default 'open' check (state in ('open', 'done', 'withdrawn')),
        -- for which place of the process and the vault it was voted on last
        asked text,
        at timestamptz not null default now(),
        closed_at timestamptz
      );
      create unique index motion_open on motion (process, line) where state = 'open';
      -- written before a signature leaves: one rotation to each epoch of the vault, ever
      create table signed_rotation (epoch bigint primary key, line text not null);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table motion, signed_rotation');
  }
}
