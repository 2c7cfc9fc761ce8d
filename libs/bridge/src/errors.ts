/** Refusals of the bridge's rules: a stable code for programs, a message that says what to do. */

export type BridgeErrorCode =
  | 'bad-amount'
  | 'bad-address'
  | 'bad-tags'
  | 'bad-reference'
  | 'bad-line'
  | 'bad-signature'
  | 'bad-terms'
  | 'bad-process'
  | 'bad-transition';

/** A value that breaks a rule of the protocol. Nothing has moved when it is thrown. */
export class BridgeError extends Error {
  constructor(
    readonly code: BridgeErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'BridgeError';
  }
}
