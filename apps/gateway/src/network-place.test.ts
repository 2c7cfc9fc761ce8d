import type { AoSettings } from './network-place.js';
import { placeOf } from './network-place.js';

const OWN = 'http://127.0.0.1:4600';
const others = { agreement: 1, scheduler: 'S'.repeat(43), messenger: 'M'.repeat(43) };
const units = { schedulerUrl: 'http://su', messengerUrl: 'http://mu', gatewayUrl: 'http://arweave' };
const remote: AoSettings<'remote'> = { engine: 'remote', ...units, computeUrls: ['http://cu'], ...others };
const core: AoSettings<'core'> = {
  engine: 'core',
  nodeUrls: ['http://one', 'http://two'],
  gatewayUrl: 'http://arweave',
  ...others,
};
const embedded: AoSettings<'embedded'> = {
  engine: 'embedded',
  schedulerKeyFile: 'scheduler.key',
  messengerKeyFile: 'messenger.key',
  workers: 1,
  memoryMiB: 64,
};

it('a gateway that carries AO itself is its own network, others are where the configuration says', () => {
  expect(placeOf(embedded, OWN)).toEqual({ isthmusUrl: OWN });
  expect(placeOf(remote, OWN)).toEqual(units);
  expect(placeOf(core, OWN)).toEqual({ nodeUrl: 'http://one', gatewayUrl: 'http://arweave' });
});
