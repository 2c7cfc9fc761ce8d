/**
 * I12: a kill -9 at a durable step of the AO pipeline loses and doubles nothing. One point of results and one of deliveries here, one after the other
 * in one life; all others in the soak.
 */
import { COMMON_CRASH_POINTS } from '../apps/gateway/src/crash-point.js';
import { survives } from './pipeline-stage.js';

it(`I12 X4 the gateway killed at ${COMMON_CRASH_POINTS.join(' and ')}`, () => survives(COMMON_CRASH_POINTS));
