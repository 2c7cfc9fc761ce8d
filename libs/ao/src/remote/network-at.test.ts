import { CoreNetwork } from './core-network.js';
import { IsthmusNetwork } from './isthmus-network.js';
import { LegacyNetwork } from './legacy-network.js';
import { networkAt } from './network-at.js';

it('a place is a network of its kind', () => {
  const url = 'http://127.0.0.1:1';
  expect(networkAt({ isthmusUrl: url })).toBeInstanceOf(IsthmusNetwork);
  expect(networkAt({ nodeUrl: url, gatewayUrl: url })).toBeInstanceOf(CoreNetwork);
  expect(networkAt({ schedulerUrl: url, messengerUrl: url, gatewayUrl: url })).toBeInstanceOf(LegacyNetwork);
});
