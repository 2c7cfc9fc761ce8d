/** One asset's figures: what is there, what is owed, what is on its way. */
import { lost, type Account } from './account.js';
import type { Deposit } from './facts.js';
import { isAhead, type Standing } from './standing.js';

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
  /** Fees the vault paid itself, for moving its coins: out of what came for nobody. */
  costs: bigint;
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
  const { vault, processes, hopeless } = standing;
  const { locked, balance, claimable } = vault.get(account.address) ?? { locked: 0n, balance: 0n, claimable: 0n };
  const state = processes.get(account.process);
  const { supply = 0n, inFlight = 0n, balances = 0n, holders = 0 } = state ?? {};
  const own = [...deposits].filter((d) => d.asset === account.address);
  const isDue = ({ reference, to }: Deposit): boolean => 'recipient' in to && !hopeless.has(reference);
  const waiting = sum(own.filter(isDue).map((d) => d.amount));
  const unmintable = sum(own.filter((d) => !isDue(d)).map((d) => d.amount + d.fee));
  const unshown = sum([
    ...[...account.releases.values()].filter((r) => isAhead(account, standing, r)).map((r) => r.paid + (r.fee ?? 0n)),
    ...[...account.spends.values()].filter((s) => isAhead(account, standing, s)).map(lost),
  ]);
  const unattested = sum([...account.paid.values()].map((p) => p.amount));
  const { asset, process, minted: mintedSum, burned, released, costs, counts } = account;
  const forNobody = unmintable > costs ? unmintable - costs : 0n;
  const surplus = balance - claimable - (supply + inFlight - unattested - unshown + waiting + forNobody);
  return {
    asset,
    process,
    balance,
    locked: locked ?? balance,
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
    costs,
    unshown,
    surplus,
    ...counts,
  };
}

const sum = (list: readonly bigint[]): bigint => list.reduce((total, amount) => total + amount, 0n);
