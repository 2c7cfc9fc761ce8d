/**
 * I12: as `crash.test.ts`, with one kill on each way there and back, at every time a point is passed: the posting of a signature and of the
 * release's attestation as well as that of the deposit's, each event of the schedule, each look at the chain.
 */
import { CRASH_POINTS as GATEWAY_POINTS } from '../apps/gateway/src/crash-point.js';
import { CRASH_POINTS as GUARDIAN_POINTS } from '../apps/guardian/src/crash-point.js';
import { gateway, guardian, survives, type Victim } from './crash-stage.js';

/** More often than any step of a transfer is done; what is passed at each look at the chain never ends by itself. */
const TIMES = 8;
const POINT_MS = TIMES * 60_000;

const everyTime = (victim: Victim) => async (point: string) => {
  let times = 0;
  while (times < TIMES && (await survives(victim, `${point}@${times + 1}`))) times += 1;
  expect(times).toBeGreaterThan(0);
};

it.each(GUARDIAN_POINTS)('I12 X4 a guardian killed each time it passes %s', everyTime(guardian), POINT_MS);
it.each(GATEWAY_POINTS)('I12 X4 the gateway killed each time it passes %s', everyTime(gateway), POINT_MS);
