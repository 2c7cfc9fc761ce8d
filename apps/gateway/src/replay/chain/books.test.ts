/** Each source is of one chain: which must be said where there are several, and one that nothing is on is refused. */
import { sourcesByChain } from './books.js';

const [one, two] = ['eip155:1', 'eip155:10'] as const;
const [a, b, c] = [['http://a'], ['http://b'], ['http://c']] as const;

it('takes the only chain there is, or the one that was named; sources of one chain go together', () => {
  expect(sourcesByChain([one], [{ urls: a }, { chain: one, urls: b }])).toEqual(new Map([[one, [...a, ...b]]]));
  expect(
    sourcesByChain(
      [one, two],
      [
        { chain: two, urls: a },
        { chain: one, urls: b },
        { chain: two, urls: c },
      ],
    ),
  ).toEqual(
    new Map<string, readonly string[]>([
      [two, [...a, ...c]],
      [one, b],
    ]),
  );
  expect(sourcesByChain([], [{ urls: a }])).toEqual(new Map());
});

it('refuses to guess, and to look at a chain that nothing is on', () => {
  expect(() => sourcesByChain([one, two], [{ urls: a }])).toThrow(/--rpc <chain>=<url> \(eip155:1, eip155:10\)/);
  expect(() => sourcesByChain([one, two], [{ chain: 'eip155:5', urls: a }])).toThrow(/eip155:5.*eip155:1, eip155:10/);
  expect(() => sourcesByChain([], [{ chain: 'eip155:5', urls: a }])).toThrow(/none/);
});
