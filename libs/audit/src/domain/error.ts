/** What keeps an audit from being made: nothing is known to be wrong, and nothing is known to be right. */

export type AuditErrorCode =
  /** A source does not answer, or refuses. */
  | 'unreachable'
  /** Sources say different things of the same. */
  | 'sources-differ'
  /** Something final is no longer, or deposits are missing among the logs shown. */
  | 'incomplete'
  /** What was shown is not what the protocol writes. */
  | 'malformed'
  /** The schedule does not check out. */
  | 'bad-schedule'
  /** Slot and height asked for are not of one time. */
  | 'not-of-one-time'
  /** What was asked for makes no audit. */
  | 'bad-request';

export class AuditError extends Error {
  constructor(
    readonly code: AuditErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'AuditError';
  }
}
