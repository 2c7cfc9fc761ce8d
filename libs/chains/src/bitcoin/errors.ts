/** Refusals of what is Bitcoin's: a stable code for programs, a message that says what to do. */

export type BitcoinErrorCode =
  | 'bad-address'
  | 'bad-bytes'
  | 'bad-header'
  | 'unknown-parent'
  | 'bad-block'
  | 'bad-proof'
  | 'bad-terms'
  | 'bad-recovery-file'
  | 'bad-memo'
  | 'bad-batch'
  | 'bad-signature'
  | 'not-enough-coins'
  | 'fee-limit'
  | 'chain-too-long';

/** What breaks a rule. Nothing has moved when it is thrown. */
export class BitcoinError extends Error {
  constructor(
    readonly code: BitcoinErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'BitcoinError';
  }
}
