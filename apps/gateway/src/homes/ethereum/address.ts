/** Ethereum addresses as people write them, and what is wrong with those that are none. */
import { getAddress } from 'viem';

const HEX_ADDRESS = /^0[xX][0-9a-fA-F]{40}$/;

export const isHexAddress = (text: string): boolean => HEX_ADDRESS.test(text);

/** An Ethereum address as EIP-55 writes it. */
export const spelled = (text: string): string => getAddress(`0x${text.slice(2).toLowerCase()}`);

export const wrongChecksum = (text: string): string => `wrong checksum; as EIP-55 writes it: ${spelled(text)}`;

/** What is wrong with 0x and 40 hex digits that are no address of somebody's; null for anything else. */
export function hexAddressFault(text: string): string | null {
  if (!isHexAddress(text)) return null;
  return /^0x0{40}$/i.test(text) ? 'the zero address: nobody could ever move what is sent there' : wrongChecksum(text);
}
