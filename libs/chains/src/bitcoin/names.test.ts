/** Names of withdrawals in a transaction: what is written is read again, and nothing else is. */
import fc from 'fast-check';
import { MAX_NAMES_BYTES, namesIn, namesScript } from './names.js';

const ascending = fc
  .uniqueArray(fc.bigInt({ min: 1n, max: 2n ** 40n }), { minLength: 1, maxLength: 10 })
  .map((numbers) => numbers.toSorted((a, b) => (a < b ? -1 : 1)));

it('reads what is written', () => {
  fc.assert(fc.property(ascending, (numbers) => expect(namesIn(namesScript(numbers))).toEqual(numbers)));
});

it('reads nothing that is not written so', () => {
  const data = fc.uint8Array({ minLength: 1, maxLength: MAX_NAMES_BYTES + 2 });
  fc.assert(
    fc.property(data, (bytes) => {
      const script = Uint8Array.of(0x6a, bytes.length, ...bytes);
      const numbers = namesIn(script);
      if (numbers) expect(Buffer.from(namesScript(numbers))).toEqual(Buffer.from(script));
    }),
  );
  for (const script of [
    [],
    [0x6a],
    [0x6a, 0],
    [0x6b, 1, 1],
    [0x6a, 2, 1],
    [0x6a, 1, 0],
    [0x6a, 2, 0x81, 0],
    [0x6a, 1, 0x81],
  ])
    expect(namesIn(Uint8Array.from(script))).toBeNull();
});
