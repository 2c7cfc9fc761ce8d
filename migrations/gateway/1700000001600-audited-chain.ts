/** Each report is of one home chain, and says which. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class AuditedChain1700000001600 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- CAIP-2, as the report has it
      alter table audit_report add column chain text;
      update audit_report set chain = report::json -> 'inputs' ->> 'chain';
      alter table audit_report alter column chain set not null;
      create index audit_report_chain on audit_report (chain, seq);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('alter table audit_report drop column chain');
  }
}
