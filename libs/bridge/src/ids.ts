/** Ids of deposits and withdrawals: the same transfer has one id, whoever computes it. */
import { keccak256, stringToHex } from 'viem';
import type { Hex } from 'viem';
import { isArweaveAddress } from './address.js';
import { BridgeError } from './errors.js';
import { MAX_NUMBER } from './home-chain.js';

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
