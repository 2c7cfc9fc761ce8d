/** One asset's figures: what is there, what is owed, what is on its way. */
import type { Account } from './account.js';
import type { Deposit } from './facts.js';
import { ahead, type Standing } from './standing.js';

export interface AssetLine {
  asset: string;
  process: string;
  balance: bigint;
  locked: bigint;
  claimable: bigint;
  supply: bigint;
  balances: bigint;
  holders: number;
  inFlight: bigint;
  minted: bigint;
  burned: bigint;
  /** Paid on the chain, and of that what the process does not know yet. */
  released: bigint;
  unattested: bigint;
  /** Deposits not minted yet, and those of which nobody can be credited. */
  waiting: bigint;
  unmintable: bigint;
  /** Paid on the chain for what would be burned in slots that are not shown yet: nobody has seen that it was. */
  unshown: bigint;
  /** Real money beyond all that is owed. */
  surplus: bigint;
  deposits: number;
  mints: number;
  burns: number;
  releases: number;
}

/** @param deposits not minted yet, of all assets */
export function lineOf(account: Account, deposits: Iterable<Deposit>, standing: Standing): AssetLine {
  const { vault, processes } = standing;
  const { locked, balance, claimable } = vault.get(account.address) ?? { locked: 0n, balance: 0n, claimable: 0n };
  const state = processes.get(account.process);
  const { supply = 0n, inFlight = 0n, balances = 0n, holders = 0 } = state ?? {};
  const own = [...deposits].filter((d) => d.asset === account.address);
  const waiting = sum(own.filter((d) => d.recipient !== null));
  const unmintable = sum(own.filter((d) => d.recipient === null));
  const unshown = sum(ahead(account, standing));
  const unattested = sum(account.paid.values());
  const { asset, process, minted: mintedSum, burned, released, counts } = account;
  const surplus = balance - claimable - (supply + inFlight - unattested - unshown + waiting + unmintable);
  return {
    asset,
    process,
    balance,
    locked,
    claimable,
    supply,
    balances,
    holders,
    inFlight,
    minted: mintedSum,
    burned,
    released,
    unattested,
    waiting,
    unmintable,
    unshown,
    surplus,
    ...counts,
  };
}

function sum(list: Iterable<{ amount: bigint }>): bigint {
  let total = 0n;
  for (const { amount } of list) total += amount;
  return total;
}
