/** A process live: one server-sent event for each slot as it is evaluated, for a bounded number of readers, none of whom holds up another. */
import type { AoPipeline, Item } from '@isthmus/ao';
import type { MessageEvent } from '@nestjs/common';
import type { Request } from 'express';
import { Observable } from 'rxjs';
import { StreamPlaces } from '../api/stream-places.js';
import type { AoStore } from './ao-store.js';
import { slotView } from './process-view.js';
import type { AoSlotEvent } from './schemas.js';

const SLOTS_AT_ONCE = 100;
const HEARTBEAT_MS = 15_000;

export class ProcessFeed {
  private readonly places = new StreamPlaces('read the results of the process at /cu/results');
  private readonly wakers = new Map<string, Set<() => void>>();
  /** Reads under way: readers at the same slot share one. */
  private readonly reading = new Map<string, Promise<AoSlotEvent[]>>();

  constructor(
    private readonly pipeline: AoPipeline,
    private readonly store: AoStore,
  ) {
    pipeline.compute.onResults((process) => {
      for (const wake of this.wakers.get(process) ?? []) wake();
    });
  }

  /**
   * Slots of the process of this spawn after `last` (null: from now on). A client that reads too slowly is cut off and resumes by its last id.
   * Its error is a Problem `too-many-streams` when there is no place.
   */
  stream(spawn: Item, last: number | null, request: Request): Observable<MessageEvent> {
    const process = spawn.id;
    return new Observable<MessageEvent>((subscriber) => {
      const giveBack = this.places.take(request);
      let at = last;
      let busy = false;
      let again = false;
      const pump = async (): Promise<void> => {
        again = true;
        if (busy) return;
        busy = true;
        try {
          while (again && !subscriber.closed) {
            again = false;
            at ??= (await this.store.evaluated(process)) ?? -1;
            const slots = await this.read(spawn, at + 1);
            for (const data of slots) subscriber.next({ id: String(data.slot), type: 'slot', data });
            at = slots.at(-1)?.slot ?? at;
            again ||= slots.length > 0;
          }
        } catch (error) {
          subscriber.error(error);
        } finally {
          busy = false;
        }
      };
      const wake = () => void pump();
      const heartbeat = setInterval(() => {
        subscriber.next({ type: 'heartbeat', data: new Date().toISOString() });
        wake(); // another gateway on this database may have evaluated some
      }, HEARTBEAT_MS);
      this.enter(process, wake);
      wake();
      return () => {
        clearInterval(heartbeat);
        this.leave(process, wake);
        giveBack();
      };
    });
  }

  private enter(process: string, wake: () => void): void {
    const wakers = this.wakers.get(process) ?? new Set();
    this.wakers.set(process, wakers.add(wake));
  }

  private leave(process: string, wake: () => void): void {
    const wakers = this.wakers.get(process);
    wakers?.delete(wake);
    if (wakers?.size === 0) this.wakers.delete(process);
  }

  private read(spawn: Item, from: number): Promise<AoSlotEvent[]> {
    const key = `${spawn.id} ${from}`;
    const under = this.reading.get(key);
    if (under) return under;
    const reading = this.slots(spawn, from).finally(() => this.reading.delete(key));
    this.reading.set(key, reading);
    return reading;
  }

  /** Slots from one on that have their result, in order; both reads may give fewer than asked when they are large. */
  private async slots(spawn: Item, from: number): Promise<AoSlotEvent[]> {
    const process = spawn.id;
    const results = await this.pipeline.compute.results(process, from, SLOTS_AT_ONCE);
    if (results.length === 0) return [];
    const entries = await this.pipeline.scheduler.entries(process, from, results.length);
    return entries.flatMap((entry, i) => {
      const result = results[i];
      return result?.nonce === entry.nonce ? [slotView(entry, result, spawn)] : [];
    });
  }
}
