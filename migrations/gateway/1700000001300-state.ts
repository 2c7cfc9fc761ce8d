/** What the state as of any seal is told from: the books of token processes slot by slot, and which processes are assets. And what a rebuild leaves. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class State1700000001300 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- totals of a token process after each slot that changed them, base units
      create table asset_total (
        process text not null,
        nonce bigint not null,
        minted numeric not null,
        burned numeric not null,
        released numeric not null,
        primary key (process, nonce)
      );
      insert into asset_total (process, nonce, minted, burned, released)
        select process, slot, sum(sum(minted)) over so_far, sum(sum(burned)) over so_far, sum(sum(released)) over so_far
        from (
          select t.process, (s.proof ->> 'slot')::bigint as slot,
            case s.kind when 'minted' then t.amount else 0 end as minted,
            case s.kind when 'queued' then t.amount else 0 end as burned,
            case s.kind when 'released' then t.amount else 0 end as released
          from transfer t join transfer_step s on s.transfer = t.id
          where s.kind in ('minted', 'queued', 'released') and s.proof ? 'slot'
        ) as moved
        group by process, slot
        window so_far as (partition by process order by slot);
      -- notices, signed by the scheduler, that a process is the bridge's for an asset
      create table asset_notice (
        id text primary key,
        asset text not null,
        process text not null
      );
      -- one row when these tables were made from what is on Arweave; without an end they are not whole, and no gateway may go on with them
      create table rebuilt (
        one boolean primary key default true check (one),
        begun timestamptz not null default now(),
        ended timestamptz,
        -- results were not made here: the messenger has looked at what they send up to this slot, in order of time; null when it need not
        told_at bigint,
        told_process text not null default '',
        told_nonce bigint not null default -1
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table rebuilt, asset_notice, asset_total');
  }
}
