/** What the auditor knows of one asset and has not matched yet, and the sums of all there was. */
import type { AssetPlace, Attested, Burn, Mint, Release, VaultSpend } from './facts.js';
import { finding, type Finding, type FindingCode } from './findings.js';
import { NumberSet } from './number-set.js';

/** A release, and what was burned for it. */
export interface Paid {
  release: Release & { fee: bigint };
  amount: bigint;
}

export interface Account extends AssetPlace {
  deposited: bigint;
  released: bigint;
  minted: bigint;
  burned: bigint;
  attested: bigint;
  counts: { deposits: number; mints: number; burns: number; releases: number };
  burns: Map<bigint, Burn>;
  /** Paid on the chain for a known burn, not known to the process. */
  paid: Map<bigint, Paid>;
  /** On the chain without a known burn. */
  releases: Map<bigint, Release>;
  /** Known to the process, not on the chain. */
  attestations: Map<bigint, Attested>;
  burnt: NumberSet;
  settled: NumberSet;
  /** What proposed transactions pay, as whoever named one said, by its id. */
  proposals: Map<string, readonly bigint[]>;
  /** Transactions of the vault that nobody proposed. */
  spends: Map<string, VaultSpend>;
  /** Fees of transactions that paid nobody. */
  costs: bigint;
}

export function accountOf(place: AssetPlace): Account {
  return {
    ...place,
    deposited: 0n,
    released: 0n,
    minted: 0n,
    burned: 0n,
    attested: 0n,
    counts: { deposits: 0, mints: 0, burns: 0, releases: 0 },
    burns: new Map(),
    paid: new Map(),
    releases: new Map(),
    attestations: new Map(),
    burnt: new NumberSet(),
    settled: new NumberSet(),
    proposals: new Map(),
    spends: new Map(),
    costs: 0n,
  };
}

export const about = (code: FindingCode, { asset }: AssetPlace, what: string, detail: string): Finding =>
  finding(code, asset, what, detail);
export const subject = ({ process }: AssetPlace, number: bigint): string => `${process}/${number}`;
export const minted = ({ slot, amount, recipient }: Mint): string => `Slot ${slot} mints ${amount} to ${recipient}`;
export const said = ({ block, tx, paid, fee, recipient }: Release): string =>
  `Block ${block} (${tx}) pays ${paid + (fee ?? 0n)} to ${recipient}`;
/** What a transaction of the vault took away from it. */
export const lost = ({ taken, outputs }: VaultSpend): bigint => {
  const kept = outputs.reduce((sum, { amount, isVault }) => (isVault ? sum + amount : sum), 0n);
  return taken > kept ? taken - kept : 0n;
};
