/** I12: a kill -9 between any two durable steps, of the gateway or of a guardian, loses and doubles nothing. Real processes, really killed. */
import { CRASH_POINTS as GATEWAY_POINTS } from '../apps/gateway/src/crash-point.js';
import { CRASH_POINTS as GUARDIAN_POINTS } from '../apps/guardian/src/crash-point.js';
import { gateway, guardian, survives, thereAndBack } from './crash-stage.js';

it('goes there and back undisturbed', () => thereAndBack());

it.each(GUARDIAN_POINTS)('I12 X4 a guardian killed at %s', async (point) => {
  expect(await survives(guardian, point)).toBe(true);
});

it.each(GATEWAY_POINTS)('I12 X4 the gateway killed at %s', async (point) => {
  expect(await survives(gateway, point)).toBe(true);
});
