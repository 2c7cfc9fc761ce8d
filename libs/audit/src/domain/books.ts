/**
 * The auditor's books: every mint against its deposit, every release on the chain against its burn, every release the process knows against one
 * on the chain. Facts come in any order and are forgotten once they are matched, so that going on costs what is new; what does not match, and
 * what is still unmatched when a report is made, are findings.
 */
import { about, accountOf, minted, said, subject, type Account } from './account.js';
import { lineOf, type AssetLine } from './asset-line.js';
import type { AssetPlace, Attested, Burn, Deposit, Hex, Mint, Release } from './facts.js';
import { inOrder, type Finding, type FindingCode } from './findings.js';
import { depositIdOf, isNoticeOf, sequenceOf, withdrawalIdOf } from './forms.js';
import { NumberSet } from './number-set.js';
import { openFindings } from './open-findings.js';
import type { Standing } from './standing.js';

/** Mismatches kept; where there are more, the rest is counted. */
const MAX_KEPT = 10_000;

/** The books as things stand. */
export interface Drawn {
  /** Each asset's figures. */
  lines: AssetLine[];
  /** In order. */
  findings: Finding[];
  /** Findings there are besides, which were not kept. */
  more: number;
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

  /** What it all comes to as things stand. */
  drawUp(standing: Standing): Drawn {
    const deposits = [...this.deposits.values()];
    const waiting = [...this.mints.values()];
    const drawn = [...this.accounts.values()].map((account) => {
      const line = lineOf(account, deposits, standing);
      const mints = waiting.filter((m) => m.account === account).map(({ mint }) => mint);
      return { line, open: openFindings(account, line, { deposits, mints }, standing) };
    });
    return {
      lines: drawn.map(({ line }) => line),
      findings: inOrder([...this.kept, ...drawn.flatMap(({ open }) => open)]),
      more: this.notKept,
    };
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

function difference(what: string, is: string | bigint, must: string | bigint): string[] {
  return is === must ? [] : [`${what} is ${is}, not ${must}`];
}
