/** What a durable nonce account says, as it was read. */
import { NonceAccount } from '@solana/web3.js';
import { SYSTEM } from './programs.js';
import type { ChainAccount } from './rpc.js';

const NONCE_SIZE = 80;

/**
 * What a nonce account says; null for anything else. An authority may be given away and back without the value changing: that somebody else
 * has it now does not use the value up.
 */
export function readNonce(account: ChainAccount | null): { value: string; authority: string } | null {
  if (account === null || account.owner !== SYSTEM || account.data.length !== NONCE_SIZE) return null;
  if (account.data.readUInt32LE(0) !== 1 || account.data.readUInt32LE(4) !== 1) return null;
  const { nonce, authorizedPubkey } = NonceAccount.fromAccountData(account.data);
  return { value: nonce, authority: authorizedPubkey.toBase58() };
}

/** The value of a nonce account that the relayer has authority over; null for anything else. */
export function nonceValue(account: ChainAccount | null, relayer: string): string | null {
  const nonce = readNonce(account);
  return nonce?.authority === relayer ? nonce.value : null;
}
