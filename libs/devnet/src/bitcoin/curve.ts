/** Addresses of regtest and the curve they need: bitcoinjs-lib knows taproot only once it is given one. */
import { address as addresses, initEccLib, networks } from 'bitcoinjs-lib';
import * as curve from 'tiny-secp256k1';

initEccLib(curve);

export { curve };

/** @throws Error when it is no address of regtest */
export const scriptOf = (address: string): Uint8Array => addresses.toOutputScript(address, networks.regtest);

/** @throws Error when the script has none */
export const addressOf = (script: Uint8Array): string => addresses.fromOutputScript(script, networks.regtest);
