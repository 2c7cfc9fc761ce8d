/** Assets: what is locked on its one home chain and has exactly one token process on AO. */
import { zeroAddress } from 'viem';
import type { Hex } from 'viem';
import { isEthereumAddress } from './address.js';
import { BridgeError } from './errors.js';

export interface Asset {
  /** CAIP-19: `eip155:<id>/slip44:60` or `eip155:<id>/erc20:<address>` */
  id: string;
  /** CAIP-2 of the home chain */
  chain: string;
  /** Contract on the home chain; the zero address for the chain's coin. */
  address: Hex;
  symbol: string;
  name: string;
  decimals: number;
}

/** The CAIP-19 id of an asset on an Ethereum-like chain. @throws BridgeError `bad-address` */
export function assetId(chain: string, address: Hex): string {
  if (address === zeroAddress) return `${chain}/slip44:60`;
  if (!isEthereumAddress(address))
    throw new BridgeError('bad-address', 'A token address is written with its EIP-55 checksum.');
  return `${chain}/erc20:${address}`;
}

/** The numeric chain id of `eip155:<id>`. @throws BridgeError `bad-reference` */
export function chainIdOf(chain: string): number {
  const match = /^eip155:([1-9][0-9]{0,14})$/.exec(chain);
  if (!match) throw new BridgeError('bad-reference', 'An Ethereum-like chain is named eip155:<chain id>.');
  return Number(match[1]);
}
