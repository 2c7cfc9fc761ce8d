/** What guardians take a compute unit to cost. */
import { jest } from '@jest/globals';
import { Prices } from './prices.js';

/** What one source says, or several. */
const severally = (fees: readonly number[] | readonly (readonly number[])[]): (readonly number[])[] => {
  const each = fees.flatMap((one) => (typeof one === 'number' ? [] : [one]));
  return each.length > 0 ? each : [fees.flatMap((one) => one)];
};

function open(fees: readonly number[] | readonly (readonly number[])[], most = 1_000_000n) {
  const given = { fees: severally(fees) };
  const clock = { now: 0 };
  const priorityFees = jest.fn(() => Promise.resolve(given.fees.map((one) => [...one])));
  const prices = new Prices({ priorityFees }, most, () => clock.now);
  const isFair = (price: bigint) => prices.isFair(price, 'vault', 'relayer');
  return { given, clock, priorityFees, prices, isFair };
}

it('a price is fair up to four times what was paid lately and a little, whatever else would be allowed', async () => {
  const { prices, isFair } = open([0, 0, 0, 20_000]);
  expect(await prices.fair('vault', 'relayer')).toBe(20_000n);
  expect(await isFair(90_000n)).toBe(true);
  expect(await isFair(90_001n)).toBe(false);
  const idle = open([]);
  expect([await idle.isFair(10_000n), await idle.isFair(10_001n)]).toEqual([true, false]);
});

it('a source that tells of no fees, or none, has this guardian refuse nothing others pay; what it offers is the middle', async () => {
  const { prices, isFair } = open([[], [20_000], [30_000]]);
  expect(await prices.fair('vault', 'relayer')).toBe(20_000n);
  expect([await isFair(130_000n), await isFair(130_001n)]).toEqual([true, false]);
  expect(await open([[0], [20_000]]).isFair(90_000n)).toBe(true);
  const silent = open([] as number[][], 50_000n);
  silent.given.fees = [];
  expect([await silent.isFair(50_000n), await silent.isFair(50_001n)]).toEqual([true, false]);
  expect(await silent.prices.fair('vault', 'relayer')).toBe(0n);
});

it('no price is fair above the limit, however much others pay', async () => {
  const { prices, isFair } = open([9_000_000], 50_000n);
  expect(await prices.fair('vault', 'relayer')).toBe(50_000n);
  expect([await isFair(50_000n), await isFair(50_001n)]).toEqual([true, false]);
  const low = open([], 5n);
  expect([await low.isFair(5n), await low.isFair(6n)]).toEqual([true, false]);
});

it('a look serves for five seconds, and then fees are looked at again', async () => {
  const { given, clock, priorityFees, isFair } = open([1_000]);
  expect([await isFair(14_001n), await isFair(14_000n)]).toEqual([false, true]);
  given.fees = [[100_000]];
  clock.now = 4_999;
  expect(await isFair(400_000n)).toBe(false);
  expect(priorityFees).toHaveBeenCalledTimes(1);
  clock.now = 5_000;
  expect(await isFair(400_000n)).toBe(true);
  expect(priorityFees).toHaveBeenCalledTimes(2);
});
