/**
 * Reads the chain block by block into the tables, and says in the ledger what has become final. A block is read only when it was known before the
 * schedule was last followed to its end: whoever registered an address before it was paid is known by then.
 */
import {
  deepestOf,
  depositId,
  depositReference,
  encodeDepositLine,
  encodeReleaseLine,
  encodeTags,
  type BitcoinTerms,
} from '@isthmus/bridge';
import {
  AgreementLost,
  BitcoinWatcher,
  type BitcoinCursor,
  type BitcoinPool,
  type ChainBlock,
  type HeaderChain,
  type LookBack,
  type Receipt,
  type WatchStep,
} from '@isthmus/chains';
import { ConfigError, type Logger } from '@isthmus/store';
import type { EntityManager } from 'typeorm';
import type { DepositRow, Ledger, ReleaseRow } from '../../ledger.js';
import { judge } from './judge.js';
import type { AddressRow, CoinRow } from './rows.js';
import type { BitcoinStore } from './store.js';

export interface ScannerParts {
  /** CAIP-2. */
  chain: string;
  process: string;
  ledger: Ledger;
  store: BitcoinStore;
  headers: HeaderChain;
  pool: BitcoinPool;
  log: Logger;
}

interface Place extends BitcoinCursor {
  /** Deposits credited so far, and one: their order. */
  next: bigint;
}

export class Scanner {
  private readonly scan: string;
  /** What the process was spawned with; null before its spawn was read. */
  private spawned: { terms: BitcoinTerms; watcher: BitcoinWatcher<AddressRow> } | null = null;
  private place: Place | null = null;
  private complete = false;
  /** No deposit that was minted is awaited. */
  private allSeen = false;
  private lost = 0;
  /** The tip when the chain was last looked at, and the one known before the schedule was last followed to its end. */
  private looked: ChainBlock | null = null;
  private mark: ChainBlock | null = null;
  /** Output script of the vault the deciding set holds, as the schedule was last followed. */
  private holding: string | null = null;

  constructor(private readonly parts: ScannerParts) {
    this.scan = `${parts.chain}:${parts.process}`;
  }

  get height(): number {
    return this.place?.height ?? 0;
  }

  /** The last block that is final for any amount. */
  get finalHeight(): number {
    return this.height - deepestOf(this.terms) + 1;
  }

  /** @throws Error before the spawn was read */
  get terms(): BitcoinTerms {
    if (!this.spawned) throw new Error('The spawn of the token process was not read yet.');
    return this.spawned.terms;
  }

  /** The spawn of the token process was read: its terms are the home's. */
  begun(terms: BitcoinTerms): void {
    const { pool, headers, store } = this.parts;
    this.spawned ??= { terms, watcher: new BitcoinWatcher(pool, headers, store, store.coins, terms) };
  }

  /** Whether all was read that may be. */
  get watched(): boolean {
    return this.complete;
  }

  /** Whether every deposit that was minted is seen paid, or given up. */
  get hasSeenAll(): boolean {
    return this.complete && this.allSeen;
  }

  /** Deposits that were minted and are on the chain no more. */
  get lostDeposits(): number {
    return this.lost;
  }

  /** The schedule was followed to its end, and the set that decides holds this vault. */
  followed(holding: string | null): void {
    this.mark = this.looked;
    this.holding = holding;
  }

  /** The schedule told of a deposit that was not seen paid. */
  missed(): void {
    this.allSeen = false;
  }

  /** @throws AgreementLost, BitcoinFinalityViolated, ConfigError */
  async watch(): Promise<void> {
    const { pool, headers, store } = this.parts;
    this.complete = false;
    await pool.sync(headers);
    if (this.spawned) await this.read(this.spawned);
    await this.giveUp();
    await this.takeBack();
    const { awaited, lost } = await store.unseen();
    this.allSeen = awaited === 0;
    this.lost = lost;
    this.looked = headers.tip;
    this.complete = this.mark !== null;
  }

  private async read({ terms, watcher }: NonNullable<Scanner['spawned']>): Promise<void> {
    const { headers } = this.parts;
    this.place ??= await this.begin(terms);
    for (let lookedBack = false; ;) {
      // Only what was read before: the blocks that follow are looked through for all that is known by now.
      if (!lookedBack && this.mark && headers.has({ height: this.place.height, hash: this.place.blockHash })) {
        lookedBack = true;
        await this.lookBack(watcher, this.place);
      }
      const { place } = this;
      if (headers.has({ height: place.height, hash: place.blockHash }) && place.height >= this.readable) break;
      const step = await watcher.step(place);
      if (!step) break;
      await this.take(place, step);
    }
  }

