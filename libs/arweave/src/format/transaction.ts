/** The tags of what carries a bundle on Arweave (a transaction, or an item of a bundling service), by which it is found. They prove nothing: the seal does. */
import type { Tag } from '@isthmus/ao';
import { APP_NAME } from './seal.js';

/** Anybody writes tags, and what they name is shown to people. */
const SEAL_ID = /^[A-Za-z0-9_-]{43}$/;

export interface BundleLabel {
  /** Address of the key that signs seals and assignments. */
  scheduler: string;
  sequence: number;
  /** Id of the seal. */
  seal: string;
}

export function transactionTags({ scheduler, sequence, seal }: BundleLabel): Tag[] {
  return [
    { name: 'Bundle-Format', value: 'binary' },
    { name: 'Bundle-Version', value: '2.0.0' },
    { name: 'App-Name', value: APP_NAME },
    { name: 'Isthmus-Scheduler', value: scheduler },
    { name: 'Isthmus-Sequence', value: String(sequence) },
    { name: 'Isthmus-Seal', value: seal },
  ];
}

/** What the tags of a transaction say it carries; null when that is no bundle of settlement. */
export function readTransactionTags(tags: readonly Tag[]): BundleLabel | null {
  const value = (name: string): string => tags.find((t) => t.name === name)?.value ?? '';
  const label = {
    scheduler: value('Isthmus-Scheduler'),
    sequence: Number(value('Isthmus-Sequence')),
    seal: value('Isthmus-Seal'),
  };
  const said =
    value('App-Name') === APP_NAME &&
    value('Bundle-Format') === 'binary' &&
    value('Bundle-Version') === '2.0.0' &&
    label.scheduler !== '' &&
    SEAL_ID.test(label.seal) &&
    value('Isthmus-Sequence') === String(label.sequence) &&
    Number.isSafeInteger(label.sequence) &&
    label.sequence >= 1;
  return said ? label : null;
}
