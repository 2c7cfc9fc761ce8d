/** What a guardian accepted of a schedule, by message: each has one place. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class MessageOnce1700000000300 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // An item's id is the hash of its signature, which follows two bytes of its type: Arweave's has 512 bytes, ed25519's 64, Ethereum's 65.
    await runner.query(`
      alter table schedule_entry add column message_id text;
      update schedule_entry set message_id = translate(encode(sha256(substring(message from 3 for
        case get_byte(message, 0) when 1 then 512 when 2 then 64 else 65 end)), 'base64'), '+/=', '-_');
      alter table schedule_entry alter column message_id set not null;
      create unique index schedule_entry_message on schedule_entry (process, message_id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('alter table schedule_entry drop column message_id');
  }
}
