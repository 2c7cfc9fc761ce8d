export type ArweaveErrorCode =
  /** No answer, a late one, or one that says it is away (429, 5xx). */
  | 'unreachable'
  /** It says no to what was asked; the message repeats why. */
  | 'refused'
  /** It takes a part of a transaction's data not now; the transaction itself it knows. */
  | 'not-taken'
  /** An answer that is none of the shape asked for. */
  | 'malformed'
  /** More bytes than were asked for. */
  | 'too-large'
  /** It asks for more than the wallet may pay. */
  | 'too-dear';

/** What went wrong between this machine and an Arweave gateway or a bundling service. */
export class ArweaveError extends Error {
  constructor(
    readonly code: ArweaveErrorCode,
    message: string,
    /** Status of the answer, if there was one. */
    readonly status: number | null = null,
  ) {
    super(message);
    this.name = 'ArweaveError';
  }
}
