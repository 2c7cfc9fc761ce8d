/** One guardian proposes, and when it does not, the next. */
import fc from 'fast-check';
import { Turns } from './turns.js';

const mine = (turns: Turns, anchor: string, guardians: number): number[] =>
  Array.from({ length: guardians }, (_, i) => i).filter((i) => turns.isMine(anchor, i, guardians));

it('exactly one has the turn, all have theirs one after another, and other anchors begin with others', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.integer({ min: 1, max: 15 }), (anchor, guardians) => {
      let now = 0;
      const turns = new Turns(100, () => now);
      const seen: number[] = [];
      for (; now < guardians * 100; now += 100) {
        expect(mine(turns, anchor, guardians)).toHaveLength(1);
        seen.push(...mine(turns, anchor, guardians));
      }
      expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: guardians }, (_, i) => i));
    }),
  );
  const turns = new Turns(100, () => 0);
  const firsts = Array.from({ length: 60 }, (_, i) => mine(turns, `anchor ${i}`, 3)[0]);
  expect(new Set(firsts).size).toBe(3);
});

it('a turn lasts its time, and begins when this guardian first asks', () => {
  let now = 5_000;
  const turns = new Turns(100, () => now);
  const [first] = mine(turns, 'a', 3);
  now = 5_099;
  expect(mine(turns, 'a', 3)).toEqual([first]);
  now = 5_100;
  expect(mine(turns, 'a', 3)).not.toEqual([first]);
  expect(mine(turns, 'b', 3)).toEqual(mine(new Turns(100, () => 0), 'b', 3));
});
