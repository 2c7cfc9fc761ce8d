/** Decisions of the quorum as the index keeps them: who said what in which message, what was applied, and what the vault has made of it. */
import { parseDecision, subjectWords } from '@isthmus/bridge';
import type { DataSource, EntityManager } from 'typeorm';
import type { Hex } from 'viem';

export interface DecisionPlaceRow {
  process: string;
  nonce: bigint;
  message: string;
  slot: number;
  at: Date;
}
export type VoteRow = DecisionPlaceRow & { guardian: Hex } & ({ line: string } | { signature: Hex });
export type AppliedRow = DecisionPlaceRow & { line: string };

/** A decision the vault has not carried out yet, with its signatures so far. */
export interface WaitingDecision {
  process: string;
  nonce: bigint;
  line: string;
  signatures: Hex[];
}

/** One decision as it is shown. */
export interface DecisionRow {
  process: string;
  nonce: string;
  line: string | null;
  message: string | null;
  slot: string | null;
  applied_at: Date | null;
  vault: 'waiting' | 'done' | 'superseded' | null;
  votes: { guardian: Hex; line: string; signature: Hex | null; message: string; slot: number; at: string }[];
}

export class DecisionStore {
  constructor(private readonly database: DataSource) {}

  async addVote(manager: EntityManager, vote: VoteRow): Promise<void> {
    const { process, nonce, guardian, message, slot, at } = vote;
    const [table, column, said] =
      'signature' in vote ? ['decision_signature', 'signature', vote.signature] : ['decision_vote', 'line', vote.line];
    await manager.query(
      `insert into ${table} (process, nonce, guardian, ${column}, message, slot, at) values ($1, $2, $3, $4, $5, $6, $7)
       on conflict (process, nonce, guardian) do update
         set ${column} = excluded.${column}, message = excluded.message, slot = excluded.slot, at = excluded.at`,
      [process, String(nonce), guardian, said, message, slot, at],
    );
  }

  /** Records what was applied; an earlier one of the same subject that still waits has nothing to wait for any more. */
  async addApplied(manager: EntityManager, { process, nonce, line, message, slot, at }: AppliedRow): Promise<void> {
    await manager.query(
      `update decision set vault = 'superseded' where process = $1 and vault = 'waiting' and split_part(line, ' ', 1) = any($2)`,
      [process, subjectWords(parseDecision(line).kind)],
    );
    await manager.query(
      'insert into decision (process, nonce, line, message, slot, applied_at) values ($1, $2, $3, $4, $5, $6) on conflict do nothing',
      [process, String(nonce), line, message, slot, at],
    );
  }

  /** Applied decisions of these processes that have signatures for the vault and are not carried out there. */
  async waiting(processes: readonly string[], limit: number): Promise<WaitingDecision[]> {
    const rows: { process: string; nonce: string; line: string; signatures: Hex[] }[] = await this.database.query(
      `select d.process, d.nonce, d.line, array_agg(s.signature order by s.slot, s.guardian) as signatures
       from decision d join decision_signature s on s.process = d.process and s.nonce = d.nonce
       where d.vault = 'waiting' and d.process = any($1)
       group by d.process, d.nonce, d.line, d.applied_at order by d.applied_at, d.process limit $2`,
      [processes, limit],
    );
    return rows.map((r) => ({ ...r, nonce: BigInt(r.nonce) }));
  }

  async done(process: string, nonce: bigint): Promise<void> {
    await this.database.query(
      `update decision set vault = 'done' where process = $1 and nonce = $2 and vault = 'waiting'`,
      [process, String(nonce)],
    );
  }

  /** The newest decisions of a process, voted on or applied, newest first. */
  list(process: string, limit: number): Promise<DecisionRow[]> {
    return this.database.query(
      `select v.process, v.nonce, d.line, d.message, d.slot, d.applied_at, d.vault,
         json_agg(json_build_object('guardian', v.guardian, 'line', v.line, 'signature', v.signature, 'message', v.message, 'slot', v.slot, 'at', v.at) order by v.slot, v.guardian) as votes
       from (
         select coalesce(v.process, s.process) as process, coalesce(v.nonce, s.nonce) as nonce, coalesce(v.guardian, s.guardian) as guardian,
           -- who signs what is decided without having voted says the same
           coalesce(v.line, (select line from decision a where a.process = s.process and a.nonce = s.nonce)) as line,
           s.signature, coalesce(v.message, s.message) as message, coalesce(v.slot, s.slot) as slot, coalesce(v.at, s.at) as at
         from decision_vote v full join decision_signature s on s.process = v.process and s.nonce = v.nonce and s.guardian = v.guardian
       ) v left join decision d on d.process = v.process and d.nonce = v.nonce
       where v.process = $1 group by v.process, v.nonce, d.line, d.message, d.slot, d.applied_at, d.vault order by v.nonce desc limit $2`,
      [process, limit],
    );
  }
}
