import { jest } from '@jest/globals';
import { Places } from './places.js';

/** Work that ends when it is told to. */
function work(): { done: Promise<string>; end: (how?: Error) => void } {
  let end: (how?: Error) => void = () => undefined;
  const done = new Promise<string>((resolve, reject) => (end = (how) => (how ? reject(how) : resolve('done'))));
  return { done, end };
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());
const settled = (): Promise<void> => jest.advanceTimersByTimeAsync(0).then(() => undefined);

it('so many are at work at once, the rest in the order they came; who fails leaves its place as well', async () => {
  const places = new Places(2, 1_000);
  const began: number[] = [];
  const works = [work(), work(), work(), work(), work()];
  const all = works.map(({ done }, i) => places.in(() => (began.push(i), done)));
  const failed = expect(all[0]).rejects.toThrow('on purpose');
  await settled();
  expect(began).toEqual([0, 1]);
  works[1]?.end();
  await settled();
  expect(began).toEqual([0, 1, 2]);
  works[0]?.end(new Error('on purpose'));
  await failed;
  await settled();
  expect(began).toEqual([0, 1, 2, 3]);
  for (const { end } of works) end();
  expect(await Promise.all(all.slice(1))).toEqual(['done', 'done', 'done', 'done']);
  const again = [work(), work(), work()];
  const more = again.map(({ done }, i) => places.in(() => (began.push(5 + i), done)));
  await settled();
  expect(began).toEqual([0, 1, 2, 3, 4, 5, 6]); // two places, as before
  for (const { end } of again) end();
  await Promise.all(more);
});

it('who takes long keeps its place for a while only, and gives it on once', async () => {
  const places = new Places(1, 1_000);
  const began: string[] = [];
  const [long, next, last] = [work(), work(), work()];
  const all = [
    places.in(() => (began.push('long'), long.done)),
    places.in(() => (began.push('next'), next.done)),
    places.in(() => (began.push('last'), last.done)),
  ];
  await jest.advanceTimersByTimeAsync(999);
  expect(began).toEqual(['long']);
  await jest.advanceTimersByTimeAsync(1);
  expect(began).toEqual(['long', 'next']);
  long.end();
  await settled();
  expect(began).toEqual(['long', 'next']);
  next.end();
  await settled();
  expect(began).toEqual(['long', 'next', 'last']);
  last.end();
  expect(await Promise.all(all)).toHaveLength(3);
});
