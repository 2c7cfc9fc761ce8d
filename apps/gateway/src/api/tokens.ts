/** What controllers are given besides classes. */

/** `GatewayConfig` */
export const CONFIG = 'gateway-config';
/** `AoAddresses` */
export const AO_ADDRESSES = 'ao-addresses';

/** AO addresses of this gateway's units. */
export interface AoAddresses {
  scheduler: string;
  messenger: string;
}
