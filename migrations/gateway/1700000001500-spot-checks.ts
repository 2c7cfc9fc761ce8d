/** Final bundles are looked at again, and posted again when they are lost. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class SpotChecks1700000001500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table settlement_bundle
        add column checked_at timestamptz,
        -- how the last look found it: null is well
        add column lost text check (lost in ('gone', 'other')),
        add column reposted_at timestamptz;
      create index settlement_bundle_lost on settlement_bundle (checked_at) where lost is not null;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      'drop index settlement_bundle_lost; alter table settlement_bundle drop column checked_at, drop column lost, drop column reposted_at',
    );
  }
}
