/**
 * I12: the relayer of batches on Bitcoin killed at each of its durable steps, one after another over one batch; `bitcoin-relayer-crash.soak.ts` has
 * one kill for each batch.
 */
import { POINTS, survives } from './bitcoin-relayer-stage.js';

it('I2 I12 X4 killed at each step, pays each withdrawal once and shows it as released', () => survives(POINTS));
