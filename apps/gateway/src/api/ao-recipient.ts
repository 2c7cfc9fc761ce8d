/** Recipients on AO as people write them. Solana's addresses are the trap: none is an AO address, and one in seventy reads as one. */
import { addressOfOwner } from '@isthmus/ao';
import { fromBase58, isAoAddress, isSolanaAddress } from '@isthmus/bridge';
import { hexAddressFault } from '../homes/ethereum/address.js';

/** ANS-104's number of Solana's key type. */
const SOLANA_KEY = 4;

/** The AO address of the key that Solana goes by. @param solana base58 of 32 bytes */
const ofSolana = (solana: string): string => addressOfOwner(SOLANA_KEY, Buffer.from(fromBase58(solana)));

/** What is wrong with it and what to write instead; null when it can hold tokens on AO. */
export function recipientFault(text: string): string | null {
  if (isAoAddress(text)) return null;
  if (text === '') return 'name the recipient: a 43-character AO address, or 0x with its checksum';
  if (isSolanaAddress(text)) return `an address of Solana; on AO its key goes by ${ofSolana(text)}`;
  return hexAddressFault(text) ?? 'neither a 43-character AO address nor an Ethereum address';
}

/** What to think of before money is sent to an AO address; null as a rule. */
export const recipientNote = (recipient: string): string | null =>
  isSolanaAddress(recipient)
    ? `This recipient also reads as an address of Solana. If it is one, nobody can spend on AO what comes to it: there its key goes by ${ofSolana(recipient)}.`
    : null;
