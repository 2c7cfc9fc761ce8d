/**
 * The auditor's books: every mint against its deposit, every release on the chain against its burn, every release the process knows against one
 * on the chain. Facts come in any order and are forgotten once they are matched, so that going on costs what is new; what does not match, and
 * what is still unmatched when a report is made, are findings.
 */
import type { AssetPlace, Attested, Burn, Deposit, Hex, Mint, ProcessState, Release, VaultState } from './facts.js';
import { finding, inOrder, type Finding, type FindingCode } from './findings.js';
import { depositIdOf, isNoticeOf, sequenceOf, withdrawalIdOf } from './forms.js';
import { NumberSet } from './number-set.js';

/** Mismatches kept; where there are more, the rest is counted. */
const MAX_KEPT = 10_000;

/** What a report is made of beside the facts. */
export interface Standing {
  /** Time of the audited block, milliseconds: how long things wait is measured by it. */
  now: number;
  /** How long a deposit, a withdrawal, an attestation may take, milliseconds. */
  patienceMs: number;
  /** Times of blocks, milliseconds; of a block not among them nothing is said to be late. */
  times: ReadonlyMap<bigint, number>;
  vaultPaused: boolean;
  vault: ReadonlyMap<Hex, VaultState>;
  processes: ReadonlyMap<string, ProcessState>;
  /**
   * Up to when schedules are shown, by process, milliseconds; of one not among them, all there is. A release after that has its burn where nobody
   * can see it yet, and is judged when the schedule has come so far, or patience is over.
   */
  shownUntil: ReadonlyMap<string, number>;
  /** SHA-256 of the sources a token may run; empty: any. */
  knownCode: ReadonlySet<string>;
}

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

/** A release, and what was burned for it. */
interface Paid {
  release: Release;
  amount: bigint;
}

interface Account extends AssetPlace {
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
}

export class Books {
  private readonly accounts = new Map<string, Account>();
  private readonly byAddress = new Map<Hex, Account>();
  private readonly deposits = new Map<bigint, Deposit>();
  /** Mints without a known deposit. */
  private readonly mints = new Map<bigint, { mint: Mint; account: Account }>();
  private readonly minted = new NumberSet();
  private highest = 0n;
  private readonly kept: Finding[] = [];
  private notKept = 0;

  constructor(places: readonly AssetPlace[]) {
    for (const place of places) {
      const account = accountOf(place);
      this.accounts.set(place.process, account);
      this.byAddress.set(place.address, account);
    }
  }

  // What the chain says -----------------------------------------------------------------------------------------------

  deposit(deposit: Deposit): void {
    if (deposit.sequence > this.highest) this.highest = deposit.sequence;
    const account = this.byAddress.get(deposit.asset);
    if (account) {
      account.deposited += deposit.amount;
      account.counts.deposits += 1;
    }
    const waiting = this.mints.get(deposit.sequence);
    if (waiting) {
      this.mints.delete(deposit.sequence);
      this.match(waiting.account, waiting.mint, deposit);
    } else if (account) this.deposits.set(deposit.sequence, deposit);
  }

  release(release: Release): void {
    const account = this.accounts.get(release.process);
    const asset = this.byAddress.get(release.asset);
    if (asset) {
      asset.released += release.amount;
      asset.counts.releases += 1;
    }
    const holder = account ?? asset;
    if (!holder) return; // of an asset that is not audited
    const { number } = release;
    if (!account) {
      this.note(
        'release-without-burn',
        holder,
        `${release.process}/${number}`,
        `${said(release)}, for a process that is none of this asset.`,
      );
      return;
    }
    if (account.settled.has(number) || account.paid.has(number) || account.releases.has(number)) {
      this.note('double-release', account, subject(account, number), `${said(release)}, and was paid before.`);
      return;
    }
    const burn = account.burns.get(number);
    if (burn) this.pay(account, burn, release);
    else account.releases.set(number, release);
  }

  // What the process says -----------------------------------------------------------------------------------------------

  mint(process: string, mint: Mint): void {
    const account = this.account(process);
    account.minted += mint.amount;
    account.counts.mints += 1;
    const sequence = sequenceOf(mint.reference, account);
    if (sequence === null || depositIdOf(mint.reference) !== mint.id) {
      this.note(
        'mint-without-deposit',
        account,
        mint.reference,
        `${minted(mint)}, which is no deposit of this vault, or not by this id (${mint.id}).`,
      );
      return;
    }
    if (this.minted.has(sequence) || this.mints.has(sequence)) {
      this.note('double-mint', account, mint.reference, `${minted(mint)}, and was minted before.`);
      return;
    }
    const deposit = this.deposits.get(sequence);
    if (deposit) this.match(account, mint, deposit);
    else if (sequence <= this.highest) this.foreign(account, mint, sequence);
    else this.mints.set(sequence, { mint, account });
  }

