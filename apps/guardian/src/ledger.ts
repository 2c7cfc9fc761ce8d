/** A guardian's memory: every fact is in its own database before anything follows from it. */
import type { ReplicaStore, ScheduleEntry, ScheduleHead } from '@isthmus/ao';
import { parseItem, TAIL_PAGE_BYTES, tagOf, type Item } from '@isthmus/ao';
import type { VaultCursor } from '@isthmus/chains';
import type { DataSource, EntityManager } from 'typeorm';
import type { Hex } from 'viem';
import { crashPoint, type OnStep } from './crash-point.js';

export interface DepositRow {
  id: Hex;
  process: string | null;
  sequence: bigint;
  line: string;
}

export interface ReleaseRow {
  process: string;
  number: bigint;
  line: string;
  amount: bigint;
}

/** What was seen at a vault. */
export interface Seen {
  deposits: readonly DepositRow[];
  releases: readonly ReleaseRow[];
}

export interface SignedRow {
  number: bigint;
  epoch: bigint;
  digest: Hex;
}

/** A proposal that is signed, and the withdrawals it pays. */
export interface SignedProposal {
  id: Hex;
  anchor: string;
  numbers: readonly bigint[];
}

/** This guardian has signed the same withdrawal otherwise, in a way that may still pay it; it will not sign this. */
export class DoubleSignRefused extends Error {
  readonly code = 'double-sign';
  /** @param how it was signed otherwise */
  constructor(process: string, number: bigint, how: string) {
    super(`Withdrawal ${number} of ${process} was signed ${how}.`);
    this.name = 'DoubleSignRefused';
  }
}

/** How a withdrawal was signed once before, for DoubleSignRefused. */
export const otherContent = (epoch: bigint): string => `with another content in epoch ${epoch}`;

export class Ledger implements ReplicaStore {
  constructor(
    private readonly database: DataSource,
    readonly onStep: OnStep = crashPoint,
  ) {}

  /** Where a scan stands; its name says what is scanned. */
  async cursor(scan: string): Promise<VaultCursor | null> {
    const rows: { height: string; block_hash: Hex; next_sequence: string }[] = await this.database.query(
      'select height, block_hash, next_sequence from vault_cursor where chain = $1',
      [scan],
    );
    const row = rows[0];
    return row
      ? { height: BigInt(row.height), blockHash: row.block_hash, nextSequence: BigInt(row.next_sequence) }
      : null;
  }

  /** What one scan found, together with where it ended: both or neither. */
  keepScan(
    scan: string,
    cursor: VaultCursor,
    deposits: readonly DepositRow[],
    releases: readonly ReleaseRow[],
  ): Promise<void> {
    return this.keepSeen(async (manager) => {
      await this.keepCursor(manager, scan, cursor);
      return { deposits, releases };
    });
  }

  /** What was seen at a vault, together with what its home keeps besides, which `take` writes: all or nothing. */
  async keepSeen(take: (manager: EntityManager) => Promise<Seen>): Promise<void> {
    await this.database.transaction(async (manager) => {
      const { deposits, releases } = await take(manager);
      await manager.query(
        // A deposit of an asset that was not configured when it was first seen has an owner now.
        `insert into observed_deposit (id, process, sequence, line) select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
         on conflict (id) do update set process = excluded.process, line = excluded.line where observed_deposit.process is null`,
        [
          deposits.map((d) => d.id),
          deposits.map((d) => d.process),
          deposits.map((d) => String(d.sequence)),
          deposits.map((d) => d.line),
        ],
      );
      await manager.query(
        'insert into observed_release (process, number, line, amount) select * from unnest($1::text[], $2::bigint[], $3::text[], $4::numeric[]) on conflict do nothing',
        [
          releases.map((r) => r.process),
          releases.map((r) => String(r.number)),
          releases.map((r) => r.line),
          releases.map((r) => String(r.amount)),
        ],
      );
      this.onStep('scan.before-commit');
    });
    this.onStep('scan.after-commit');
  }

  /** Where a scan stands now, in the transaction that keeps what it found. */
  async keepCursor(manager: EntityManager, scan: string, cursor: VaultCursor): Promise<void> {
    await manager.query(
      `insert into vault_cursor (chain, height, block_hash, next_sequence) values ($1, $2, $3, $4)
       on conflict (chain) do update set height = excluded.height, block_hash = excluded.block_hash, next_sequence = excluded.next_sequence`,
      [scan, String(cursor.height), cursor.blockHash, String(cursor.nextSequence)],
    );
  }

