/** A request the node refuses: with the status and the very text Arweave's nodes answer; why, for whoever develops, stands beside it. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    /** The body of the answer. */
    readonly said: string | { error: string },
    reason = typeof said === 'string' ? said : said.error,
  ) {
    super(reason);
    this.name = 'Refused';
  }
}

/** What a node says of every transaction it cannot verify. */
export const unverified = (reason: string): Refused => new Refused(400, 'Transaction verification failed.', reason);