  burn(process: string, burn: Burn): void {
    const account = this.account(process);
    account.burned += burn.amount;
    account.counts.burns += 1;
    const { number } = burn;
    if (account.burnt.has(number)) {
      this.note(
        'double-burn',
        account,
        subject(account, number),
        `Slot ${burn.slot} gives a number that was given before.`,
      );
      return;
    }
    account.burnt.add(number);
    if (withdrawalIdOf(process, number) !== burn.id)
      this.note('release-differs', account, subject(account, number), `Its id ${burn.id} is not that of its number.`);
    const release = account.releases.get(number);
    if (release) {
      account.releases.delete(number);
      this.pay(account, burn, release);
    } else account.burns.set(number, burn);
  }

  attested(process: string, attested: Attested): void {
    const account = this.account(process);
    const { number } = attested;
    if (account.settled.has(number) || account.attestations.has(number)) {
      this.note('double-attestation', account, subject(account, number), `Slot ${attested.slot} settles it again.`);
      return;
    }
    account.attested += account.burns.get(number)?.amount ?? account.paid.get(number)?.amount ?? 0n;
    const paid = account.paid.get(number);
    if (paid) this.settle(account, paid.release, attested);
    else account.attestations.set(number, attested);
  }

  // What they come to ---------------------------------------------------------------------------------------------------

  /** Whether there is anything that only a later look at the other side could explain. */
  get hasUnexplained(): boolean {
    return this.unexplained.length > 0;
  }

  /** What that is: mints without a deposit, releases without a burn, attestations without a release. */
  get unexplained(): string[] {
    const accounts = [...this.accounts.values()];
    return [
      ...[...this.mints.values()].map(({ mint }) => `the mint of ${mint.reference}`),
      ...accounts.flatMap((a) => [...a.releases.keys()].map((n) => `the release of withdrawal ${subject(a, n)}`)),
      ...accounts.flatMap((a) =>
        [...a.attestations.keys()].map((n) => `the attestation of withdrawal ${subject(a, n)}`),
      ),
    ];
  }

  /** Blocks whose time is needed to say what is late: those of the oldest things that wait, at most this many. */
  waitingBlocks(most: number): bigint[] {
    const blocks = new Set<bigint>();
    const releases = [...this.accounts.values()].flatMap((a) => [
      ...[...a.paid.values()].map((p) => p.release),
      ...a.releases.values(),
    ]);
    for (const { block } of [...this.deposits.values(), ...releases]) blocks.add(block);
    return [...blocks].toSorted((a, b) => (a < b ? -1 : 1)).slice(0, most);
  }

  /** Findings as things stand, in order, and how many more there are that were not kept. */
  findings(standing: Standing): { findings: Finding[]; more: number } {
    const open = [...this.accounts.values()].flatMap((account) => [
      ...this.unmatched(account, standing),
      ...this.late(account, standing),
      ...this.amiss(account, standing),
    ]);
    return { findings: inOrder([...this.kept, ...open]), more: this.notKept };
  }

  /** Each asset's figures. */
  lines(standing: Standing): AssetLine[] {
    return [...this.accounts.values()].map((account) => this.line(account, standing));
  }