  /** Forgets deposits that are not on the chain any more and were not said yet. */
  async forgetDeposits(manager: EntityManager, ids: readonly Hex[]): Promise<void> {
    await manager.query('delete from observed_deposit where id = any($1) and item_id is null', [ids]);
  }

  /**
   * Takes back what was to be said of deposits, as far as the schedule is not known to hold it: the messages that say it are sent no more, and what else
   * was in them is said anew.
   */
  async unsayDeposits(manager: EntityManager, ids: readonly Hex[]): Promise<void> {
    await manager.query(
      `with unsent as (
         delete from outbox where slot is null and item_id in (select item_id from observed_deposit where id = any($1)) returning item_id)
       update observed_deposit d set item_id = null from unsent u where d.item_id = u.item_id`,
      [ids],
    );
    await this.forgetDeposits(manager, ids);
  }

  /** Deposits of a process not yet put into a message, by sequence. */
  async depositsToAttest(process: string, limit: number): Promise<{ id: string; line: string }[]> {
    return this.database.query(
      'select id, line from observed_deposit where process = $1 and item_id is null order by sequence limit $2',
      [process, limit],
    );
  }

  /** Ids among these of deposits of a process that this guardian has seen. */
  async depositsAmong(process: string, ids: readonly string[]): Promise<Set<string>> {
    const rows: { id: string }[] = await this.database.query(
      'select id from observed_deposit where process = $1 and id = any($2)',
      [process, ids],
    );
    return new Set(rows.map((r) => r.id));
  }

  async releasesToAttest(process: string, limit: number): Promise<{ number: string; line: string }[]> {
    return this.database.query(
      'select number, line from observed_release where process = $1 and item_id is null order by number limit $2',
      [process, limit],
    );
  }

  /** Numbers among these that this guardian has seen released. */
  async releasedAmong(process: string, numbers: readonly bigint[]): Promise<Set<bigint>> {
    const rows: { number: string }[] = await this.database.query(
      'select number from observed_release where process = $1 and number = any($2::bigint[])',
      [process, numbers.map(String)],
    );
    return new Set(rows.map((r) => BigInt(r.number)));
  }

  /** Puts a message into the outbox together with the marks that its contents are said. */
  async keepAttestation(
    kind: 'deposit' | 'release',
    process: string,
    keys: readonly string[],
    item: Item,
  ): Promise<void> {
    await this.database.transaction(async (manager) => {
      await insertOutbox(manager, process, item);
      if (kind === 'deposit')
        await manager.query('update observed_deposit set item_id = $1 where id = any($2)', [item.id, keys]);
      else
        await manager.query(
          'update observed_release set item_id = $1 where process = $2 and number = any($3::bigint[])',
          [item.id, process, keys],
        );
      this.onStep('attest.before-commit');
    });
    this.onStep('attest.after-commit');
  }

  /** What was signed in this epoch among these numbers: the digest of its content by number. */
  async signedAmong(process: string, epoch: bigint, numbers: readonly bigint[]): Promise<Map<bigint, string>> {
    const rows: { number: string; digest: string }[] = await this.database.query(
      'select number, digest from signed_release where process = $1 and epoch = $2 and number = any($3::bigint[])',
      [process, String(epoch), numbers.map(String)],
    );
    return new Map(rows.map((r) => [BigInt(r.number), r.digest]));
  }

  /**
   * Writes down what is signed, and the message that carries the signatures, before any of it leaves.
   * @throws DoubleSignRefused
   */
  async keepSigned(process: string, signed: readonly SignedRow[], item: Item): Promise<void> {
    await this.database.transaction(async (manager) => {
      for (const { number, epoch, digest } of signed) {
        await manager.query(
          'insert into signed_release (process, number, epoch, digest, item_id) values ($1, $2, $3, $4, $5) on conflict do nothing',
          [process, String(number), String(epoch), digest, item.id],
        );
        const rows: { digest: string }[] = await manager.query(
          'select digest from signed_release where process = $1 and number = $2 and epoch = $3',
          [process, String(number), String(epoch)],
        );
        if (rows[0]?.digest !== digest) throw new DoubleSignRefused(process, number, otherContent(epoch));
      }
      await insertOutbox(manager, process, item);
      this.onStep('sign.before-commit');
    });
    this.onStep('sign.after-commit');
  }

