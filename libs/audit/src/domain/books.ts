/**
 * The auditor's books: every mint against its deposit, every release on the chain against its burn, every release the process knows against one
 * on the chain. Facts come in any order and are forgotten once they are matched, so that going on costs what is new; what does not match, and
 * what is still unmatched when a report is made, are findings.
 */
import { about, accountOf, minted, said, subject, type Account, type Paid } from './account.js';
import { lineOf, type AssetLine } from './asset-line.js';
import type { AssetPlace, Attested, Burn, Deposit, Mint, Proposed, Refund, Release, VaultSpend } from './facts.js';
import { inOrder, type Finding, type FindingCode } from './findings.js';
import { isReferenceOf } from './families.js';
import { depositIdOf, isNoticeOf, withdrawalIdOf } from './forms.js';
import { openFindings } from './open-findings.js';
import { ReferenceSet } from './reference-set.js';
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
  private readonly byAddress = new Map<string, Account>();
  /** By reference, as all that follows. */
  private readonly deposits = new Map<string, Deposit>();
  /** Deposits of assets that are not audited. */
  private readonly foreign = new ReferenceSet();
  /** Mints without a known deposit. */
  private readonly mints = new Map<string, { mint: Mint; account: Account }>();
  private readonly minted = new ReferenceSet();
  /** Deposits their depositors took back, before they were minted as far as is known. */
  private readonly refunded = new Map<string, { refund: Refund; deposit: Deposit }>();
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
    const { reference } = deposit;
    const account = this.byAddress.get(deposit.asset);
    if (account) {
      account.deposited += deposit.amount + deposit.fee;
      account.counts.deposits += 1;
    } else this.foreign.add(reference);
    const waiting = this.mints.get(reference);
    if (waiting) {
      this.mints.delete(reference);
      this.match(waiting.account, waiting.mint, deposit);
    } else if (account) this.deposits.set(reference, deposit);
  }

  /** Of a deposit that is known. */
  refund(refund: Refund): void {
    const { process, reference } = refund;
    const deposit = this.deposits.get(reference);
    if (deposit) {
      this.deposits.delete(reference);
      this.refunded.set(reference, { refund, deposit });
    } else if (this.minted.has(reference)) this.takenBack(this.account(process), refund);
  }

  spend(spend: VaultSpend): void {
    const account = this.account(spend.process);
    const numbers = account.proposals.get(spend.tx);
    if (numbers) this.carriedOut(account, spend, numbers);
    else account.spends.set(spend.tx, spend);
  }

  release(release: Release): void {
    const account = this.accounts.get(release.process);
    const asset = this.byAddress.get(release.asset);
    if (asset) {
      asset.released += release.paid + (release.fee ?? 0n);
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
    const { reference } = mint;
    if (!isReferenceOf(account, reference) || depositIdOf(reference) !== mint.id) {
      this.note(
        'mint-without-deposit',
        account,
        reference,
        `${minted(mint)}, which is no deposit of this vault, or not by this id (${mint.id}).`,
      );
      return;
    }
    if (this.minted.has(reference) || this.mints.has(reference)) {
      this.note('double-mint', account, reference, `${minted(mint)}, and was minted before.`);
      return;
    }
    const before = this.refunded.get(reference);
    const deposit = this.deposits.get(reference) ?? before?.deposit;
    if (deposit) this.match(account, mint, deposit);
    else if (this.foreign.has(reference)) this.ofAnother(account, mint);
    else this.mints.set(reference, { mint, account });
    if (before) {
      this.refunded.delete(reference);
      this.takenBack(account, before.refund);
    }
  }

  /** What a transaction pays if it is ever mined: the same whenever it is said. */
  proposed({ process, tx, numbers }: Proposed): void {
    const account = this.account(process);
    account.proposals.set(tx, numbers);
    const spend = account.spends.get(tx);
    if (!spend) return;
    account.spends.delete(tx);
    this.carriedOut(account, spend, numbers);
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

  /** What that is: mints without a deposit, releases without a burn, coins spent by who knows, attestations without a release. */
  get unexplained(): string[] {
    const accounts = [...this.accounts.values()];
    return [
      ...[...this.mints.values()].map(({ mint }) => `the mint of ${mint.reference}`),
      ...accounts.flatMap((a) => [...a.releases.keys()].map((n) => `the release of withdrawal ${subject(a, n)}`)),
      ...accounts.flatMap((a) => [...a.spends.keys()].map((tx) => `the transaction ${tx}`)),
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
      ...a.spends.values(),
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
    const { to } = deposit;
    this.minted.add(deposit.reference);
    this.deposits.delete(deposit.reference);
    if ('refused' in to)
      this.note('mint-of-refused', account, mint.reference, `${minted(mint)}, and nobody is credited: ${to.refused}.`);
    const differences = [
      ...difference('asset', account.address, deposit.asset),
      ...('recipient' in to ? difference('recipient', mint.recipient, to.recipient) : []),
      ...difference('amount', mint.amount, deposit.amount),
      ...difference('sender', mint.sender, deposit.sender),
      ...difference('transaction', mint.tx, deposit.tx),
      ...difference('tags', mint.tags, deposit.tags),
      ...(isNoticeOf(mint) ? [] : ['the notice to the recipient says something else']),
    ];
    if (differences.length > 0)
      this.note('mint-differs', account, mint.reference, `${minted(mint)}: ${differences.join('; ')}.`);
  }

  private ofAnother(account: Account, mint: Mint): void {
    this.minted.add(mint.reference);
    this.note('mint-differs', account, mint.reference, `${minted(mint)}: the deposit is of another asset.`);
  }

  private takenBack(account: Account, { reference, block, tx }: Refund): void {
    this.note('mint-refunded', account, reference, `It was minted, and block ${block} (${tx}) gives it back.`);
  }

  /** A transaction of the vault that was proposed: its first output is the vault's, the others pay the withdrawals it names, in their order. */
  private carriedOut(account: Account, spend: VaultSpend, numbers: readonly bigint[]): void {
    const { process, tx, block, taken, outputs } = spend;
    const [change, ...payments] = outputs;
    for (const [i, number] of numbers.entries()) {
      const payment = payments[i];
      if (payment)
        this.release({
          process,
          number,
          asset: account.address,
          recipient: payment.recipient,
          paid: payment.amount,
          fee: null,
          held: false,
          block,
          tx,
        });
    }
    const others = payments.slice(numbers.length).reduce((sum, { amount }) => sum + amount, 0n);
    const gone = others + (change && !change.isVault ? change.amount : 0n);
    if (gone > 0n)
      this.note('unknown-spend', account, tx, `Block ${block}: beside what it was proposed for it pays ${gone}.`);
    if (numbers.length === 0) {
      const left = outputs.reduce((sum, { amount }) => sum + amount, 0n);
      account.costs += taken > left ? taken - left : 0n;
    }
  }

  private pay(account: Account, burn: Burn, onChain: Release): void {
    const { number } = burn;
    account.burns.delete(number);
    const release = { ...onChain, fee: onChain.fee ?? burn.amount - onChain.paid };
    if (onChain.fee === null) account.released += release.fee;
    const differences = [
      ...difference('asset', release.asset, account.address),
      ...difference('recipient', release.recipient, burn.recipient),
      ...difference('amount', release.paid + release.fee, burn.amount),
      ...(release.fee > burn.maxFee ? [`fee ${release.fee} is above ${burn.maxFee}`] : []),
      ...(release.fee < 0n ? [`${release.paid} is more than the ${burn.amount} that was burned`] : []),
    ];
    if (differences.length > 0)
      this.note('release-differs', account, subject(account, number), `${said(onChain)}: ${differences.join('; ')}.`);
    const attested = account.attestations.get(number);
    if (attested) {
      account.attestations.delete(number);
      this.settle(account, release, attested);
    } else account.paid.set(number, { release, amount: burn.amount });
  }

  private settle(account: Account, release: Paid['release'], attested: Attested): void {
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
