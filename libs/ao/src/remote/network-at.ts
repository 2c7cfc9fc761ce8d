/** A network of AO by where it is: legacy units, a node of AO-Core, or a gateway of Isthmus. */
import type { AoNetwork } from '../engine.js';
import type { CoreConfig, NetworkConfig } from './config.js';
import { CoreNetwork } from './core-network.js';
import { IsthmusNetwork } from './isthmus-network.js';
import { LegacyNetwork } from './legacy-network.js';

/** Plain data: a configuration names it, and processes hand it to each other. */
export type NetworkPlace = NetworkConfig | CoreConfig | { isthmusUrl: string };

export function networkAt(place: NetworkPlace): AoNetwork {
  if ('isthmusUrl' in place) return new IsthmusNetwork(place.isthmusUrl);
  return 'nodeUrl' in place ? new CoreNetwork(place) : new LegacyNetwork(place);
}
