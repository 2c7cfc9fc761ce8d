/** Live streams: so many at once, and so many of one client; this machine's own readers are bounded together only. */
import { clientOf } from '@isthmus/ao';
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
  private taken = 0;
  private readonly clients = new Map<string, number>();

  constructor(
    private readonly instead: string,
    private readonly most = MOST,
    private readonly mostOfOne = MOST_OF_ONE,
  ) {}

  /** Takes a place; gives what gives it back, once. @throws Problem `too-many-streams` */
  take(request: Request): () => void {
    const client = isOurs(request) ? null : clientOf(request.ip ?? '');
    const own = client === null ? 0 : (this.clients.get(client) ?? 0);
    if (this.taken >= this.most || own >= this.mostOfOne)
      throw new Problem('too-many-streams', `Try again in a moment, or ${this.instead}.`);
    this.taken += 1;
    if (client !== null) this.clients.set(client, own + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.taken -= 1;
      if (client !== null) this.leave(client);
    };
  }

  private leave(client: string): void {
    const left = (this.clients.get(client) ?? 0) - 1;
    if (left > 0) this.clients.set(client, left);
    else this.clients.delete(client);
  }
}
