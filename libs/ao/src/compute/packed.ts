/**
 * Entries of a schedule as Postgres puts them together and threads pass them on: in one piece of bytes, read only where they are evaluated.
 * Each is its slot (8 bytes), then the length (4 bytes, big-endian as Postgres sends) and bytes of its assignment, and of its message.
 */
import { parseItem } from '../items/item.js';
import type { ScheduleEntry } from '../types.js';

/** SQL for one entry's bytes, from the columns `nonce`, `item` and `message`. */
export const PACKED_ENTRY =
  'int8send(nonce) || int4send(octet_length(item)) || item || int4send(octet_length(message)) || message';

/** Reads packed entries one after another; `at` is where the next one begins. @throws RangeError when the bytes are cut short */
export class PackedEntries {
  at = 0;

  constructor(
    private readonly bytes: Buffer,
    private readonly process: string,
  ) {}

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  next(): ScheduleEntry {
    const nonce = Number(this.bytes.readBigInt64BE(this.at));
    this.at += 8;
    const [assignment, message] = [parseItem(this.part()), parseItem(this.part())];
    return { process: this.process, nonce, assignment, message };
  }

  /** The entry of a process that begins at this place. */
  static at(bytes: Buffer, at: number, process: string): ScheduleEntry {
    const reader = new PackedEntries(bytes, process);
    reader.at = at;
    return reader.next();
  }

  /** Packs entries; whose they are is not part of it. */
  static of(entries: readonly ScheduleEntry[]): Buffer {
    const size = entries.reduce(
      (sum, { assignment, message }) => sum + 16 + assignment.raw.length + message.raw.length,
      0,
    );
    const packed = Buffer.allocUnsafeSlow(size); // kept for long, of its own memory
    let at = 0;
    for (const { nonce, assignment, message } of entries) {
      at = packed.writeBigInt64BE(BigInt(nonce), at);
      for (const { raw } of [assignment, message]) {
        at = packed.writeUInt32BE(raw.length, at);
        at += raw.copy(packed, at);
      }
    }
    return packed;
  }

  /** Where the piece ends that begins at `from` and has about `size` bytes: behind an entry, one at least. */
  static end(bytes: Buffer, from: number, size: number): number {
    let at = from;
    while (at < bytes.length && (at === from || at - from < size)) {
      at += 8;
      for (let part = 0; part < 2; part += 1) at += 4 + bytes.readUInt32BE(at);
    }
    return at;
  }

  private part(): Buffer {
    const end = this.at + 4 + this.bytes.readUInt32BE(this.at);
    if (end > this.bytes.length) throw new RangeError('Packed entries are cut short.');
    const part = this.bytes.subarray(this.at + 4, end);
    this.at = end;
    return part;
  }
}

/** What evaluating a slot came to: its result as it is stored, in UTF-8, and whether it failed. */
export interface Outcome {
  text: Buffer;
  failed: boolean;
}

/** Outcomes as threads pass them on: of each whether it failed (1 byte), the length (4 bytes, big-endian) and the text. */
export const PackedOutcomes = {
  of(outcomes: readonly Outcome[]): Uint8Array {
    const packed = Buffer.from(new ArrayBuffer(outcomes.reduce((sum, { text }) => sum + 5 + text.length, 0)));
    let at = 0;
    for (const { text, failed } of outcomes) {
      at = packed.writeUInt8(failed ? 1 : 0, at);
      at = packed.writeUInt32BE(text.length, at);
      at += text.copy(packed, at);
    }
    return packed;
  },

  read(packed: Uint8Array): Outcome[] {
    const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.length);
    const outcomes: Outcome[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = at + 5 + bytes.readUInt32BE(at + 1);
      outcomes.push({ failed: bytes.readUInt8(at) === 1, text: bytes.subarray(at + 5, end) });
      at = end;
    }
    return outcomes;
  },
};
