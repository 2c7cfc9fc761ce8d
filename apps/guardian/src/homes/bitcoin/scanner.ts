/**
 * Reads the chain block by block into the tables, and says in the ledger what has become final. A block is read only when it was known before the
 * schedule was last followed to its end: whoever registered an address before it was paid is known by then.
 */
import { depositId, depositReference, encodeDepositLine, encodeReleaseLine, encodeTags } from '@isthmus/bridge';
import {
  AgreementLost,
  type BitcoinCursor,
  type BitcoinWatcher,
  type ChainBlock,
  type FinalityPolicy,
  type HeaderChain,
  type Receipt,
  type WatchStep,
} from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import type { EntityManager } from 'typeorm';
import type { DepositRow, Ledger, ReleaseRow } from '../../ledger.js';
import { judge } from './judge.js';
import type { AddressRow, BitcoinStore, CoinRow } from './store.js';

export interface ScannerParts {
  /** CAIP-2. */
  chain: string;
  process: string;
  startHeight: number;
  finality: FinalityPolicy;
  minimum: bigint;
  sweepMargin: number;
  ledger: Ledger;
  store: BitcoinStore;
  headers: HeaderChain;
  watcher: BitcoinWatcher<AddressRow>;
  log: Logger;
}

interface Place extends BitcoinCursor {
  /** Deposits credited so far, and one: their order. */
  next: bigint;
}

export class Scanner {
  /** Confirmations after which nothing is taken back: what the most money waits for. */
  readonly depth: number;
  private readonly scan: string;
  private place: Place | null = null;
  private complete = false;
  private allSeen = false;
  /** The tip when the chain was last looked at, and the one known before the schedule was last followed to its end. */
  private looked: ChainBlock | null = null;
  private mark: ChainBlock | null = null;
  /** Output script of the vault the deciding set holds, as the schedule was last followed. */
  private holding: string | null = null;

  constructor(private readonly parts: ScannerParts) {
    this.depth = parts.finality.at(-1)?.confirmations ?? 1;
    this.scan = `${parts.chain}:${parts.process}`;
  }

  get height(): number {
    return this.place?.height ?? 0;
  }

  /** The last block that is final for any amount. */
  get finalHeight(): number {
    return this.height - this.depth + 1;
  }

  /** Whether all was read that may be. */
  get watched(): boolean {
    return this.complete;
  }

  get hasSeenAll(): boolean {
    return this.complete && this.allSeen;
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

  /** @throws AgreementLost, BitcoinFinalityViolated */
  async watch(): Promise<void> {
    const { watcher, headers, store } = this.parts;
    this.complete = false;
    await watcher.sync();
    this.place ??= await this.begin();
    for (;;) {
      const { place } = this;
      if (headers.has({ height: place.height, hash: place.blockHash }) && place.height >= this.readable) break;
      const step = await watcher.step(place);
      if (!step) break;
      await this.take(place, step);
    }
    this.allSeen = await store.allSeen();
    this.looked = headers.tip;
    this.complete = this.mark !== null;
  }

  /** Height up to which blocks were known before the schedule was followed. */
  private get readable(): number {
    return (this.mark && this.parts.headers.forkOf(this.mark.hash)?.height) ?? -1;
  }

  private async begin(): Promise<Place> {
    const { ledger, headers, startHeight } = this.parts;
    const kept = await ledger.cursor(this.scan);
    if (kept) return { height: Number(kept.height), blockHash: kept.blockHash.slice(2), next: kept.nextSequence };
    const before = headers.at(startHeight - 1);
    if (!before) throw new AgreementLost(`the block before startHeight ${startHeight}`, 0, 1, ['it is not mined yet']);
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
      await ledger.keepCursor(manager, this.scan, {
        height: BigInt(place.height),
        blockHash: `0x${place.blockHash}`,
        nextSequence: place.next,
      });
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
    { receipts, spends }: Extract<WatchStep<AddressRow>, { type: 'block' }>,
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
    const { store, finality, minimum, sweepMargin, log } = this.parts;
    const deposits: DepositRow[] = [];
    const where = {
      height,
      tip: Math.max(height, this.readable),
      finality,
      minimum,
      sweepMargin,
      holding: this.holding,
    };
    for (const coin of await store.waiting(manager)) {
      const verdict = judge(coin, where);
      if (verdict.state === 'seen') continue;
      const reason = verdict.state === 'refused' ? verdict.reason : null;
      await store.judge(manager, coin, verdict.state, reason);
      if (reason === null) deposits.push(this.depositRow(coin, next + BigInt(deposits.length)));
      else log.warn({ txid: coin.txid, vout: coin.vout, reason }, 'a payment to the vault credits nobody');
    }
    return { deposits, releases: await this.advance(manager, height - this.depth + 1) };
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

  private depositRow({ txid, vout, value, recipient, tags }: CoinRow, sequence: bigint): DepositRow {
    const { chain, process } = this.parts;
    const reference = depositReference({ chain, txid, vout });
    const id = depositId(reference);
    const said = {
      id,
      reference,
      txHash: txid,
      sender: '-',
      recipient: recipient ?? '',
      amount: value,
      tags: tags ?? '-',
    };
    return { id, process, sequence, line: encodeDepositLine(said) };
  }
}

function rowOf(receipt: Receipt<AddressRow>, isChange: boolean): CoinRow {
  const { txid, vout, value, together, coinbase, script, height, position, to } = receipt;
  const base = { txid, vout, value, together, coinbase, script, height, position, spent: null };
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
