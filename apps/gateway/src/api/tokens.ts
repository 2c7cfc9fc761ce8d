/** What controllers are given besides classes. */

/** `GatewayConfig` */
export const CONFIG = 'gateway-config';
/** `AoAddresses` */
export const AO_ADDRESSES = 'ao-addresses';

/** `ReceiptKeys`, or null */
export const RECEIPT_KEYS = 'receipt-keys';

/** AO addresses of this gateway's units. */
export interface AoAddresses {
  scheduler: string;
  messenger: string;
}
