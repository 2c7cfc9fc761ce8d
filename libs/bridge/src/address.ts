/** Addresses: AO addresses (Arweave or Ethereum form) and Ethereum addresses, each in one canonical spelling. */
import { getAddress, isAddress, zeroAddress } from 'viem';
import type { Hex } from 'viem';
import { BridgeError } from './errors.js';

const ARWEAVE = /^[A-Za-z0-9_-]{43}$/;

/** Whether `text` is 43 characters of base64url that encode exactly 32 bytes (the last character's spare bits are zero). */
export function isArweaveAddress(text: unknown): text is string {
  return (
    typeof text === 'string' && ARWEAVE.test(text) && Buffer.from(text, 'base64url').toString('base64url') === text
  );
}

/** Whether `text` is an Ethereum address with a right EIP-55 checksum; the zero address is not one. */
export function isEthereumAddress(text: unknown): text is Hex {
  // viem's strict check also lets an all-lower-case address through; here only the checksummed spelling counts.
  return (
    typeof text === 'string' && isAddress(text, { strict: true }) && getAddress(text) === text && text !== zeroAddress
  );
}

/** Whether `text` can hold tokens on AO. */
export function isAoAddress(text: unknown): text is string {
  return isArweaveAddress(text) || isEthereumAddress(text);
}

/** The bytes a deposit carries for an AO recipient: 32 (Arweave) or 20 (Ethereum). @throws BridgeError `bad-address` */
export function aoAddressToBytes(text: unknown): Uint8Array {
  if (isArweaveAddress(text)) return Buffer.from(text, 'base64url');
  if (isEthereumAddress(text)) return Buffer.from(text.slice(2), 'hex');
  throw new BridgeError(
    'bad-address',
    'An AO recipient is a 43-character Arweave address (base64url) or a checksummed 0x address.',
  );
}

/** The AO recipient a deposit names. @throws BridgeError `bad-address` when not 20 or 32 bytes, or the zero address. */
export function aoAddressFromBytes(bytes: Uint8Array): string {
  if (bytes.length === 32) return Buffer.from(bytes).toString('base64url');
  if (bytes.length === 20) {
    const address = getAddress(`0x${Buffer.from(bytes).toString('hex')}`);
    if (address !== zeroAddress) return address;
  }
  throw new BridgeError(
    'bad-address',
    'A deposit names its recipient by 32 bytes (Arweave) or 20 non-zero bytes (Ethereum).',
  );
}

/** A process id as the 32 bytes the vault knows it by. @throws BridgeError `bad-process` */
export function processToBytes32(process: string): Hex {
  if (!isArweaveAddress(process)) throw new BridgeError('bad-process', 'A process id has 43 characters of base64url.');
  return `0x${Buffer.from(process, 'base64url').toString('hex')}`;
}

/** The inverse of `processToBytes32`. @throws BridgeError `bad-process` */
export function processFromBytes32(bytes: Hex): string {
  if (!/^0x[0-9a-f]{64}$/i.test(bytes)) throw new BridgeError('bad-process', 'A process is 32 bytes.');
  return Buffer.from(bytes.slice(2), 'hex').toString('base64url');
}