  /** Notes that a proposal is this guardian's own; false when it was before. */
  async keepProposed(process: string, id: Hex, item: Item): Promise<boolean> {
    const isNew = await this.database.transaction(async (manager) => {
      const rows: unknown[] = await manager.query(
        'insert into own_proposal (process, id) values ($1, $2) on conflict do nothing returning 1',
        [process, id],
      );
      if (rows.length > 0) await insertOutbox(manager, process, item);
      this.onStep('propose.before-commit');
      return rows.length > 0;
    });
    this.onStep('propose.after-commit');
    return isNew;
  }

  async hasProposed(process: string, id: Hex): Promise<boolean> {
    const rows: unknown[] = await this.database.query('select 1 from own_proposal where process = $1 and id = $2', [
      process,
      id,
    ]);
    return rows.length > 0;
  }

  async hasSignedProposal(process: string, id: Hex): Promise<boolean> {
    const rows: unknown[] = await this.database.query('select 1 from signed_proposal where process = $1 and id = $2', [
      process,
      id,
    ]);
    return rows.length > 0;
  }

  /** Of withdrawals among these that were ever signed in a proposal: the anchors they were signed under. */
  async anchorsAmong(process: string, numbers: readonly bigint[]): Promise<Map<bigint, string[]>> {
    const rows: { number: string; anchors: string[] }[] = await this.database.query(
      'select number, array_agg(anchor) as anchors from signed_anchor where process = $1 and number = any($2::bigint[]) group by number',
      [process, numbers.map(String)],
    );
    return new Map(rows.map((r) => [BigInt(r.number), r.anchors]));
  }

