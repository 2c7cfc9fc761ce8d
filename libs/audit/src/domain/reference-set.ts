/** A set of deposits' references: those a vault numbers cost an eighth of a byte each, others what a digest takes. */
import { createHash } from 'node:crypto';
import { NumberSet } from './number-set.js';

/** A contract numbers its deposits from 1. */
const SEQUENCE = /^eip155:[0-9]+:0x[0-9a-fA-F]{40}:([1-9][0-9]{0,18})$/;
/** Bytes of a digest: no two references of all there will be come to the same. */
const DIGEST_BYTES = 16;

/** For the references of one home chain's vaults. */
export class ReferenceSet {
  private readonly numbers = new NumberSet();
  private readonly digests = new Set<string>();

  has(reference: string): boolean {
    const number = numberIn(reference);
    return number === null ? this.digests.has(digestOf(reference)) : this.numbers.has(number);
  }

  add(reference: string): void {
    const number = numberIn(reference);
    if (number === null) this.digests.add(digestOf(reference));
    else this.numbers.add(number);
  }
}

function numberIn(reference: string): bigint | null {
  const [, digits] = SEQUENCE.exec(reference) ?? [];
  return digits === undefined ? null : BigInt(digits);
}

const digestOf = (reference: string): string =>
  createHash('sha256').update(reference).digest().subarray(0, DIGEST_BYTES).toString('latin1');