  private line(account: Account, standing: Standing): AssetLine {
    const { vault, processes } = standing;
    const { locked, balance, claimable } = vault.get(account.address) ?? { locked: 0n, balance: 0n, claimable: 0n };
    const state = processes.get(account.process);
    const { supply = 0n, inFlight = 0n, balances = 0n, holders = 0 } = state ?? {};
    const own = [...this.deposits.values()].filter((d) => d.asset === account.address);
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

  /** What has no counterpart. */
  private unmatched(account: Account, standing: Standing): Finding[] {
    const mints = [...this.mints.values()].filter((m) => m.account === account);
    return [
      ...mints.map(({ mint }) =>
        about(
          'mint-without-deposit',
          account,
          mint.reference,
          `${minted(mint)}, and no final block has such a deposit.`,
        ),
      ),
      ...this.unburned(account, standing).map((r) =>
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

  /** Releases without a burn, but those whose burn may be in slots that are not shown yet. */
  private unburned(account: Account, standing: Standing): Release[] {
    const early = new Set(ahead(account, standing));
    return [...account.releases.values()].filter((r) => !early.has(r));
  }

  /** What waits longer than it may. */
  private late(account: Account, { now, patienceMs, times, vaultPaused, processes }: Standing): Finding[] {
    const waits = (at: number | undefined): string | null =>
      at !== undefined && now - at > patienceMs ? `waits for ${Math.floor((now - at) / 60_000)} minutes` : null;
    const found: Finding[] = [];
    for (const d of this.deposits.values()) {
      const long = waits(times.get(d.block));
      if (d.asset === account.address && d.recipient !== null && long !== null)
        found.push(
          about(
            'deposit-not-minted',
            account,
            reference(account, d.sequence),
            `${d.amount} of block ${d.block} ${long}.`,
          ),
        );
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
            `${r.amount} paid in block ${r.block} ${long}.`,
          ),
        );
    }
    if (vaultPaused) found.push(about('paused', account, account.vault, 'The vault is paused.'));
    if (processes.get(account.process)?.paused === true)
      found.push(about('paused', account, account.process, 'The process is paused.'));
    return found;
  }

  /** Where the sums are not what they must be. */
  private amiss(account: Account, standing: Standing): Finding[] {
    const line = this.line(account, standing);
    const state = standing.processes.get(account.process);
    const found: Finding[] = [];
    const differ = (code: FindingCode, what: string, is: bigint, must: bigint): void => {
      if (is !== must) found.push(about(code, account, what, `It is ${is} and must be ${must}.`));
    };
    const { balance, locked, claimable, supply, surplus } = line;
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
    differ('vault-count-differs', 'locked', locked, account.deposited - account.released);
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

  // Matching --------------------------------------------------------------------------------------------------------------

  private match(account: Account, mint: Mint, deposit: Deposit): void {
    this.minted.add(deposit.sequence);
    this.deposits.delete(deposit.sequence);
    const differences = [
      ...difference('asset', account.address, deposit.asset),
      ...difference('recipient', mint.recipient, deposit.recipient ?? 'nobody'),
      ...difference('amount', mint.amount, deposit.amount),
      ...difference('sender', mint.sender, deposit.sender),
      ...difference('transaction', mint.tx, deposit.tx),
      ...difference('tags', mint.tags, deposit.tags),
      ...(isNoticeOf(mint) ? [] : ['the notice to the recipient says something else']),
    ];
    if (differences.length > 0)
      this.note('mint-differs', account, mint.reference, `${minted(mint)}: ${differences.join('; ')}.`);
  }

  private foreign(account: Account, mint: Mint, sequence: bigint): void {
    this.minted.add(sequence);
    this.note('mint-differs', account, mint.reference, `${minted(mint)}: the deposit is of another asset.`);
  }

  private pay(account: Account, burn: Burn, release: Release): void {
    const { number } = burn;
    account.burns.delete(number);
    const differences = [
      ...difference('asset', release.asset, account.address),
      ...difference('recipient', release.recipient, burn.recipient),
      ...difference('amount', release.amount, burn.amount),
      ...(release.fee > burn.maxFee ? [`fee ${release.fee} is above ${burn.maxFee}`] : []),
    ];
    if (differences.length > 0)
      this.note('release-differs', account, subject(account, number), `${said(release)}: ${differences.join('; ')}.`);
    const attested = account.attestations.get(number);
    if (attested) {
      account.attestations.delete(number);
      this.settle(account, release, attested);
    } else account.paid.set(number, { release, amount: burn.amount });
  }

  private settle(account: Account, release: Release, attested: Attested): void {
    const { number } = attested;
    account.paid.delete(number);
    account.settled.add(number);
    const differences = [
      ...difference('transaction', attested.tx, release.tx),
      ...difference('fee', attested.fee, release.fee),
      ...difference('outcome', attested.held ? 'held' : 'paid', release.held ? 'held' : 'paid'),
    ];
    if (differences.length > 0)
      this.note(
        'attested-differs',
        account,
        subject(account, number),
        `Slot ${attested.slot}: ${differences.join('; ')}.`,
      );
  }

  private account(process: string): Account {
    const account = this.accounts.get(process);
    if (!account) throw new Error(`Process ${process} is not audited.`);
    return account;
  }

  private note(code: FindingCode, account: Account, what: string, detail: string): void {
    if (this.kept.length < MAX_KEPT) this.kept.push(about(code, account, what, detail));
    else this.notKept += 1;
  }
}

function accountOf(place: AssetPlace): Account {
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
  };
}

/** Releases after the last slot that is shown. */
function ahead({ process, releases }: Account, { shownUntil, times, now, patienceMs }: Standing): Release[] {
  const until = shownUntil.get(process);
  if (until === undefined) return [];
  return [...releases.values()].filter(({ block }) => {
    const at = times.get(block);
    return at !== undefined && at > until && now - at <= patienceMs;
  });
}

const about = (code: FindingCode, { asset }: AssetPlace, what: string, detail: string): Finding =>
  finding(code, asset, what, detail);
const subject = ({ process }: AssetPlace, number: bigint): string => `${process}/${number}`;
const reference = ({ chain, vault }: AssetPlace, sequence: bigint): string => `${chain}:${vault}:${sequence}`;
const minted = ({ slot, amount, recipient }: Mint): string => `Slot ${slot} mints ${amount} to ${recipient}`;
const said = ({ block, tx, amount, recipient }: Release): string =>
  `Block ${block} (${tx}) pays ${amount} to ${recipient}`;

function difference(what: string, is: string | bigint, must: string | bigint): string[] {
  return is === must ? [] : [`${what} is ${is}, not ${must}`];
}

function sum(list: Iterable<{ amount: bigint }>): bigint {
  let total = 0n;
  for (const { amount } of list) total += amount;
  return total;
}
