export type SettlerErrorCode =
  /** The wallet has not enough for the next bundle. */
  | 'wallet-short'
  /** Arweave holds bundles of this scheduler that this database has never heard of: it is an old copy. */
  | 'old-database'
  /** The gateway's index does not show what is known to be on Arweave: it cannot tell whether there is more. */
  | 'index-behind'
  /** What a sealed bundle is made of has changed since. */
  | 'rows-changed'
  /** The gateway gives other bytes than those that were posted. */
  | 'other-bytes'
  /** The gateway no longer gives bundles that were final. */
  | 'bundle-lost'
  /** What is to be settled waits too long. */
  | 'behind';

/** Settlement cannot go on by itself; the message says what to do. The bridge goes on. */
export class SettlerError extends Error {
  constructor(
    readonly code: SettlerErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'SettlerError';
  }
}
