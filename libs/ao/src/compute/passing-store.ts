/** For a replica that follows a process once and keeps nothing of it: entries until they are evaluated, and of all others the ids of their messages. */
import { tagOf } from '../items/tags.js';
import type { ScheduleHead } from '../scheduler/assignment.js';
import type { ScheduleEntry } from '../types.js';
import type { ReplicaStore } from './replica.js';

export class PassingStore implements ReplicaStore {
  private last: ScheduleHead | null = null;
  private waiting: ScheduleEntry[] = [];
  private readonly ids = new Set<string>();

  head(): Promise<ScheduleHead | null> {
    return Promise.resolve(this.last);
  }

  entries(_process: string, fromNonce: number, limit: number): Promise<ScheduleEntry[]> {
    this.waiting = this.waiting.filter((entry) => entry.nonce >= fromNonce);
    return Promise.resolve(this.waiting.slice(0, limit));
  }

  has(_process: string, messages: readonly string[]): Promise<ReadonlySet<string>> {
    return Promise.resolve(new Set(messages.filter((id) => this.ids.has(id))));
  }

  append(_process: string, entries: readonly ScheduleEntry[]): Promise<void> {
    for (const entry of entries) {
      this.waiting.push(entry);
      this.ids.add(entry.message.id);
      this.last = {
        nonce: entry.nonce,
        assignmentId: entry.assignment.id,
        hashChain: tagOf(entry.assignment, 'Hash-Chain'),
        timestamp: Number(tagOf(entry.assignment, 'Timestamp')),
      };
    }
    return Promise.resolve();
  }

  module(_id: string): Promise<Buffer | null> {
    return Promise.resolve(null);
  }

  saveModule(_id: string, _raw: Buffer): Promise<void> {
    return Promise.resolve();
  }
}
