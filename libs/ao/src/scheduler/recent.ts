/**
 * The newest entries of all schedules, as they were placed here: who follows a schedule reads them without asking the database. Bounded in
 * bytes; the oldest go first. Only entries whose place is durable are put in, so what it gives is never taken back. Those that came last are
 * kept as they are, for who goes on at once; older ones as bytes outside the heap, and read again when they are asked for: what a collection
 * of garbage takes goes by the number of objects that live.
 */
import { PackedEntries } from '../compute/packed.js';
import type { ScheduleEntry } from '../types.js';

/** What is kept of an entry besides its bytes: the objects and places in maps that find it, measured at some 350 bytes. */
const OVERHEAD = 512;
/** Entries of the last moment, kept as they are: who follows takes them within that. What lives longer is moved to the old of the heap first. */
const AT_ONCE = 64;
/** Entries that become bytes together, in one piece of memory. */
const PIECE = 32;
/** An entry of more bytes than this stays as it is: its objects are little beside them, and a piece of memory lives until its last entry goes. */
const LARGE = 16 * 1024;

/** Where the bytes of an entry are. */
interface Packed {
  piece: Buffer;
  at: number;
}

interface Kept {
  readonly process: string;
  readonly nonce: number;
  /** Id of its message. */
  readonly id: string;
  readonly bytes: number;
  form: ScheduleEntry | Packed;
}

interface Schedule {
  entries: Map<number, Kept>;
  /** Slots by message: a message has one place in a schedule. */
  slots: Map<string, number>;
}

export class RecentEntries {
  private readonly schedules = new Map<string, Schedule>();
  /** In the order they came; what is before `first` is gone, what is before `whole` is packed. */
  private queue: Kept[] = [];
  private first = 0;
  private whole = 0;
  private bytes = 0;

  constructor(private readonly maxBytes: number) {}

  add(entry: ScheduleEntry): void {
    const { process, nonce, assignment, message } = entry;
    const bytes = assignment.raw.length + message.raw.length;
    const kept: Kept = { process, nonce, id: message.id, bytes, form: entry };
    const schedule = this.schedules.get(process) ?? { entries: new Map(), slots: new Map() };
    this.schedules.set(process, schedule);
    schedule.entries.set(nonce, kept);
    schedule.slots.set(kept.id, nonce);
    this.queue.push(kept);
    this.bytes += bytes + OVERHEAD;
    while (this.bytes > this.maxBytes) this.dropFirst();
    if (this.queue.length - this.whole >= AT_ONCE + PIECE) this.pack();
    if (this.first > 1000 && this.first * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.first);
      this.whole -= this.first;
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
      const kept = schedule?.entries.get(nonce + found.length);
      if (!kept) break;
      if (found.length >= 2 && bytes >= maxBytes) break;
      const entry = entryOf(kept);
      found.push(entry);
      bytes += entry.message.raw.length;
    }
    return found;
  }

  /** The oldest of those that are whole become bytes. */
  private pack(): void {
    const old = this.queue
      .slice(this.whole, this.whole + PIECE)
      .flatMap((kept) => ('message' in kept.form && kept.bytes <= LARGE ? [{ kept, entry: kept.form }] : []));
    const piece = PackedEntries.of(old.map(({ entry }) => entry));
    let at = 0;
    for (const { kept } of old) {
      kept.form = { piece, at };
      at = PackedEntries.end(piece, at, 1);
    }
    this.whole += PIECE;
  }

  private dropFirst(): void {
    const oldest = this.queue[this.first] as Kept;
    this.first += 1;
    this.whole = Math.max(this.whole, this.first);
    this.bytes -= oldest.bytes + OVERHEAD;
    const schedule = this.schedules.get(oldest.process);
    if (schedule?.entries.get(oldest.nonce) === oldest) {
      schedule.entries.delete(oldest.nonce);
      if (schedule.slots.get(oldest.id) === oldest.nonce) schedule.slots.delete(oldest.id);
    }
    if (schedule?.entries.size === 0) this.schedules.delete(oldest.process);
  }
}

function entryOf({ process, form }: Kept): ScheduleEntry {
  return 'message' in form ? form : PackedEntries.at(form.piece, form.at, process);
}
