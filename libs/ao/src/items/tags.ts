/** The Avro form in which an ANS-104 item carries its tags: an array of (name, value) records, as one block. Read strictly, so that one list of tags has one form. */
import { isAscii, isUtf8 } from 'node:buffer';
import type { Item, Tag } from '../types.js';
import { ItemError } from './error.js';
import { MAX_TAG_BYTES } from './layout.js';

/** Limits of ANS-104. */
export const MAX_TAGS = 128;
export const MAX_NAME_BYTES = 1024;
export const MAX_VALUE_BYTES = 3072;

/** Tags as an item carries them, in their order. */
export const tagList = (tags: Readonly<Record<string, string>>): Tag[] =>
  Object.entries(tags).map(([name, value]) => ({ name, value }));

/** Avro bytes of the tags; none for no tags. @throws ItemError `bad-tags` */
export function encodeItemTags(tags: readonly Tag[]): Buffer {
  if (tags.length === 0) return Buffer.alloc(0);
  if (tags.length > MAX_TAGS) throw new ItemError('bad-tags', `An item has at most ${MAX_TAGS} tags.`);
  let size = longBytes(tags.length) + longBytes(0);
  for (const { name, value } of tags) {
    const [n, v] = [Buffer.byteLength(name), Buffer.byteLength(value)];
    assertSizes(n, v);
    size += longBytes(n) + n + longBytes(v) + v;
  }
  if (size > MAX_TAG_BYTES) throw new ItemError('bad-tags', `Tags take at most ${MAX_TAG_BYTES} bytes.`);
  // Every assignment has its tags written: in one piece, without a buffer for each part.
  const bytes = Buffer.allocUnsafe(size);
  let at = writeLong(bytes, tags.length, 0);
  for (const { name, value } of tags) {
    for (const text of [name, value]) {
      at = writeLong(bytes, Buffer.byteLength(text), at);
      at += bytes.write(text, at);
    }
  }
  writeLong(bytes, 0, at);
  return bytes;
}

/** @throws ItemError `bad-tags` for anything but the form `encodeItemTags` writes (or the negative block count other writers use). */
export function decodeItemTags(bytes: Buffer, expected: number): Tag[] {
  if (expected === 0 && bytes.length === 0) return [];
  const reader = new Reader(bytes);
  const tags: Tag[] = [];
  for (let count = reader.long(); count !== 0; count = reader.long()) {
    if (count < 0) {
      count = -count;
      reader.long(); // size of the block in bytes, which the items themselves tell
    }
    if (tags.length + count > MAX_TAGS) throw new ItemError('bad-tags', `An item has at most ${MAX_TAGS} tags.`);
    for (let i = 0; i < count; i += 1) {
      const name = reader.text(MAX_NAME_BYTES);
      tags.push({ name, value: reader.text(MAX_VALUE_BYTES) });
    }
  }
  if (!reader.done || tags.length !== expected)
    throw new ItemError('bad-tags', 'The tags do not fill the space the item says they take.');
  return tags;
}

function assertSizes(name: number, value: number): void {
  if (name === 0 || name > MAX_NAME_BYTES || value > MAX_VALUE_BYTES) {
    throw new ItemError(
      'bad-tags',
      `A tag has a name of 1 to ${MAX_NAME_BYTES} bytes and a value of at most ${MAX_VALUE_BYTES}.`,
    );
  }
}

/** Bytes of a length or count as Avro writes it, a zigzag variable-length integer: limits keep them below 2 ** 20. */
function longBytes(value: number): number {
  if (value < 2 ** 6) return 1;
  return value < 2 ** 13 ? 2 : 3;
}

/** Writes a length or count at a place, and says where it ends. */
function writeLong(bytes: Buffer, value: number, at: number): number {
  let [rest, end] = [value * 2, at];
  for (; rest > 0x7f; rest >>>= 7) end = bytes.writeUInt8((rest & 0x7f) | 0x80, end);
  return bytes.writeUInt8(rest, end);
}

/** A piece keeps alive what it was cut from: whoever remembers a value must not remember all that came with a large item. */
const MAX_LETTERS = 2048;

class Reader {
  private at = 0;
  /** All of it as text, where each byte is a letter: names and values cut from it cost a fraction of what each costs by itself. */
  private readonly letters: string | null;

  constructor(private readonly bytes: Buffer) {
    this.letters = bytes.length <= MAX_LETTERS && isAscii(bytes) ? bytes.toString('latin1') : null;
  }

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  long(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 28; factor *= 128) {
      const byte = this.bytes[this.at];
      if (byte === undefined) break;
      this.at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw new ItemError('bad-tags', 'The tags end in the middle of a number.');
  }

  text(limit: number): string {
    const length = this.long();
    if (length < 0 || length > limit || this.at + length > this.bytes.length)
      throw new ItemError('bad-tags', 'A tag is longer than allowed or than the item.');
    const from = this.at;
    this.at += length;
    if (this.letters !== null) return this.letters.slice(from, this.at);
    const bytes = this.bytes.subarray(from, this.at);
    // A text that does not survive the round trip would give an item another signature than its author's.
    if (!isUtf8(bytes)) throw new ItemError('bad-tags', 'A tag is not UTF-8.');
    return bytes.toString('utf8');
  }
}

/** First value of a tag; '' when absent. */
export function tagOf(item: Pick<Item, 'tags'>, name: string): string {
  return item.tags.find((t) => t.name === name)?.value ?? '';
}
