/** The auditor reads what a transaction pays from its bytes as the guardians write it there, and nothing else for it. */
import { namesScript } from '@isthmus/chains';
import fc from 'fast-check';
import { numbersIn } from './names.js';

const ascending = fc
  .array(fc.bigInt({ min: 1n, max: 2n ** 40n }), { minLength: 1, maxLength: 12 })
  .map((steps) => steps.map((_, i) => steps.slice(0, i + 1).reduce((a, b) => a + b, 0n)));

it('what is written is read back, and only in the one way it is written', () => {
  fc.assert(
    fc.property(ascending, (numbers) => {
      expect(numbersIn(namesScript(numbers))).toEqual(numbers);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 90 }), (data) => {
      const script = Uint8Array.of(0x6a, data.length, ...data);
      const numbers = numbersIn(script);
      if (numbers) expect(Buffer.from(namesScript(numbers))).toEqual(Buffer.from(script));
    }),
  );
});

it.each([
  ['nothing', '6a00'],
  ['no carrier of data', '5101'],
  ['another length than it says', '6a0201'],
  ['a number cut short', '6a0181'],
  ['a number twice', '6a020100'],
  ['a number written longer than it is', '6a028100'],
  ['more than is relayed', `6a4c${'01'.repeat(76)}`],
])('%s names no withdrawals', (_, hex) => {
  expect(numbersIn(Buffer.from(hex, 'hex'))).toBeNull();
});

it.each([
  ['in another order', [2n, 1n]],
  ['one twice', [1n, 1n]],
  ['none', [0n]],
  ['more than fit', Array.from({ length: 76 }, (__, i) => BigInt(i + 1))],
])('%s is refused', (_, numbers) => {
  expect(() => namesScript(numbers)).toThrow(expect.objectContaining({ code: 'bad-batch' }));
});
