/** Refusals all transactions share. */
import { Refused } from '../refused.js';

/** What a node says of every transaction it cannot verify. */
export const unverified = (reason: string): Refused => new Refused(400, 'Transaction verification failed.', reason);
