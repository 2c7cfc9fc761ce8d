/** Why a replay could not be done; that something is wrong with what was settled is a `SettlementFinding` instead. */
export type ReplayErrorCode =
  /** Nothing of this scheduler is shown. */
  | 'nothing-settled'
  /** The database to rebuild into has something in it. */
  | 'not-empty'
  /** A tail cannot be had, or is no tail. */
  | 'bad-tail'
  /** What is asked for cannot be done with what was settled. */
  | 'bad-request';

export class ReplayError extends Error {
  constructor(
    readonly code: ReplayErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ReplayError';
  }
}
