/** Which releases are judged only when the schedule has come as far as they have. */
import { isAhead } from './standing.js';

const PROCESS = 'P'.repeat(42) + 'A';
const account = { process: PROCESS };
const release = { block: 7n };

it.each([
  ['before its block', 4_999, 5_000, true],
  ['within the second its block names', 5_999, 5_000, true],
  ['after that second', 6_000, 5_000, false],
  ['before it, when patience is just not over', 4_999, 6_000, true],
  ['before it, when patience is over', 4_999, 6_001, false],
])('a release whose schedule is shown until %s', (_, until, now, is) => {
  const times = new Map([[7n, 5_000]]);
  const standing = { shownUntil: new Map([[PROCESS, until]]), times, now, patienceMs: 1_000 };
  expect(isAhead(account, standing, release)).toBe(is);
});

it('is judged at once when all there is of its schedule is shown', () => {
  const standing = {
    shownUntil: new Map<string, number>(),
    times: new Map([[7n, 5_000]]),
    now: 5_000,
    patienceMs: 1_000,
  };
  expect(isAhead(account, standing, release)).toBe(false);
});
