/**
 * The newest entries of all schedules, as they were placed here: who follows a schedule reads them without asking the database. Bounded in
 * bytes; the oldest go first. Only entries whose place is durable are put in, so what it gives is never taken back.
 */
import type { ScheduleEntry } from '../types.js';

/** An entry's objects take about this much besides its bytes. */
const OVERHEAD = 4096;

const sizeOf = ({ assignment, message }: ScheduleEntry): number =>
  assignment.raw.length + message.raw.length + OVERHEAD;

interface Schedule {
  entries: Map<number, ScheduleEntry>;
  /** Slots by message: a message has one place in a schedule. */
  slots: Map<string, number>;
}

export class RecentEntries {
  private readonly schedules = new Map<string, Schedule>();
  /** In the order they came; what is before `first` is gone. */
  private queue: ScheduleEntry[] = [];
  private first = 0;
  private bytes = 0;

  constructor(private readonly maxBytes: number) {}

  add(entry: ScheduleEntry): void {
    const schedule = this.schedules.get(entry.process) ?? { entries: new Map(), slots: new Map() };
    this.schedules.set(entry.process, schedule);
    schedule.entries.set(entry.nonce, entry);
    schedule.slots.set(entry.message.id, entry.nonce);
    this.queue.push(entry);
    this.bytes += sizeOf(entry);
    while (this.bytes > this.maxBytes) this.dropFirst();
    if (this.first > 1000 && this.first * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.first);
      this.first = 0;
    }
  }

  /** Slot of a message, or null when its entry is not at hand. */
  slotOf(process: string, message: string): number | null {
    return this.schedules.get(process)?.slots.get(message) ?? null;
  }

  /** Entries from a slot on without a gap, as many as are asked for and known, two at least however large: there may be more. */
  from(process: string, nonce: number, limit: number, maxBytes: number): ScheduleEntry[] {
    const schedule = this.schedules.get(process);
    const found: ScheduleEntry[] = [];
    let bytes = 0;
    while (found.length < limit) {
      const entry = schedule?.entries.get(nonce + found.length);
      if (!entry) break;
      if (found.length >= 2 && bytes >= maxBytes) break;
      found.push(entry);
      bytes += entry.message.raw.length;
    }
    return found;
  }

  private dropFirst(): void {
    const oldest = this.queue[this.first] as ScheduleEntry;
    this.first += 1;
    this.bytes -= sizeOf(oldest);
    const schedule = this.schedules.get(oldest.process);
    if (schedule?.entries.get(oldest.nonce) === oldest) {
      schedule.entries.delete(oldest.nonce);
      if (schedule.slots.get(oldest.message.id) === oldest.nonce) schedule.slots.delete(oldest.message.id);
    }
    if (schedule?.entries.size === 0) this.schedules.delete(oldest.process);
  }
}
