/** A request the node refuses: with the status and the very text such nodes answer; why, for whoever develops, stands beside it. */
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
