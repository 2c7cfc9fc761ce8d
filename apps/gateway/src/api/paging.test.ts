import fc from 'fast-check';
import { z } from 'zod';
import { cursor, limit, pageOf, POSITION, readCursor, writeCursor } from './paging.js';

const query = z.strictObject({ cursor: cursor(POSITION), limit: limit('things') });

it('a page has 25 unless told, and 1 to 100', () => {
  expect(query.parse({})).toEqual({ limit: 25 });
  for (const most of [1, 9, 10, 99, 100]) expect(query.parse({ limit: String(most) }).limit).toBe(most);
});

it.each(['0', '101', '01', '1e1', '-1', ' 1', '1000', '', ['1', '2']])('X14 a page has no %j', (most) => {
  const { error } = query.safeParse({ limit: most });
  expect(error?.issues.map((i) => i.message)).toEqual([
    typeof most === 'string' ? 'a page has 1 to 100 things' : 'write it once',
  ]);
});

it('X14 a cursor that no page gave is refused', () => {
  for (const wrong of ['', 'a b', 'A'.repeat(41), ['a', 'b']])
    expect(query.safeParse({ cursor: wrong }).error?.issues.at(0)?.message).toBe(
      'use the nextCursor of the page before',
    );
  expect(cursor(POSITION, (text) => text === 'b').safeParse('a').success).toBe(false);
  expect(cursor(POSITION, (text) => text === 'b').parse('b')).toBe('b');
  for (const position of ['0', '-1', '1 or 1', '1'.repeat(19)])
    expect(() => readCursor(writeCursor(position))).toThrow(expect.objectContaining({ code: 'bad-cursor' }));
});

it('page after page gives every row once, in order, and ends', () => {
  fc.assert(
    fc.property(fc.nat({ max: 60 }), fc.integer({ min: 1, max: 20 }), (count, size) => {
      const all = Array.from({ length: count }, (_, i) => BigInt(i + 1));
      const seen: bigint[] = [];
      let pages = 0;
      for (let at: string | null = writeCursor('1'), from = 0n; at !== null; pages += 1) {
        const rows = all.filter((n) => n > from).slice(0, size + 1);
        const { page, nextCursor } = pageOf(rows, size, (last) => writeCursor(String(last)));
        seen.push(...page);
        at = nextCursor;
        if (at !== null) from = readCursor(at);
      }
      expect(seen).toEqual(all);
      expect(pages).toBe(Math.max(1, Math.ceil(count / size)));
    }),
  );
});
