/** I12: as `pipeline-crash.test.ts`, at the other points of each step. */
import { COMMON_CRASH_POINTS, PIPELINE_CRASH_POINTS } from '../apps/gateway/src/crash-point.js';
import { survives } from './pipeline-stage.js';

it.each(PIPELINE_CRASH_POINTS.filter((point) => !COMMON_CRASH_POINTS.includes(point)))(
  'I12 X4 the gateway killed at %s',
  (point) => survives([point]),
);
