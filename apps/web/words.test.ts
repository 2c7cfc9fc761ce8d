/** The page says what is wrong in words that need no knowledge of the API, and asks only for what can be found. */
import { findMarks, wordsOf } from './src/words.js';

it('a wrong field is named by its reason alone, other problems by their detail', () => {
  const bad = { code: 'bad-request', detail: 'recipient: wrong checksum; as EIP-55 writes it: 0xAb' };
  const errors = [{ name: 'recipient', reason: 'wrong checksum; as EIP-55 writes it: 0xAb' }];
  expect(wordsOf({ ...bad, errors })).toBe('Wrong checksum; as EIP-55 writes it: 0xAb');
  expect(
    wordsOf({ code: 'bad-request', detail: 'amount: write it', errors: [{ name: 'amount', reason: 'write it' }] }),
  ).toBe('Write it.');
  expect(wordsOf(bad)).toBe(bad.detail);
  const little = { code: 'below-minimum', detail: 'The least deposit is 0.001 aETH.' };
  expect(wordsOf({ ...little, errors: [{ name: 'amount', reason: 'at least 1000 base units' }] })).toBe(little.detail);
  expect(wordsOf(null)).toBeNull();
  expect(wordsOf({})).toBeNull();
});

it.each([
  ['', ['']],
  [`0x${'Ab'.repeat(32)}`, [`&source=0x${'Ab'.repeat(32)}`, `&release=0x${'Ab'.repeat(32)}`]],
  [`0x${'ab'.repeat(20)}`, [`&address=0x${'ab'.repeat(20)}`]],
  ['2'.repeat(88), [`&source=${'2'.repeat(88)}`, `&release=${'2'.repeat(88)}`]],
  ['P'.repeat(44), [`&address=${'P'.repeat(44)}`]],
  [`${'P'.repeat(42)}A`, [`&address=${'P'.repeat(42)}A`, `&message=${'P'.repeat(42)}A`]],
])('%p may be %j', (text, marks) => expect(findMarks(text)).toEqual(marks));

it.each([
  `0x${'ab'.repeat(19)}`,
  `0x${'ab'.repeat(33)}`,
  'O'.repeat(43),
  'O'.repeat(42),
  '2'.repeat(63),
  "'or 1=1",
  `0x${'g'.repeat(40)}`,
  ' ',
])('nothing can be found under %p', (text) => expect(findMarks(text)).toEqual([]));
