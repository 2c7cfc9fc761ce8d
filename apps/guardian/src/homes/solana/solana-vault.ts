/**
 * One asset's vault on Solana: its final history turned into deposits to attest, payments of withdrawals, and what is neither. A payment counts
 * as a release only when account and amount are those its withdrawal asks for; whatever it was, its withdrawal is not paid again.
 */
import type { ScheduleEntry } from '@isthmus/ao';
import {
  BridgeError,
  depositId,
  depositReference,
  encodeDepositLine,
  encodeReleaseLine,
  encodeTags,
  type BridgeEvent,
  type ProcessView,
} from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import { mintOf, type SolanaHomeConfig } from '../../config.js';
import type { DepositRow, Ledger, ReleaseRow } from '../../ledger.js';
import type { JudgedPayment, Payment, Refused, SolanaStore, VaultName } from './store.js';

export interface SolanaVaultParts {
  chain: string;
  asset: SolanaHomeConfig['assets'][number];
  pool: solana.SolanaPool;
  ledger: Ledger;
  store: SolanaStore;
  log: Logger;
}

/** Of a withdrawal, what its payment must be. */
interface Due {
  recipient: string;
  amount: bigint;
  maxFee: bigint;
}

interface Found {
  deposits: DepositRow[];
  releases: ReleaseRow[];
  payments: JudgedPayment[];
  refused: Refused[];
}

type Deposited = Extract<solana.VaultEvent, { type: 'deposited' }>;

export class SolanaVault {
  /** As it was read at the beginning of the last look; null before the first. */
  state: solana.VaultState | null = null;
  private readonly name: VaultName;
  private watcher: solana.SolanaWatcher | null = null;
  private cursor: solana.SolanaCursor | null = null;
  private view: ProcessView | null = null;
  /** Highest withdrawal number the schedule has shown. */
  private highest = 0n;
  /** Minted deposits that were not found here. */
  private readonly unseen = new Set<string>();
  /** Whether payments may be waiting for their withdrawals. */
  private waiting = true;

  constructor(private readonly parts: SolanaVaultParts) {
    this.name = { process: parts.asset.process, vault: parts.asset.vault };
  }

  /** Final slot up to which its history is known. */
  get watchedTo(): number {
    return this.watcher?.watchedTo ?? 0;
  }

  /** What it could pay out by the history that is known, base units. */
  get held(): bigint {
    return (this.cursor?.balance ?? 0n) - (this.state?.rent ?? 0n);
  }

  /** Whether every deposit the process has minted is known here. */
  get hasSeenAll(): boolean {
    return this.unseen.size === 0;
  }

  /** Reads its history to its end. @throws AgreementLost, SolanaFinalityViolated, BalanceGap, TransactionUnclear, VaultUnfit */
  async watch(): Promise<void> {
    const { pool, asset, ledger, store, log } = this.parts;
    this.state = await solana.readVault(pool, asset.vault, mintOf(asset.id));
    const { vault } = this.state;
    this.watcher ??= new solana.SolanaWatcher(pool, vault);
    this.cursor ??= (await store.cursor(this.name)) ?? this.watcher.begin();
    for (let scan = await this.watcher.step(this.cursor); scan; scan = await this.watcher.step(this.cursor)) {
      const { cursor } = scan;
      const found = this.interpret(scan.events);
      await ledger.keepSeen(async (manager) => {
        await store.keep(manager, this.name, { cursor, ...found });
        return found;
      });
      this.cursor = cursor;
      if (found.payments.some((p) => p.outcome === null)) this.waiting = true;
      const { deposits, releases, refused } = found;
      if (scan.events.length > 0) {
        const counts = { deposits: deposits.length, releases: releases.length, refused: refused.length };
        log.info({ asset: asset.id, slot: cursor.slot, ...counts }, 'scanned');
      }
    }
    for (const id of await ledger.depositsAmong(asset.process, [...this.unseen])) this.unseen.delete(id);
  }

  /** Takes what a slot of the schedule says, before the view changes by it. */
  async learn(entry: ScheduleEntry, events: readonly BridgeEvent[], view: ProcessView): Promise<void> {
    if (entry.nonce === 0 || this.view !== view) {
      this.view = view;
      this.highest = 0n;
      this.unseen.clear();
    }
    const queued = events.filter((e) => e.type === 'withdrawal.queued');
    for (const { number } of queued) if (number > this.highest) this.highest = number;
    if (queued.length > 0 && this.waiting) await this.judgeWaiting(new Map(queued.map((w) => [w.number, w])));
    const minted = events.filter((e) => e.type === 'deposit.minted').map((e) => e.id);
    if (minted.length === 0) return;
    const seen = await this.parts.ledger.depositsAmong(this.parts.asset.process, minted);
    for (const id of minted) if (!seen.has(id)) this.unseen.add(id);
  }

