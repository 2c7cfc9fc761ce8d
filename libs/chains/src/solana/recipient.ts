/** Whether a recipient can be paid now, and whether its token account must be made first. What cannot be paid waits, and holds up nobody else. */
import { AccountLayout, AccountState } from '@solana/spl-token';
import type { DepositVault } from './build.js';
import { isNative, SYSTEM } from './programs.js';
import type { ChainAccount } from './rpc.js';

/** `frozen`: by the issuer. `not-theirs`: its owner has given its account away, and would not be paid. */
export type RecipientStanding =
  | { payable: true; create: boolean }
  | { payable: false; why: 'frozen' | 'not-theirs' | 'below-rent' | 'not-a-wallet' };

/** Least an account without data holds, lamports: 128 bytes of overhead at 6,960 each. */
const RENT_EXEMPT = 890_880n;

/** `wallet` is what is at the recipient's address, `account` at where it is paid (`paidAt`); `amount` is what it would get. */
export function judgeRecipient(
  vault: DepositVault,
  recipient: string,
  { wallet, account }: { wallet: ChainAccount | null; account: ChainAccount | null },
  amount: bigint,
): RecipientStanding {
  if (isNative(vault)) {
    if (wallet !== null && (wallet.executable || wallet.owner !== SYSTEM))
      return { payable: false, why: 'not-a-wallet' };
    const enough = (wallet?.lamports ?? 0n) + amount >= RENT_EXEMPT;
    return enough ? { payable: true, create: false } : { payable: false, why: 'below-rent' };
  }
  if (account === null || (account.owner === SYSTEM && account.data.length === 0))
    return { payable: true, create: true };
  if (account.owner !== vault.program || account.data.length < AccountLayout.span)
    return { payable: false, why: 'not-theirs' };
  const { mint, owner, state } = AccountLayout.decode(account.data.subarray(0, AccountLayout.span));
  if (mint.toBase58() !== vault.mint || owner.toBase58() !== recipient) return { payable: false, why: 'not-theirs' };
  return (state as AccountState) === AccountState.Frozen
    ? { payable: false, why: 'frozen' }
    : { payable: true, create: false };
}
