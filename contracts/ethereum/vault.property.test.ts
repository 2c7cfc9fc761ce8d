/** The vault against its model, in every run of the tests; vault.property.soak.ts does it for thousands of sequences. */
import { closeStage, openStage, vaultDoesWhatTheModelDoes } from './vault-model.js';

beforeAll(openStage);
afterAll(closeStage);

it('I2 I4 the vault does what the model does, and its balance covers locked and claimable, through any run of calls', () =>
  vaultDoesWhatTheModelDoes(24));