  /** Blocks that were read before the schedule told of a script it counts for (docs/protocol.md, Deposit addresses). */
  private async lookBack(watcher: BitcoinWatcher<AddressRow>, place: Place): Promise<void> {
    const { ledger, store } = this.parts;
    for (let late = await store.late(); late.length > 0; late = await store.late()) {
      const found: LookBack<AddressRow>[] = [];
      for await (const step of watcher.lookBack(late, place)) found.push(step);
      await ledger.keepSeen(async (manager) => {
        for (const step of found) await this.keep(manager, step);
        await store.forgetLate(
          manager,
          late.map(({ script }) => script),
        );
        const settled = await this.settle(manager, place.height, place.next);
        place = { ...place, next: place.next + BigInt(settled.deposits.length) };
        await this.keepPlace(manager, place);
        return settled;
      });
      this.place = place;
    }
  }

  /**
   * What was minted and has not come within as many blocks as make anything final is lost: the books are held without it. Counted from where all that
   * is known of the chain was read, on blocks that were surely mined after it was minted: a node that lags behind has lost nothing.
   */
  private async giveUp(): Promise<void> {
    const { store, headers, log, chain } = this.parts;
    if (this.place?.blockHash !== headers.tip.hash) return;
    const { height, time } = headers.tip;
    for (const place of await store.giveUp({ height, time: time * 1_000 }, deepestOf(this.terms)))
      log.error(
        { deposit: depositReference({ chain, ...place }), height },
        'a deposit that was minted is on the chain no more: the books are held without it',
      );
  }

  /**
   * A deposit that was credited and could not be said, or not be minted, before its refund is near is refused after all: an attestation that arrives
   * late would mint what its depositor has taken back. By the newest header: what lies below may not be read yet.
   */
  private async takeBack(): Promise<void> {
    const { store, ledger, headers, chain, log } = this.parts;
    if (!this.spawned) return;
    const { sweepMargin } = this.terms;
    const late = await store.tooLate(store.database.manager, headers.tip.height, sweepMargin);
    if (late.length === 0) return;
    await ledger.keepSeen(async (manager) => {
      for (const coin of late) await store.judge(manager, coin, 'refused', 'refund-near');
      await ledger.unsayDeposits(
        manager,
        late.map((coin) => depositId(depositReference({ chain, ...coin }))),
      );
      return { deposits: [], releases: [] };
    });
    for (const { txid, vout } of late) log.warn({ txid, vout }, 'a deposit was not minted before its refund is near');
  }

  private keepPlace(manager: EntityManager, { height, blockHash, next }: Place): Promise<void> {
    const cursor = { height: BigInt(height), blockHash: `0x${blockHash}` as const, nextSequence: next };
    return this.parts.ledger.keepCursor(manager, this.scan, cursor);
  }

  /** Height up to which blocks were known before the schedule was followed. */
  private get readable(): number {
    return (this.mark && this.parts.headers.forkOf(this.mark.hash)?.height) ?? -1;
  }

  private async begin({ startHeight }: BitcoinTerms): Promise<Place> {
    const { ledger, headers } = this.parts;
    if (startHeight <= headers.anchor.height)
      throw new ConfigError(
        `The vault is read from block ${startHeight} on: name a headerAnchor below it, not block ${headers.anchor.height}.`,
      );
    const kept = await ledger.cursor(this.scan);
    if (kept) return { height: Number(kept.height), blockHash: kept.blockHash.slice(2), next: kept.nextSequence };
    const before = headers.at(startHeight - 1);
    if (!before)
      throw new AgreementLost(`the block before ${startHeight}, where the vault begins`, 0, 1, ['it is not mined yet']);
    return { height: before.height, blockHash: before.hash, next: 1n };
  }

  private async take(from: Place, step: WatchStep<AddressRow>): Promise<void> {
    const { ledger } = this.parts;
    let place = { ...step.cursor, next: from.next };
    await ledger.keepSeen(async (manager) => {
      if (step.type === 'rewind') await this.rewind(manager, step.cursor.height);
      else await this.keep(manager, step);
      const found =
        step.type === 'rewind'
          ? { deposits: [], releases: [] }
          : await this.settle(manager, step.cursor.height, from.next);
      place = { ...place, next: from.next + BigInt(found.deposits.length) };
      await this.keepPlace(manager, place);
      return found;
    });
    this.place = place;
  }

  private async rewind(manager: EntityManager, height: number): Promise<void> {
    const { store, ledger, chain, log } = this.parts;
    const gone = await store.rewind(manager, height);
    const ids = gone.map((place) => depositId(depositReference({ chain, ...place })));
    await ledger.forgetDeposits(manager, ids);
    log.warn({ height, payments: gone.length }, 'blocks were replaced by others');
  }

