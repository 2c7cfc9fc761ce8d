/** Where the AO that a gateway's configuration names is read and written. */
import type { CoreConfig, NetworkConfig, NetworkPlace } from '@isthmus/ao';
import type { GatewayConfig } from './config.js';

type Ao = GatewayConfig['ao'];
export type AoSettings<E extends Ao['engine']> = Extract<Ao, { engine: E }>;

export const legacyPlace = ({ schedulerUrl, messengerUrl, gatewayUrl }: AoSettings<'remote'>): NetworkConfig => ({
  schedulerUrl,
  messengerUrl,
  gatewayUrl,
});

/** The first node schedules. */
export const corePlace = ({ nodeUrls, gatewayUrl }: AoSettings<'core'>): CoreConfig => ({
  nodeUrl: nodeUrls[0] ?? '',
  gatewayUrl,
});

/** @param ownUrl of this gateway, which is the network where it carries AO itself */
export function placeOf(ao: Ao, ownUrl: string): NetworkPlace {
  switch (ao.engine) {
    case 'embedded':
      return { isthmusUrl: ownUrl };
    case 'remote':
      return legacyPlace(ao);
    case 'core':
      return corePlace(ao);
  }
}
