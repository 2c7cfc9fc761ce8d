/** What token accounts say, as a validator reads them into a transaction's balances. */
import { toBase58 } from '@isthmus/bridge';
import type { AccountState } from './runtime.js';

export const TOKEN_PROGRAMS = [
  'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA',
  'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb',
] as const;
const ACCOUNT_SIZE = 165;
const MULTISIG_SIZE = 355;
/** What follows an account's or mint's 165 bytes under Token-2022. */
const TYPE_ACCOUNT = 2;

export interface TokenState {
  mint: string;
  owner: string;
  amount: bigint;
  program: string;
}

/** A token account's content; null for anything else. */
export function tokenState(account: AccountState | null): TokenState | null {
  if (account === null || !TOKEN_PROGRAMS.includes(account.owner as (typeof TOKEN_PROGRAMS)[number])) return null;
  const { data } = account;
  const extended = data.length > ACCOUNT_SIZE && data.length !== MULTISIG_SIZE && data[ACCOUNT_SIZE] === TYPE_ACCOUNT;
  if ((data.length !== ACCOUNT_SIZE && !extended) || data[108] === 0) return null;
  return {
    mint: toBase58(data.subarray(0, 32)),
    owner: toBase58(data.subarray(32, 64)),
    amount: data.readBigUInt64LE(64),
    program: account.owner,
  };
}

/** Decimals of a mint; 0 when it is none. */
export function decimalsOf(mint: AccountState | null): number {
  return mint?.data[44] ?? 0;
}

/** An amount as the RPC shows it. */
export function uiAmount(amount: bigint, decimals: number) {
  const digits = amount.toString().padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '');
  const text = fraction ? `${whole}.${fraction}` : whole;
  return { amount: amount.toString(), decimals, uiAmount: Number(text), uiAmountString: text };
}
