/** State changes as server-sent events: durable ones from a point on, then live ones, for a bounded number of readers. */
import type { MessageEvent } from '@nestjs/common';
import type { Response } from 'express';
import { Observable } from 'rxjs';
import { committed, type StateEvent, type TransferStore } from '../transfers/transfer-store.js';
import { Problem } from './problem.js';
import type { LiveEvent } from './schemas.js';

const MAX_STREAMS = 200;
const EVENTS_AT_ONCE = 500;
const HEARTBEAT_MS = 15_000;
const MAX_UNREAD_BYTES = 1024 * 1024;

export class LiveEvents {
  private streams = 0;

  constructor(private readonly store: TransferStore) {}

  /**
   * Events after `from` (null: from now on) of one transfer or of all. A client that reads too slowly is cut off and resumes by its last id.
   * @throws Problem `too-many-streams`
   */
  stream(transfer: string | null, from: bigint | null, response: Response): Observable<MessageEvent> {
    if (this.streams >= MAX_STREAMS)
      throw new Problem('too-many-streams', 'Try again in a moment, or read /v1/transfers.');
    return new Observable<MessageEvent>((subscriber) => {
      this.streams += 1;
      let at = from;
      let busy = false;
      let again = false;
      const pump = async (): Promise<void> => {
        again = true;
        if (busy) return;
        busy = true;
        try {
          while (again) {
            again = false;
            at ??= await this.store.lastEvent();
            const events = await this.store.events(at, transfer, EVENTS_AT_ONCE);
            for (const event of events) subscriber.next(messageOf(event));
            at = events.length > 0 ? BigInt((events.at(-1) as StateEvent).id) : at;
            again ||= events.length === EVENTS_AT_ONCE;
            if (response.writableLength > MAX_UNREAD_BYTES) subscriber.complete();
          }
        } catch (error) {
          subscriber.error(error);
        } finally {
          busy = false;
        }
      };
      const onEvents = () => void pump();
      const heartbeat = setInterval(() => {
        subscriber.next({ type: 'heartbeat', data: new Date().toISOString() });
        onEvents(); // another gateway on this database may have written some
      }, HEARTBEAT_MS);
      committed.on('events', onEvents);
      onEvents();
      return () => {
        this.streams -= 1;
        clearInterval(heartbeat);
        committed.off('events', onEvents);
      };
    });
  }
}

function messageOf({ id, transfer, state, at }: StateEvent): MessageEvent {
  const data: LiveEvent = { transfer, state, at: at.toISOString() };
  return { id, type: 'transfer', data };
}
