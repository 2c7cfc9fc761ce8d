/**
 * Who may change what only an operator may: whoever shows the operator's key, a file the gateway is configured with. Coming from this
 * machine is not enough: whatever stands before a gateway (a proxy, a page in a browser) comes from there too.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { Problem } from '../api/problem.js';

const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();

export class Operator {
  private readonly expected: Buffer | null;

  /** @param key what the operator shows; null when there is none, and nobody may */
  constructor(key: string | null) {
    this.expected = key === null ? null : hashOf(key);
  }

  /** @throws Problem `forbidden`, `unauthorized` */
  admit(authorization: string | undefined): void {
    if (this.expected === null)
      throw new Problem(
        'forbidden',
        'This gateway has no operator’s key: make one with "isthmus keys operator" and name its file as operatorKeyFile in the configuration.',
      );
    const shown = /^Bearer (\S{1,200})$/i.exec(authorization ?? '')?.[1];
    if (shown === undefined || !timingSafeEqual(hashOf(shown), this.expected))
      throw new Problem('unauthorized', 'Show the operator’s key: authorization: Bearer <what operatorKeyFile holds>.');
  }
}
