/**
 * I12: a kill -9 between any two durable steps, of the gateway or of a guardian, loses and doubles nothing. Real processes, really killed. Here both
 * at all their points one after another, while the work cut off goes on; `crash.soak.ts` has one kill at a time, at every time every point is passed.
 */
import { CRASH_POINTS as GATEWAY_POINTS } from '../apps/gateway/src/crash-point.js';
import { CRASH_POINTS as GUARDIAN_POINTS } from '../apps/guardian/src/crash-point.js';
import { gateway, guardian, survivesAll, thereAndBack } from './crash-stage.js';

/** Bound on what one kill takes: a start, and making good what was cut off. */
const POINT_MS = 60_000;

it('goes there and back undisturbed', () => thereAndBack());

it(
  'I12 X4 a guardian and the gateway, each killed at each of its points, one after another',
  () =>
    survivesAll([
      { victim: guardian, points: GUARDIAN_POINTS },
      { victim: gateway, points: GATEWAY_POINTS },
    ]),
  (GUARDIAN_POINTS.length + GATEWAY_POINTS.length) * POINT_MS,
);
