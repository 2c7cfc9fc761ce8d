/** What people write and what the bridge counts in are the same amount, to the last unit. */
import fc from 'fast-check';
import { fromBaseUnits, toBaseUnits } from './src/amount.js';

it('I6 every amount comes back as it was, for every number of decimals', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 10n ** 39n - 1n }), fc.integer({ min: 0, max: 36 }), (units, decimals) => {
      expect(toBaseUnits(fromBaseUnits(String(units), decimals), decimals)).toBe(String(units));
    }),
  );
});

it.each([
  ['1', 18, '1000000000000000000'],
  [' 0.000001 ', 6, '1'],
  ['12.50', 2, '1250'],
  ['7', 0, '7'],
])('reads %p with %i decimals as %s', (written, decimals, units) => expect(toBaseUnits(written, decimals)).toBe(units));

it.each(['', '0', '0.0', '-1', '+1', '1e3', '0x1', '1,5', '.5', '1.', '1.2345678', '9'.repeat(40), '１'])(
  'A4 refuses %p, and what is finer than the asset',
  (written) => expect(toBaseUnits(written, 6)).toBeNull(),
);
