/** A decision as the API shows it. */
import type { DecisionRow } from '../transfers/decision-store.js';
import type { DecisionView } from './schemas.js';

export type { DecisionView };

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
