/** Findings that are so as things stand, and may be so no longer when more is known: what has no counterpart, what is late, what does not add up. */
import { about, lost, minted, said, subject, type Account } from './account.js';
import type { AssetLine } from './asset-line.js';
import type { Deposit, Mint } from './facts.js';
import type { Finding, FindingCode } from './findings.js';
import { isAhead, type Standing } from './standing.js';

/** What waits for its counterpart. */
export interface Waiting {
  /** Of all assets. */
  deposits: readonly Deposit[];
  /** Of the account's process. */
  mints: readonly Mint[];
}

/** @param line of the account as things stand */
export function openFindings(account: Account, line: AssetLine, waiting: Waiting, standing: Standing): Finding[] {
  return [
    ...unmatched(account, waiting, standing),
    ...late(account, waiting, standing),
    ...amiss(account, line, standing),
  ];
}

/** What has no counterpart. */
function unmatched(account: Account, { mints }: Waiting, standing: Standing): Finding[] {
  return [
    ...mints.map((mint) =>
      about('mint-without-deposit', account, mint.reference, `${minted(mint)}, and no final block has such a deposit.`),
    ),
    ...unshownYet(account, standing, account.spends.values()).map((s) =>
      about(
        'unknown-spend',
        account,
        s.tx,
        `Block ${s.block}: ${lost(s)} of the vault’s coins, and nobody proposed it.`,
      ),
    ),
    ...unshownYet(account, standing, account.releases.values()).map((r) =>
      about(
        'release-without-burn',
        account,
        subject(account, r.number),
        `${said(r)}, and the process never burned it.`,
      ),
    ),
    ...[...account.attestations.values()].map((a) =>
      about(
        'attested-without-release',
        account,
        subject(account, a.number),
        `Slot ${a.slot} says it was paid in ${a.tx}, and no final block has such a release.`,
      ),
    ),
  ];
}

/** What has no counterpart, but what may have it in slots that are not shown yet. */
function unshownYet<T extends { block: bigint }>(account: Account, standing: Standing, list: Iterable<T>): T[] {
  return [...list].filter((one) => !isAhead(account, standing, one));
}

/** What waits longer than it may. */
function late(
  account: Account,
  { deposits }: Waiting,
  { now, patienceMs, times, hopeless, vaultPaused, processes }: Standing,
): Finding[] {
  const waits = (at: number | undefined): string | null =>
    at !== undefined && now - at > patienceMs ? `waits for ${Math.floor((now - at) / 60_000)} minutes` : null;
  const found: Finding[] = [];
  for (const d of deposits) {
    const long = waits(times.get(d.block));
    const isDue = d.asset === account.address && 'recipient' in d.to && !hopeless.has(d.reference);
    if (isDue && long !== null)
      found.push(about('deposit-not-minted', account, d.reference, `${d.amount} of block ${d.block} ${long}.`));
  }
  for (const b of account.burns.values()) {
    const long = waits(b.at);
    if (long !== null && !account.attestations.has(b.number))
      found.push(
        about(
          'withdrawal-not-released',
          account,
          subject(account, b.number),
          `${b.amount} burned in slot ${b.slot} ${long}.`,
        ),
      );
  }
  for (const { release: r } of account.paid.values()) {
    const long = waits(times.get(r.block));
    if (long !== null)
      found.push(
        about(
          'release-not-attested',
          account,
          subject(account, r.number),
          `${r.paid + r.fee} paid in block ${r.block} ${long}.`,
        ),
      );
  }
  if (vaultPaused) found.push(about('paused', account, account.vault, 'The vault is paused.'));
  if (processes.get(account.process)?.paused === true)
    found.push(about('paused', account, account.process, 'The process is paused.'));
  return found;
}

/** Where the sums are not what they must be. */
function amiss(account: Account, line: AssetLine, standing: Standing): Finding[] {
  const state = standing.processes.get(account.process);
  const found: Finding[] = [];
  const differ = (code: FindingCode, what: string, is: bigint, must: bigint): void => {
    if (is !== must) found.push(about(code, account, what, `It is ${is} and must be ${must}.`));
  };
  const { balance, locked, claimable, supply, surplus } = line;
  const counts = standing.vault.get(account.address)?.locked !== null;
  const owed = balance - claimable - surplus;
  const short = surplus < 0n ? -surplus : owed > locked ? owed - locked : 0n;
  if (short > 0n)
    found.push(
      about(
        'undercollateralised',
        account,
        account.vault,
        `${short} short: ${owed} is owed, and there is ${owed - short}.`,
      ),
    );
  if (balance < locked + claimable)
    found.push(
      about(
        'balance-below-count',
        account,
        account.vault,
        `It has ${balance} and counts ${locked} locked and ${claimable} claimable.`,
      ),
    );
  if (counts) differ('vault-count-differs', 'locked', locked, account.deposited - account.released);
  if (!state) return found;
  differ('supply-differs', 'minted', state.minted, account.minted);
  differ('supply-differs', 'burned', state.burned, account.burned);
  differ('supply-differs', 'released', state.released, account.attested);
  differ('supply-differs', 'supply', supply, account.minted - account.burned);
  differ('supply-differs', 'in flight', state.inFlight, account.burned - account.attested);
  differ('supply-differs', 'sum of balances', state.balances, supply);
  if (standing.knownCode.size > 0 && !standing.knownCode.has(state.code))
    found.push(about('unknown-code', account, account.process, `It runs a source with SHA-256 ${state.code}.`));
  return found;
}
