/** Sources are of one chain: which of several must be said, and one without a vault is refused. */
import { onOneChain } from './chain-books.js';

const [one, two] = [{ chain: 'eip155:1' }, { chain: 'eip155:10' }];

it('takes the only chain there is, or the one that was named', () => {
  expect(onOneChain([one, one], undefined)).toEqual([one, one]);
  expect(onOneChain([one, two], 'eip155:10')).toEqual([two]);
  expect(onOneChain([], undefined)).toEqual([]);
});

it('refuses to guess, and to look at a chain without a vault', () => {
  expect(() => onOneChain([one, two], undefined)).toThrow(/--chain.*eip155:1, eip155:10/);
  expect(() => onOneChain([one, two], 'eip155:5')).toThrow(/eip155:5.*eip155:1, eip155:10/);
  expect(() => onOneChain([], 'eip155:5')).toThrow(/none/);
});