  /**
   * Writes down what is signed, under which anchor, and the message that carries the signatures, before any of it leaves. `voided` are the
   * anchors that can pay none of it any more. @throws DoubleSignRefused when a withdrawal was signed under any other
   */
  async keepProposalSigned(
    process: string,
    proposal: SignedProposal,
    voided: readonly string[],
    item: Item,
  ): Promise<void> {
    await this.database.transaction(async (manager) => {
      // Of two programs at work in one database by mistake the second one sees what the first has signed.
      await manager.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [process]);
      const [bound]: { number: string; anchor: string }[] = await manager.query(
        'select number, anchor from signed_anchor where process = $1 and number = any($2::bigint[]) and anchor <> $3 and anchor <> all($4) limit 1',
        [process, proposal.numbers.map(String), proposal.anchor, voided],
      );
      if (bound) throw new DoubleSignRefused(process, BigInt(bound.number), `under the anchor ${bound.anchor}`);
      await insertSigned(manager, process, [proposal]);
      await insertOutbox(manager, process, item);
      this.onStep('sign.before-commit');
    });
    this.onStep('sign.after-commit');
  }

  /** Takes back from the schedule what this guardian has signed: a database that was lost, or is an old copy, does not have it. */
  async noteProposalsSigned(process: string, proposals: readonly SignedProposal[]): Promise<void> {
    if (proposals.length > 0) await insertSigned(this.database.manager, process, proposals);
  }

  /** Puts a message into the outbox; the same message again changes nothing. */
  async keepMessage(process: string, item: Item): Promise<void> {
    await insertOutbox(this.database.manager, process, item);
  }

  /** Messages to these processes not yet seen in the schedule and not tried within the last `quietMs`, untried ones first. */
  async toSend(
    processes: readonly string[],
    quietMs: number,
    limit: number,
  ): Promise<{ item_id: string; item: Buffer }[]> {
    return this.database.query(
      `select item_id, item from outbox where process = any($1) and slot is null and (sent_at is null or sent_at < now() - $2 * interval '1 millisecond')
       order by sent_at nulls first limit $3`,
      [processes, quietMs, limit],
    );
  }

  /** The gateway has answered for this message, whatever it said: others go first before it is tried again. */
  async markTried(itemId: string): Promise<void> {
    await this.database.query('update outbox set sent_at = now() where item_id = $1', [itemId]);
  }

  /** The schedule holds these messages: they need no more sending. */
  async markSeen(process: string, seen: readonly { id: string; nonce: number }[]): Promise<void> {
    if (seen.length === 0) return;
    await this.database.query(
      'update outbox set slot = s.nonce from unnest($2::text[], $3::bigint[]) as s(id, nonce) where process = $1 and item_id = s.id and slot is null',
      [process, seen.map((s) => s.id), seen.map((s) => s.nonce)],
    );
  }

  /** Bytes of the messages to a process that its schedule does not hold yet. */
  async unseenBytes(process: string): Promise<number> {
    const rows: { n: string }[] = await this.database.query(
      'select coalesce(sum(octet_length(item)), 0) as n from outbox where process = $1 and slot is null',
      [process],
    );
    return Number(rows[0]?.n ?? 0);
  }

  /** Messages to these processes that their schedules do not hold yet. */
  async waiting(processes: readonly string[]): Promise<number> {
    const rows: { n: number }[] = await this.database.query(
      'select count(*)::int as n from outbox where process = any($1) and slot is null',
      [processes],
    );
    return rows[0]?.n ?? 0;
  }

  // --- what was accepted of the schedule

  async head(process: string): Promise<ScheduleHead | null> {
    const rows: { nonce: string; assignment: Buffer }[] = await this.database.query(
      'select nonce, assignment from schedule_entry where process = $1 order by nonce desc limit 1',
      [process],
    );
    if (!rows[0]) return null;
    const assignment = parseItem(rows[0].assignment);
    return {
      nonce: Number(rows[0].nonce),
      assignmentId: assignment.id,
      hashChain: tagOf(assignment, 'Hash-Chain'),
      timestamp: Number(tagOf(assignment, 'Timestamp')),
    };
  }

  /** A page is bounded in bytes as well, one entry at least: whoever posts large messages must not stop a restart. */
  async entries(process: string, fromNonce: number, limit: number): Promise<ScheduleEntry[]> {
    const rows: { nonce: string; assignment: Buffer; message: Buffer }[] = await this.database.query(
      `select nonce, assignment, message from (
         select nonce, assignment, message, row_number() over page as place, sum(octet_length(message)) over page as bytes
         from (select nonce, assignment, message from schedule_entry where process = $1 and nonce >= $2 order by nonce limit $3) as first
         window page as (order by nonce)
       ) as sized where bytes <= $4 or place = 1 order by nonce`,
      [process, fromNonce, limit, TAIL_PAGE_BYTES],
    );
    return rows.map((r) => ({
      process,
      nonce: Number(r.nonce),
      assignment: parseItem(r.assignment),
      message: parseItem(r.message),
    }));
  }

  async has(process: string, messageIds: readonly string[]): Promise<Set<string>> {
    const rows: { message_id: string }[] = await this.database.query(
      'select message_id from schedule_entry where process = $1 and message_id = any($2)',
      [process, messageIds],
    );
    return new Set(rows.map((r) => r.message_id));
  }

  async append(process: string, entries: readonly ScheduleEntry[]): Promise<void> {
    this.onStep('follow.before-keep');
    await this.database.query(
      'insert into schedule_entry (process, nonce, message_id, assignment, message) select $1, * from unnest($2::bigint[], $3::text[], $4::bytea[], $5::bytea[])',
      [
        process,
        entries.map((e) => e.nonce),
        entries.map((e) => e.message.id),
        entries.map((e) => e.assignment.raw),
        entries.map((e) => e.message.raw),
      ],
    );
    this.onStep('follow.after-keep');
  }

  async module(id: string): Promise<Buffer | null> {
    const rows: { item: Buffer }[] = await this.database.query('select item from module where id = $1', [id]);
    return rows[0]?.item ?? null;
  }

  async saveModule(id: string, raw: Buffer): Promise<void> {
    await this.database.query('insert into module (id, item) values ($1, $2) on conflict do nothing', [id, raw]);
  }
}

/** Puts a message into the outbox, within the transaction that makes it due. */
export async function insertOutbox(manager: EntityManager, process: string, item: Item): Promise<void> {
  await manager.query('insert into outbox (item_id, process, item) values ($1, $2, $3) on conflict do nothing', [
    item.id,
    process,
    item.raw,
  ]);
}

async function insertSigned(
  manager: EntityManager,
  process: string,
  proposals: readonly SignedProposal[],
): Promise<void> {
  await manager.query(
    'insert into signed_proposal (process, id, anchor) select $1, * from unnest($2::text[], $3::text[]) on conflict do nothing',
    [process, proposals.map((p) => p.id), proposals.map((p) => p.anchor)],
  );
  const bound = proposals.flatMap(({ anchor, numbers }) => numbers.map((number) => ({ number, anchor })));
  await manager.query(
    'insert into signed_anchor (process, number, anchor) select $1, * from unnest($2::bigint[], $3::text[]) on conflict do nothing',
    [process, bound.map((b) => String(b.number)), bound.map((b) => b.anchor)],
  );
}
