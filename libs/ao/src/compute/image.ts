/**
 * The state of a process: the linear memory of its machine, written down as its pages that are not all zero (an aos memory has about 100 MiB,
 * of which two hold anything). Pages are compared byte for byte: no word of the code that ran is taken for what it wrote.
 */
import type { MemoryChange, MemoryImage } from '../types.js';

/** Bytes of a page: WebAssembly's own, so that every memory is a whole number of them. */
export const PAGE_BYTES = 65_536;
const ZERO = Buffer.alloc(PAGE_BYTES);

/** Whether two images are of the same memory. */
export function sameImage(a: MemoryImage, b: MemoryImage): boolean {
  if (a.size !== b.size || a.pages.size !== b.pages.size) return false;
  for (const [page, bytes] of a.pages) {
    const other = b.pages.get(page);
    if (!other || Buffer.compare(bytes, other) !== 0) return false;
  }
  return true;
}

/** The image after a change; `null` is the image of nothing. @throws RangeError when the change is of no memory */
export function changedImage(image: MemoryImage | null, { size, changed }: MemoryChange): MemoryImage {
  const pages = new Map(image?.pages);
  for (const [page, bytes] of changed) {
    if (bytes) pages.set(page, bytes);
    else pages.delete(page);
  }
  const after = { size, pages };
  checkImage(after);
  return after;
}

/** Two changes, one after the other, as one. */
export function laterChange(before: MemoryChange | null, { size, changed }: MemoryChange): MemoryChange {
  return { size, changed: [...new Map([...(before?.changed ?? []), ...changed])] };
}

/** @throws RangeError when these are no pages of such a memory */
export function checkImage({ size, pages }: MemoryImage): void {
  if (!Number.isSafeInteger(size) || size < 0 || size % PAGE_BYTES !== 0)
    throw new RangeError(`No memory has ${size} bytes.`);
  for (const [page, bytes] of pages) {
    if (!Number.isSafeInteger(page) || page < 0 || (page + 1) * PAGE_BYTES > size || bytes.length !== PAGE_BYTES)
      throw new RangeError(`Page ${page} of ${bytes.length} bytes is none of a memory of ${size}.`);
  }
}

/** A copy of a memory as it was at some moment: to put it back, and to tell what has changed since it was last told. */
export class KeptMemory {
  private readonly pages: Map<number, Buffer>;
  private changed = new Set<number>();
  /** Bytes of the memory kept. */
  size: number;

  /** @param image what the memory is, and is known to be; `null`: nothing is known yet @throws RangeError */
  constructor(image: MemoryImage | null) {
    if (image) checkImage(image);
    this.size = image?.size ?? 0;
    this.pages = new Map(Array.from(image?.pages ?? [], ([page, bytes]) => [page, Buffer.from(bytes)]));
  }

  /** Bytes this copy takes. */
  get bytes(): number {
    return this.pages.size * PAGE_BYTES;
  }

  /** From now on the memory as it is. */
  keep(memory: Uint8Array): void {
    const now = bufferOf(memory);
    for (let page = 0; page * PAGE_BYTES < Math.max(now.length, this.size); page += 1) {
      const bytes = now.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
      const kept = this.pages.get(page);
      if ((kept ?? ZERO).equals(bytes)) continue;
      this.changed.add(page);
      if (bytes.length === 0 || bytes.equals(ZERO)) this.pages.delete(page);
      else if (kept) bytes.copy(kept);
      else this.pages.set(page, Buffer.from(bytes));
    }
    this.size = now.length;
  }

  /**
   * Makes a memory of at least this size what was kept; what it has beyond is made zero.
   * @param written its pages that are not all zero, where that is known; else all are looked at
   */
  putBack(memory: Uint8Array, written?: ReadonlySet<number>): void {
    const now = bufferOf(memory);
    if (now.length < this.size) throw new RangeError(`A memory of ${now.length} bytes holds no image of ${this.size}.`);
    const pages = written ? new Set([...written, ...this.pages.keys()]) : numbersTo(now.length / PAGE_BYTES);
    for (const page of pages) {
      const bytes = now.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
      const kept = this.pages.get(page) ?? ZERO;
      if (!kept.equals(bytes)) kept.copy(bytes);
    }
  }

  /** The whole of it, in pages of its own. */
  image(): MemoryImage {
    const pages = [...this.pages].sort(([a], [b]) => a - b);
    return { size: this.size, pages: new Map(copied(pages)) };
  }

  /** What has changed since this was last asked, or since the image this began with. */
  checkpoint(): MemoryChange {
    const numbers = [...this.changed].sort((a, b) => a - b);
    this.changed = new Set();
    const zero = numbers.filter((page) => !this.pages.has(page));
    const pages = numbers.flatMap((page): [number, Buffer][] => {
      const bytes = this.pages.get(page);
      return bytes ? [[page, bytes]] : [];
    });
    return { size: this.size, changed: [...copied(pages), ...zero.map((page): [number, null] => [page, null])] };
  }
}

function* numbersTo(count: number): Iterable<number> {
  for (let i = 0; i < count; i += 1) yield i;
}

/** Pages of a memory that are not all zero. */
export function writtenPages(memory: Uint8Array): ReadonlySet<number> {
  const kept = new KeptMemory(null);
  kept.keep(memory);
  return new Set(kept.image().pages.keys());
}

/** Pages in one piece of memory, which passes from thread to thread without another copy. */
function copied(pages: readonly (readonly [number, Uint8Array])[]): [number, Uint8Array][] {
  const all = new Uint8Array(pages.length * PAGE_BYTES);
  return pages.map(([page, bytes], i) => {
    all.set(bytes, i * PAGE_BYTES);
    return [page, all.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)];
  });
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** An image in one piece: its size in pages, then each page's number and bytes. */
export function encodeImage({ size, pages }: MemoryImage): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(size / PAGE_BYTES);
  const parts = Array.from(pages, ([page, bytes]) => {
    const number = Buffer.alloc(4);
    number.writeUInt32LE(page);
    return [number, bytes];
  });
  return Buffer.concat([head, ...parts.flat()]);
}

/** @throws RangeError when the bytes are cut short or are no image */
export function decodeImage(encoded: Buffer): MemoryImage {
  const pages = new Map<number, Uint8Array>();
  for (let at = 4; at < encoded.length; at += 4 + PAGE_BYTES)
    pages.set(encoded.readUInt32LE(at), encoded.subarray(at + 4, at + 4 + PAGE_BYTES));
  const image = { size: encoded.readUInt32LE() * PAGE_BYTES, pages };
  checkImage(image);
  return image;
}
