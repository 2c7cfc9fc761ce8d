/** Live streams: so many at once, and so many of one client; this machine's own readers are bounded together only. */
import { clientOf, Shares } from '@isthmus/ao';
import type { Request } from 'express';
import { isOurs } from './origin.js';
import { Problem } from './problem.js';

/** Streams in all: each costs a read of whatever is new. */
const MOST = 200;
/** Of one client: a page has one or two, and a customer's address has several pages. */
const MOST_OF_ONE = 20;
/** Characters of events that wait for a reader before it is cut off; it resumes by the last it has read. */
export const MAX_UNREAD = 1024 * 1024;

export class StreamPlaces {
  private readonly places = new Shares(MOST, MOST_OF_ONE);

  constructor(private readonly instead: string) {}

  /** Takes a place; gives what gives it back, once. @throws Problem `too-many-streams` */
  take(request: Request): () => void {
    const client = isOurs(request) ? null : clientOf(request.ip ?? '');
    if (!this.places.take(client, 1))
      throw new Problem('too-many-streams', `Try again in a moment, or ${this.instead}.`);
    let given = false;
    return () => {
      if (!given) this.places.give(client, 1);
      given = true;
    };
  }
}