  private async keep(
    manager: EntityManager,
    { receipts, spends }: Pick<Extract<WatchStep<AddressRow>, { type: 'block' }>, 'receipts' | 'spends'>,
  ): Promise<void> {
    const { store } = this.parts;
    const ours = new Set(spends.filter((s) => !s.refund).map((s) => s.by));
    const coins = receipts.map((receipt) => rowOf(receipt, ours.has(receipt.txid) && receipt.vout === 0));
    await store.keepBlock(manager, coins, spends);
  }

  /** What is final at this height: credited or refused deposits, and transactions of the vault with all they pay. */
  private async settle(
    manager: EntityManager,
    height: number,
    next: bigint,
  ): Promise<{ deposits: DepositRow[]; releases: ReleaseRow[] }> {
    const { store, log } = this.parts;
    const deposits: DepositRow[] = [];
    const where = { height, tip: Math.max(height, this.readable), terms: this.terms, holding: this.holding };
    for (const coin of await store.waiting(manager)) {
      const verdict = judge(coin, where);
      if (verdict.state === 'seen') continue;
      const reason = verdict.state === 'refused' ? verdict.reason : null;
      await store.judge(manager, coin, verdict.state, reason);
      if (verdict.state === 'credited')
        deposits.push(this.depositRow(coin, verdict.amount, next + BigInt(deposits.length)));
      else log.warn({ txid: coin.txid, vout: coin.vout, reason }, 'a payment to the vault credits nobody');
    }
    return { deposits, releases: await this.advance(manager, height - deepestOf(this.terms) + 1) };
  }

  /** Goes on along the batches that are final: releases they paid, and the anchor they left. */
  private async advance(manager: EntityManager, final: number): Promise<ReleaseRow[]> {
    const { store, process } = this.parts;
    const releases: ReleaseRow[] = [];
    let last = (await store.lastAnchor(manager)) ?? (await this.first(manager, final));
    while (last?.coin.spent && last.coin.spent.height <= final) {
      const { spent } = last.coin;
      const proposal = await store.proposal(spent.by, manager);
      const change: CoinRow | null = proposal && !spent.refund ? await store.coin(`${spent.by}:0`, manager) : null;
      // What nobody proposed was signed past all that holds the vault together: nothing is built on it.
      if (!proposal || !change) return releases;
      for (const { number, amount, fee } of proposal.payouts) {
        const line = encodeReleaseLine({ number, txHash: spent.by, fee, outcome: 'paid' });
        releases.push({ process, number, line, amount });
      }
      last = { place: last.place + 1, coin: change };
      await store.keepAnchor(manager, last.place, `${change.txid}:${change.vout}`);
    }
    return releases;
  }

  private async first(manager: EntityManager, final: number): Promise<{ place: number; coin: CoinRow } | null> {
    const { store } = this.parts;
    const coin = await store.earliest(manager, final);
    if (!coin) return null;
    if (coin.state === 'refused') await store.judge(manager, coin, 'anchor', null);
    await store.keepAnchor(manager, 1, `${coin.txid}:${coin.vout}`);
    return { place: 1, coin };
  }

  private depositRow({ txid, vout, recipient, tags }: CoinRow, amount: bigint, sequence: bigint): DepositRow {
    const { chain, process } = this.parts;
    const reference = depositReference({ chain, txid, vout });
    const id = depositId(reference);
    const said = {
      id,
      reference,
      txHash: txid,
      sender: '-',
      recipient: recipient ?? '',
      amount,
      tags: tags ?? '-',
    };
    return { id, process, sequence, line: encodeDepositLine(said) };
  }
}

function rowOf(receipt: Receipt<AddressRow>, isChange: boolean): CoinRow {
  const { txid, vout, value, together, coinbase, script, height, position, to } = receipt;
  const base = { txid, vout, value, together, coinbase, script, height, position, minted: false, spent: null };
  const nobody = { recipient: null, tags: null, fault: null, refundAfter: null };
  if (to.kind === 'deposit') {
    const { vault, terms, refundAfter } = to.terms;
    const { recipient, tags } = terms;
    return { ...base, ...nobody, vault, kind: 'deposit', refundAfter, recipient, tags: tagsIn(tags), state: 'seen' };
  }
  const own = { ...base, ...nobody, vault: script };
  if (isChange) return { ...own, kind: 'change', state: 'change' };
  if (to.kind === 'unclaimed') return { ...own, kind: 'memo', fault: to.fault, state: 'seen' };
  const { recipient, tags } = to.memo;
  return { ...own, kind: 'memo', recipient, tags: tagsIn(tags), state: 'seen' };
}

const tagsIn = (tags: AddressRow['terms']['tags']): string =>
  tags.length === 0 ? '-' : Buffer.from(encodeTags(tags)).toString('hex');
