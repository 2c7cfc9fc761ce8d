/** State changes as server-sent events: durable ones from a point on, then live ones, for a bounded number of readers. */
import type { MessageEvent } from '@nestjs/common';
import type { Request } from 'express';
import { Observable } from 'rxjs';
import { committed, type StateEvent, type TransferStore } from '../transfers/transfer-store.js';
import type { LiveEvent } from './schemas.js';
import { StreamPlaces } from './stream-places.js';

const EVENTS_AT_ONCE = 500;
const HEARTBEAT_MS = 15_000;

export class LiveEvents {
  private readonly places = new StreamPlaces('read /v1/transfers');

  constructor(private readonly store: TransferStore) {}

  /**
   * Events after `from` (null: from now on) of one transfer or of all. A client that reads too slowly is cut off and resumes by its last id.
   * Its error is a Problem `too-many-streams` when there is no place.
   */
  stream(transfer: string | null, from: bigint | null, request: Request): Observable<MessageEvent> {
    return new Observable<MessageEvent>((subscriber) => {
      const leave = this.places.take(request);
      let at = from;
      let busy = false;
      let again = false;
      const pump = async (): Promise<void> => {
        again = true;
        if (busy) return;
        busy = true;
        try {
          while (again && !subscriber.closed) {
            again = false;
            at ??= await this.store.lastEvent();
            const events = await this.store.events(at, transfer, EVENTS_AT_ONCE);
            for (const event of events) subscriber.next(messageOf(event));
            at = events.length > 0 ? BigInt((events.at(-1) as StateEvent).id) : at;
            again ||= events.length === EVENTS_AT_ONCE;
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
        leave();
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
