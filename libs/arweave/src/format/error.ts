/** Why bytes are no settled bundle, in one word each. */
export type SettlementErrorCode =
  /** No bundle of items at all, or larger than one may be. */
  | 'not-a-bundle'
  /** Its first item is no seal. */
  | 'no-seal'
  /** A seal that is not written in the one way there is. */
  | 'bad-seal'
  /** More or fewer items than the seal counts. */
  | 'wrong-count'
  /** The items are not those that were sealed, or in another order. */
  | 'wrong-digest'
  /** An item of a range is not the assignment of its slot, or not by the seal's key. */
  | 'wrong-assignment'
  /** A message is not the one its assignment names. */
  | 'wrong-message'
  /** An assignment does not build on the one before it. */
  | 'wrong-hash-chain'
  /** A checkpoint that is not what its tags say. */
  | 'bad-checkpoint';

/** Bytes that are no settled bundle, or no part of one; `position` is the item in the bundle where that is known. */
export class SettlementError extends Error {
  constructor(
    readonly code: SettlementErrorCode,
    message: string,
    readonly position: number | null = null,
  ) {
    super(message);
    this.name = 'SettlementError';
  }
}
