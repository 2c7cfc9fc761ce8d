/** The page says what is wrong in words that need no knowledge of the API, and asks only for what can be found. */
import { findMarks, isSignature, progressWords, tagsOf, wordsOf } from './src/words.js';

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

it.each([
  ['processed', 5, 0, 'Processed, in slot 5, 0 blocks on top: it can still be dropped.'],
  ['confirmed', 5, 2, 'Confirmed, in slot 5, 2 blocks on top: it is all but certain.'],
  ['finalized', 5, null, 'Final, in slot 5: it stays.'],
  ['failed', 5, 1, 'It failed, in slot 5, 1 block on top: it paid nothing.'],
  ['dropped', null, null, expect.stringMatching(/^Dropped: .*nothing was paid\.$/)],
  ['unknown', null, null, expect.stringMatching(/^No source has seen it yet/)],
])('a transaction that is %s is said so', (state, slot, confirmations, words) =>
  expect(progressWords({ state, slot, confirmations })).toEqual(words),
);

it('only what may be a signature is asked for as one', () => {
  expect(isSignature('2'.repeat(88))).toBe(true);
  for (const none of ['', '2'.repeat(85), '2'.repeat(89), '0'.repeat(88), `0x${'ab'.repeat(32)}`])
    expect(isSignature(none)).toBe(false);
});

it('tags are written one a line, each as a name and all that is behind its first equals sign', () => {
  expect(tagsOf('X-Action=Swap\n\n X-Note=a = b\r\nX-Empty=')).toEqual([
    { name: 'X-Action', value: 'Swap' },
    { name: 'X-Note', value: 'a = b' },
    { name: 'X-Empty', value: '' },
  ]);
  expect([tagsOf(''), tagsOf('  \n')]).toEqual([[], []]);
  for (const none of ['Swap', '=Swap', 'X Action=Swap']) expect(() => tagsOf(none)).toThrow(/X-Name=value/);
});
