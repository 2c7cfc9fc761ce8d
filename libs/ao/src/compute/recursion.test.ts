/** Functions that count their stack are found with work in proportion to the calls there are, and leave no way round uncounted. */
import fc from 'fast-check';
import { recursionSlots } from './recursion.js';

const graph = (ways: number[][]) => ({ ways, functions: ways.length, weights: ways.map((_, i) => i + 1) });

/** Whether some way leads round past none of `counted`. */
function goesRound(ways: number[][], counted: ReadonlyMap<number, number>): boolean {
  const left = new Set(ways.keys());
  for (let before = -1; before !== left.size;) {
    before = left.size;
    for (const node of left)
      if (counted.has(node) || !(ways[node] ?? []).some((target) => left.has(target) && !counted.has(target)))
        left.delete(node);
  }
  return left.size > 0;
}

it('A16 whoever calls whom, no way leads round past all functions that count', () => {
  const some = fc
    .integer({ min: 1, max: 12 })
    .chain((size) => fc.array(fc.array(fc.nat(size - 1), { maxLength: 4 }), { minLength: size, maxLength: size }));
  fc.assert(fc.property(some, (ways) => !goesRound(ways, recursionSlots(graph(ways)).slots)));
  expect(goesRound([[1], [0]], new Map())).toBe(true);
});

it('A16 a function that counts takes what the heaviest way from it takes, up to the next', () => {
  // 0 goes round through 1 or 2 and 3.
  expect([...recursionSlots(graph([[1, 2], [3], [3], [0]])).slots.values()]).toEqual([1 + 3 + 4]);
  expect(recursionSlots(graph([[1], []])).slots.size).toBe(0);
});

it('A16 what ways past no counting function take is known', () => {
  expect(recursionSlots(graph([[1, 2], [3], [3], []])).heaviest).toBe(1 + 3 + 4);
  // To where it goes round: 1 counts, 0 and 2 do not.
  expect(recursionSlots(graph([[1], [1], [0]]))).toMatchObject({ slots: new Map([[1, 2]]), heaviest: 1 + 3 });
});

const round = (size: number) => Array.from({ length: size }, (_, i) => (i + 1) % size);
it.each([
  ['one that calls all', (size: number) => [round(size), ...round(size - 1).map(() => [0])]],
  ['a long way', (size: number) => round(size).map((next) => [next])],
  [
    'a long way without an end',
    (size: number) => Array.from({ length: size }, (_, i) => (i + 1 < size ? [i + 1] : [])),
  ],
  ['many calls of one', (size: number) => [Array.from({ length: size }, () => 1), [0]]],
  ['pairs', (size: number) => Array.from({ length: size }, (_, i) => [i ^ 1])],
])('A16 twice as many calls take twice as much work: %s', (_, ways) => {
  const visits = (size: number) => recursionSlots(graph(ways(size))).visits;
  expect(visits(20_000)).toBeLessThan(2.2 * visits(10_000));
});

it('A16 calls that would take long to untangle all count instead', () => {
  // Each of 400 calls each: untangled one by one that would be 400 rounds of 160,000 ways.
  const size = 400;
  const everybody = Array.from({ length: size }, (_, i) => i);
  const { slots, visits } = recursionSlots(graph(everybody.map(() => everybody)));
  expect(slots.size).toBe(size);
  expect(visits).toBeLessThan(6_000_000);
});