  /** Payments that were seen before what they pay was known. */
  private async judgeWaiting(due: ReadonlyMap<bigint, Due>): Promise<void> {
    const { store, ledger, asset } = this.parts;
    if (!this.state) return; // nothing is known of where a withdrawal is to be paid
    const payments = await store.waiting(asset.process, [...due.keys()]);
    if (payments.length > 0) {
      const judged = payments.map((p) => this.judged(p, due));
      await ledger.keepSeen(async (manager) => {
        for (const one of judged) await store.judge(manager, asset.process, one);
        return { deposits: [], releases: this.releasesOf(judged, due) };
      });
    }
    this.waiting = await store.isWaiting(asset.process);
  }

  private interpret(events: readonly solana.VaultEvent[]): Found {
    const found: Found = { deposits: [], releases: [], payments: [], refused: [] };
    const due = this.view?.open ?? new Map<bigint, Due>();
    for (const event of events) {
      if (event.type === 'deposited') this.deposit(event, found);
      else if (event.type === 'released' && event.process === this.parts.asset.process)
        found.payments.push(this.judged({ ...event, recipient: event.to }, due));
      else this.refuse(found, event);
    }
    found.releases.push(...this.releasesOf(found.payments, due));
    return found;
  }

  private deposit(event: Deposited, found: Found): void {
    const { process } = this.parts.asset;
    const reference = depositReference({ chain: this.parts.chain, signature: event.signature, path: event.path });
    const id = depositId(reference);
    const read = readDeposit(event, id, reference);
    if ('line' in read) found.deposits.push({ id, process, sequence: BigInt(event.slot), line: read.line });
    else {
      const { signature, path, amount } = event;
      found.refused.push({ signature, place: path, amount, reason: read.why });
      this.parts.log.warn({ transfer: id, why: read.why }, 'a deposit is kept as seen, and not attested');
    }
  }

  private refuse(found: Found, event: Exclude<solana.VaultEvent, Deposited>): void {
    const { signature, amount } = event;
    const named = event.type === 'released';
    const reason = named ? 'other-process' : 'unexplained';
    found.refused.push({ signature, place: named ? `out ${event.process} ${event.number}` : 'out', amount, reason });
    const shown = { asset: this.parts.asset.id, signature, amount: String(amount), reason };
    this.parts.log.error(shown, 'the vault paid what no withdrawal asked for');
  }

  private judged(payment: Payment, due: ReadonlyMap<bigint, Due>): JudgedPayment {
    const { number, signature, recipient, amount } = payment;
    const kept = { number, signature, recipient, amount };
    const asked = due.get(number);
    if (!asked) return { ...kept, outcome: number <= this.highest ? 'settled' : null };
    const at = this.state && solana.paidAt(this.state.vault, asked.recipient);
    const fee = asked.amount - amount;
    if (recipient === at && fee >= 0n && fee <= asked.maxFee) return { ...kept, outcome: 'released' };
    const { id } = this.parts.asset;
    const shown = { asset: id, number: String(number), signature, recipient, amount: String(amount) };
    this.parts.log.error(shown, 'the vault paid a withdrawal otherwise than it asks');
    return { ...kept, outcome: 'wrong' };
  }

  private releasesOf(payments: readonly JudgedPayment[], due: ReadonlyMap<bigint, Due>): ReleaseRow[] {
    const { process } = this.parts.asset;
    return payments.flatMap(({ number, signature, amount, outcome }) => {
      const asked = due.get(number);
      if (outcome !== 'released' || !asked) return [];
      const line = encodeReleaseLine({ number, txHash: signature, fee: asked.amount - amount, outcome: 'paid' });
      return [{ process, number, line, amount: asked.amount }];
    });
  }
}

/** The line to attest, or why there is none: it must stop no other. */
function readDeposit(
  { signature, sender, amount, memo }: Deposited,
  id: DepositRow['id'],
  reference: string,
): { line: string } | { why: string } {
  if (typeof memo === 'string') return { why: memo };
  const { recipient } = memo;
  const tags = Buffer.from(encodeTags(memo.tags ?? [])).toString('hex') || '-';
  try {
    return { line: encodeDepositLine({ id, reference, txHash: signature, sender, recipient, amount, tags }) };
  } catch (error) {
    if (error instanceof BridgeError) return { why: error.code };
    throw error;
  }
}
