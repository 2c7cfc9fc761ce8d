/** I12: as `bitcoin-relayer-crash.test.ts`, with one kill on the way of each batch. */
import { POINTS, survives } from './bitcoin-relayer-stage.js';

it.each(POINTS)('I2 I12 X4 killed at %s, pays each withdrawal once and shows it as released', (point) =>
  survives([point]),
);
