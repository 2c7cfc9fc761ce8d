/**
 * State of a contract machine as a linear memory: records of one size in a row, without gaps. A change touches the pages of its records only, and
 * the same changes in the same order give the same bytes, so that states are written down and compared as those of any other machine.
 */
import type { MemoryImage } from '../../types.js';
import { checkImage, PAGE_BYTES } from '../image.js';

export const RECORD_BYTES = 128;
/** Bytes of a record that are its key; the rest is its value. No record's key is all zero. */
export const KEY_BYTES = 64;
/** Most memory the records of one process may take. */
export const MEMORY_LIMIT_BYTES = 256 * 1024 * 1024;

/** Record 0 holds how many follow. */
const HEADER_RECORDS = 1;

/** A key and what it has now; `null`: nothing. */
export type Change = readonly [key: string, value: Buffer | null];

export class Ledger {
  private bytes: Buffer;
  /** Number of the record of each key. */
  private readonly places = new Map<string, number>();

  /** @param image `null`: no records @throws RangeError when it is no image of a ledger */
  constructor(image: MemoryImage | null) {
    this.bytes = Buffer.alloc(image?.size ?? PAGE_BYTES);
    if (!image) return;
    checkImage(image);
    for (const [page, bytes] of image.pages) this.bytes.set(bytes, page * PAGE_BYTES);
    if (this.bytes.length < PAGE_BYTES || this.memory.length !== this.bytes.length)
      throw new RangeError('The image is not as large as its records.');
    for (let place = HEADER_RECORDS; place < HEADER_RECORDS + this.count; place += 1)
      this.places.set(this.keyAt(place), place);
    if (this.places.size !== this.count) throw new RangeError('The image has a record twice.');
  }

  /** As many pages as the records take. */
  get memory(): Uint8Array {
    return this.bytes.subarray(0, sizeOf(this.count));
  }

  /** All records: key and value. */
  *records(): Generator<[key: Buffer, value: Buffer]> {
    for (let place = HEADER_RECORDS; place < HEADER_RECORDS + this.count; place += 1) {
      const record = this.record(place);
      yield [record.subarray(0, KEY_BYTES), record.subarray(KEY_BYTES)];
    }
  }

  /** Whether there is room for these changes. */
  fits(changes: readonly Change[]): boolean {
    const added = changes.filter(([key, value]) => value !== null && !this.places.has(key)).length;
    return sizeOf(this.count + added) <= MEMORY_LIMIT_BYTES;
  }

  /** Makes changes, in the order of their keys: each key once. */
  apply(changes: readonly Change[]): void {
    const ordered = [...changes].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, value] of ordered) {
      if (value) this.put(key, value);
      else this.remove(key);
    }
  }

  private get count(): number {
    return this.bytes.readUInt32LE(0);
  }

  private put(key: string, value: Buffer): void {
    let place = this.places.get(key);
    if (place === undefined) {
      place = HEADER_RECORDS + this.count;
      this.bytes.writeUInt32LE(this.count + 1, 0);
      this.reserve(sizeOf(this.count));
      this.places.set(key, place);
      this.record(place).write(key, 'hex');
    }
    value.copy(this.record(place), KEY_BYTES);
  }

  /** The last record takes the place of one that goes. */
  private remove(key: string): void {
    const place = this.places.get(key);
    if (place === undefined) return;
    const last = HEADER_RECORDS + this.count - 1;
    this.places.delete(key);
    if (place !== last) {
      this.places.set(this.keyAt(last), place);
      this.record(last).copy(this.record(place));
    }
    this.record(last).fill(0);
    this.bytes.writeUInt32LE(this.count - 1, 0);
  }

  private record(place: number): Buffer {
    return this.bytes.subarray(place * RECORD_BYTES, (place + 1) * RECORD_BYTES);
  }

  private keyAt(place: number): string {
    return this.record(place).toString('hex', 0, KEY_BYTES);
  }

  private reserve(size: number): void {
    if (size <= this.bytes.length) return;
    const larger = Buffer.alloc(Math.max(size, 2 * this.bytes.length));
    this.bytes.copy(larger);
    this.bytes = larger;
  }
}

function sizeOf(count: number): number {
  return Math.ceil(((HEADER_RECORDS + count) * RECORD_BYTES) / PAGE_BYTES) * PAGE_BYTES;
}
