/** The vault against its model, through thousands of random sequences of calls. */
import { closeStage, openStage, vaultDoesWhatTheModelDoes } from './vault-model.js';

/** About 160,000 calls. */
const SEQUENCES = 2_000;
/** Half a second each; a busy machine may take some times as long. */
const TIME_MS = SEQUENCES * 3_000;

beforeAll(openStage);
afterAll(closeStage);

it(
  'I2 I4 the vault does what the model does through thousands of sequences of calls',
  () => vaultDoesWhatTheModelDoes(SEQUENCES),
  TIME_MS,
);
