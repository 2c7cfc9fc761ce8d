/** I12: a kill -9 at a durable step of the AO pipeline loses and doubles nothing. One point of each step here, all others in the soak. */
import { COMMON_CRASH_POINTS } from '../apps/gateway/src/crash-point.js';
import { survives } from './pipeline-stage.js';

it.each(COMMON_CRASH_POINTS)('I12 X4 the gateway killed at %s', (point) => survives(point));
