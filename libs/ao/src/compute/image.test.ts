/** Images of a memory and what changes between them: exact, whatever was written where. */
import fc from 'fast-check';
import type { MemoryImage } from '../types.js';
import { changedImage, decodeImage, encodeImage, KeptMemory, PAGE_BYTES, sameImage } from './image.js';

/** Bytes written, as a code that is trusted in nothing would: anywhere, zero or not. */
const writes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 2 })), { maxLength: 12 });
const imageOf = (memory: Uint8Array): MemoryImage => {
  const kept = new KeptMemory(null);
  kept.keep(memory);
  return kept.image();
};
function write(memory: Uint8Array, bytes: readonly [number, number][]): void {
  // Few places, so that they meet: the ends of pages and somewhere within.
  for (const [at, byte] of bytes) memory[(at % 4) * 65_535 + (at % 3) + PAGE_BYTES * (at % 5)] = byte;
}

it('I12 changes one after another, from nothing, are exactly the memory as it was at each', () => {
  const step = fc.record({ grow: fc.nat({ max: 2 }), bytes: writes, undone: writes, told: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
      let memory = new Uint8Array(9 * PAGE_BYTES);
      const kept = new KeptMemory(null);
      let image: MemoryImage | null = null;
      for (const { grow, bytes, undone, told } of steps) {
        const grown = new Uint8Array(memory.length + grow * PAGE_BYTES);
        grown.set(memory);
        memory = grown;
        write(memory, bytes);
        kept.keep(memory);
        const before = Buffer.from(memory);
        write(memory, undone);
        kept.putBack(memory);
        expect(before.equals(memory)).toBe(true);
        if (!told) continue;
        image = changedImage(image, kept.checkpoint());
        expect(sameImage(image, imageOf(memory))).toBe(true);
        expect(sameImage(image, decodeImage(encodeImage(image)))).toBe(true);
        expect(kept.checkpoint().changed).toEqual([]);
      }
    }),
    { numRuns: 100 },
  );
});

it('I12 what goes on from an image tells what has changed since it, and a larger memory is made what it was', () => {
  const memory = new Uint8Array(3 * PAGE_BYTES);
  memory.set([1, 2, 3], PAGE_BYTES);
  memory[0] = 9;
  const kept = new KeptMemory(imageOf(memory));
  memory[PAGE_BYTES] = 7;
  memory[0] = 0;
  kept.keep(memory);
  expect(kept.checkpoint().changed.map(([page, bytes]) => [page, bytes && [...bytes.subarray(0, 3)]])).toEqual([
    [1, [7, 2, 3]],
    [0, null],
  ]);
  const other = new Uint8Array(5 * PAGE_BYTES).fill(5);
  kept.putBack(other);
  expect(Buffer.compare(other.subarray(0, memory.length), memory)).toBe(0);
  expect(other.subarray(memory.length).every((byte) => byte === 0)).toBe(true);
  expect(() => kept.putBack(new Uint8Array(PAGE_BYTES))).toThrow(RangeError);
});

it('I12 images that are of no memory are refused', () => {
  const page = new Uint8Array(PAGE_BYTES).fill(1);
  expect(() => new KeptMemory({ size: PAGE_BYTES, pages: new Map([[1, page]]) })).toThrow(RangeError);
  expect(() => new KeptMemory({ size: PAGE_BYTES, pages: new Map([[0, page.subarray(1)]]) })).toThrow(RangeError);
  expect(() => new KeptMemory({ size: 5, pages: new Map() })).toThrow(RangeError);
  const encoded = encodeImage({ size: PAGE_BYTES, pages: new Map([[0, page]]) });
  expect(() => decodeImage(encoded.subarray(0, -1))).toThrow(RangeError);
});
