/** The memo behind each payment of a release: which withdrawal it pays. */
import { isArweaveAddress, MAX_NUMBER } from '@isthmus/bridge';

export interface ReleaseName {
  /** Token process. */
  process: string;
  /** The withdrawal's number there. */
  number: bigint;
}

export function releaseMemo({ process, number }: ReleaseName): Uint8Array {
  return Buffer.from(`isthmus:${process}:${number}`);
}

/** Which withdrawal a memo names; null for every other text. */
export function readReleaseMemo(bytes: Uint8Array): ReleaseName | null {
  const text = Buffer.from(bytes.subarray(0, 100)).toString('latin1');
  const [, process, digits] = /^isthmus:([A-Za-z0-9_-]{43}):([1-9][0-9]{0,18})$/.exec(text) ?? [];
  const number = BigInt(digits ?? 0);
  return isArweaveAddress(process) && number <= MAX_NUMBER ? { process, number } : null;
}
