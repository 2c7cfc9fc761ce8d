/** The newest reports of the gateway's auditor. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Audit1700000001400 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table audit_report (
        seq bigint generated always as identity primary key,
        -- SHA-256 of the report's text, hexadecimal
        hash text not null unique,
        report text not null,
        result text not null check (result in ('fine', 'safety', 'liveness')),
        height bigint not null,
        made_at timestamptz not null,
        -- newest bundle that was on Arweave then
        bundle bigint,
        bundle_seal text,
        bundle_carrier text,
        -- the signed item that is settled; null: there is no receipt key
        item_id text
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table audit_report');
  }
}
