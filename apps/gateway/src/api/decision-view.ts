/** A decision as the API shows it. */
import type { DecisionRow } from '../transfers/decision-store.js';

export interface DecisionView {
  asset: string;
  process: string;
  /** Number of the decision in its process, from 1. */
  nonce: string;
  /** What was decided, as in the protocol; null while it is only voted on. */
  line: string | null;
  appliedAt: string | null;
  /** The AO message that completed the quorum, and its slot. */
  message: string | null;
  slot: number | null;
  /** Whether the vault is as decided; `superseded` when a later decision speaks of the same. */
  vault: 'waiting' | 'done' | 'superseded' | null;
  /** The newest voice of each guardian. */
  votes: { guardian: string; line: string; signed: boolean; message: string; slot: number; at: string }[];
}

export function decisionView(asset: string, row: DecisionRow): DecisionView {
  return {
    asset,
    process: row.process,
    nonce: row.nonce,
    line: row.line,
    appliedAt: row.applied_at?.toISOString() ?? null,
    message: row.message,
    slot: row.slot === null ? null : Number(row.slot),
    vault: row.vault,
    votes: row.votes.map(({ guardian, line, signature, message, slot, at }) => ({
      guardian,
      line,
      signed: signature !== null,
      message,
      slot,
      at: new Date(at).toISOString(),
    })),
  };
}
