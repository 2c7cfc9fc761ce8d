/**
 * The vault's contract at an address that follows from its code and its guardians: made through the factory that stands at one address on all chains
 * (github.com/Arachnid/deterministic-deployment-proxy). So who makes it again, after a crash or elsewhere, makes the same one or finds it there.
 */
import { concatHex, encodeDeployData, getContractAddress, keccak256, stringToHex, type Abi, type Hex } from 'viem';

/** Whoever calls it with a salt and code makes a contract of that code. */
export const CONTRACT_FACTORY: Hex = '0x4e59b44847b379578588920cA78FbF26c0B4956C';
const SALT = keccak256(stringToHex('isthmus vault 1'));

export interface VaultContract {
  address: Hex;
  /** Of the transaction to the factory that makes it. */
  data: Hex;
}

/** The vault of these guardians, by their addresses in their order. */
export function vaultContract(
  compiled: { abi: unknown[]; bytecode: Hex },
  guardians: readonly string[],
  threshold: number,
  pauseThreshold: number,
): VaultContract {
  const args = [guardians, threshold, pauseThreshold];
  const bytecode = encodeDeployData({ abi: compiled.abi as Abi, bytecode: compiled.bytecode, args });
  const address = getContractAddress({ opcode: 'CREATE2', from: CONTRACT_FACTORY, salt: SALT, bytecode });
  return { address, data: concatHex([SALT, bytecode]) };
}
