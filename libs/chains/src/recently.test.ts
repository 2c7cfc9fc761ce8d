import { jest } from '@jest/globals';
import { Recently } from './recently.js';

it('asks once for all who want to know, and again when the answer is no longer fresh', async () => {
  let now = 0;
  let count = 0;
  const ask = jest.fn(() => Promise.resolve((count += 1)));
  const recently = new Recently(ask, 100, () => now);
  expect(await Promise.all([recently.get(), recently.get()])).toEqual([1, 1]);
  now = 99;
  expect(await recently.get()).toBe(1);
  now = 100;
  expect(await recently.get()).toBe(2);
  expect(ask).toHaveBeenCalledTimes(2);
});

it('keeps no failure', async () => {
  const ask = jest.fn(() => Promise.resolve(7));
  ask.mockRejectedValueOnce(new Error('away'));
  const recently = new Recently(ask, 100, () => 0);
  await expect(recently.get()).rejects.toThrow('away');
  expect(await recently.get()).toBe(7);
});
