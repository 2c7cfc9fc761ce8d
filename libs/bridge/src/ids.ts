/** References and ids of deposits and withdrawals: the same transfer has one id, whoever computes it. */
import { keccak256, stringToHex } from 'viem';
import type { Hex } from 'viem';
import { isArweaveAddress, isEthereumAddress } from './address.js';
import { BridgeError } from './errors.js';

/** Where a deposit on an Ethereum-like chain is found. */
export interface EthereumDepositPlace {
  /** CAIP-2 */
  chain: string;
  vault: Hex;
  /** The vault's own sequence number, from 1. */
  sequence: bigint;
}

const ETHEREUM_REFERENCE = /^(eip155:[1-9][0-9]{0,31}):(0x[0-9a-fA-F]{40}):([1-9][0-9]{0,18})$/;
/** Sequence and withdrawal numbers are 64-bit unsigned in the vault; here they stop at 2^63 - 1, which fits everywhere (X3). */
export const MAX_NUMBER = 2n ** 63n - 1n;

/** `<caip2>:<vault>:<sequence>`. @throws BridgeError `bad-reference` */
export function depositReference({ chain, vault, sequence }: EthereumDepositPlace): string {
  const reference = `${chain}:${vault}:${sequence}`;
  parseDepositReference(reference);
  return reference;
}

/** Reads an Ethereum deposit reference. @throws BridgeError `bad-reference` */
export function parseDepositReference(reference: string): EthereumDepositPlace {
  const [, chain, vault, digits] = ETHEREUM_REFERENCE.exec(reference) ?? [];
  const sequence = BigInt(digits ?? 0);
  if (!chain || !isEthereumAddress(vault) || sequence > MAX_NUMBER) {
    throw new BridgeError('bad-reference', 'A deposit reference is <caip2>:<vault, checksummed>:<sequence from 1>.');
  }
  return { chain, vault, sequence };
}

/** A deposit's id, from its reference alone. */
export function depositId(reference: string): Hex {
  return keccak256(stringToHex(`isthmus/deposit/1\n${reference}`));
}

/** A withdrawal's id, from its token process and number. @throws BridgeError `bad-process`, `bad-reference` */
export function withdrawalId(process: string, number: bigint): Hex {
  if (!isArweaveAddress(process)) throw new BridgeError('bad-process', 'A process id has 43 characters of base64url.');
  if (number < 1n || number > MAX_NUMBER) throw new BridgeError('bad-reference', 'Withdrawals are numbered from 1.');
  return keccak256(stringToHex(`isthmus/withdrawal/1\n${process}\n${number}`));
}
