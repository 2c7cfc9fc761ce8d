export type ItemErrorCode = 'bad-item' | 'bad-tags' | 'bad-signature' | 'unknown-signature-type' | 'too-large';

/** Bytes that are no acceptable data item; the message says why. */
export class ItemError extends Error {
  constructor(
    readonly code: ItemErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ItemError';
  }
}
