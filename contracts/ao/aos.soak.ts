/** The token on each aos module against the lean machine, through thousands of random messages. */
import { WorkerPool } from '@isthmus/ao';
import { sameAsOnTheLeanMachine } from './differential.js';
import { aosModules } from './machines.js';

/** About 7,000 messages on each module, and reads. */
const WALKS = 200;
/** A quarter of a second each; a busy machine may take some times as long. */
const TIME_MS = WALKS * 3_000;

let pool: WorkerPool;
beforeAll(() => (pool = new WorkerPool(1)));
afterAll(() => pool.stop());

it.each(aosModules())(
  'whatever is said leads to the same on $name as on the lean machine, through thousands of messages',
  (machine) => sameAsOnTheLeanMachine(machine, pool, WALKS),
  TIME_MS,
);
