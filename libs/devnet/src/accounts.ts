/** The well-known accounts of local chains: whoever knows this file can spend what they hold. */
import { createHash } from 'node:crypto';
import { Keypair } from '@solana/web3.js';
import type { Hex } from 'viem';
import { mnemonicToAccount, type HDAccount } from 'viem/accounts';
import { DEV_MNEMONIC } from './anvil.js';

/** Accounts asked for so far, of the ten there are: deriving one takes a tenth of a second. */
const accounts = new Map<number, HDAccount>();

/** One of anvil's funded accounts. */
export function devAccount(index: number): HDAccount {
  let account = accounts.get(index);
  if (!account) accounts.set(index, (account = mnemonicToAccount(DEV_MNEMONIC, { addressIndex: index })));
  return account;
}

/** Private key of one of anvil's funded accounts. */
export function devKey(index: number): Hex {
  const key = devAccount(index).getHdKey().privateKey;
  if (!key) throw new Error('The development mnemonic gives no private key.');
  return `0x${Buffer.from(key).toString('hex')}`;
}

/** A wallet on the local Solana. */
export function devWallet(index: number): Keypair {
  return Keypair.fromSeed(createHash('sha256').update(`isthmus devnet solana ${index}`).digest());
}
