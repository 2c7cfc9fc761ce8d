/**
 * The gateway's own look at Bitcoin: an index for showing, from the first block on. Nothing is minted or released because of it. Blocks are taken one
 * after another, each with all that follows from it in one transaction; those that are gone are taken back the same way.
 */
import { creditedOf, depositId, type BitcoinTerms } from '@isthmus/bridge';
import {
  BitcoinWatcher,
  chainOf,
  confirmationsFor,
  HeaderChain,
  HeaderTable,
  type BitcoinCursor,
  type BitcoinPool,
  type CoinIndex,
  type LookBack,
  type Receipt,
  type Spend,
  type Standing,
} from '@isthmus/chains';
import type { DataSource, EntityManager } from 'typeorm';
import type { Hex } from 'viem';
import { crashPoint } from '../../crash-point.js';
import type { NewDeposit, StepRow, TransferStore } from '../../transfers/transfer-store.js';
import type { AddressBook, AddressTerms } from './address-book.js';
import type { BitcoinHomeConfig } from './config.js';

/** Blocks in one look: a backlog keeps nobody waiting who wants to stop. */
const MAX_BLOCKS = 200;
/** Deposits whose confirmations are counted at once. */
const MAX_CONFIRMING = 1_000;
/** Who paid is nobody who could be named: coins come from many addresses, or none. */
const NOBODY = '-';

type Found = Receipt<AddressTerms>;

/** An output of the vault, as it is kept. */
interface CoinRow {
  txid: string;
  vout: number;
  id: Hex;
  value: string;
  script: string;
  height: number;
  block_hash: string;
  together: string;
  coinbase: boolean;
  claim: 'deposit' | 'memo' | 'unclaimed' | 'change';
  recipient: string | null;
  fault: string | null;
  refund_after: number | null;
}

/** One that waits for its confirmations; `minted` when the guardians have credited it already. */
type WaitingCoin = CoinRow & { minted: boolean };

/** What the index needs to know of a home. */
export interface IndexedBitcoin {
  chain: Pick<BitcoinHomeConfig['chain'], 'headerAnchor'>;
  assets: readonly Pick<BitcoinHomeConfig['assets'][number], 'id' | 'process'>[];
}

export class BitcoinIndex implements CoinIndex {
  private readonly chain: string;
  private opened: Promise<HeaderChain> | null = null;
  private watcher: BitcoinWatcher<AddressTerms> | null = null;
  private cursor: BitcoinCursor | null = null;
  private moreToRead = true;
  /** One look after another: whoever reads the books looks too. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly config: IndexedBitcoin,
    private readonly database: DataSource,
    private readonly pool: BitcoinPool,
    private readonly store: TransferStore,
    private readonly addresses: AddressBook,
  ) {
    this.chain = chainOf(pool.network);
  }

  /** Newest block whose transactions are known; null before the first look. */
  get tip(): number | null {
    return this.cursor?.height ?? null;
  }

  /** Whether there is more to read than the last look read. */
  get isBehind(): boolean {
    return this.moreToRead;
  }

  /** One look: what was registered, then new blocks. @throws AgreementLost, BitcoinFinalityViolated, EngineError */
  step(): Promise<void> {
    const mine = this.last.then(() => this.look());
    this.last = mine.catch(() => undefined);
    return mine;
  }

  /** Which of these outpoints are coins of the vault. */
  async find(outpoints: readonly string[]): Promise<ReadonlySet<string>> {
    const rows: { outpoint: string }[] = await this.database.query(
      `select c.txid || ':' || c.vout as outpoint from unnest($2::text[], $3::int[]) as o(txid, vout)
       join bitcoin_coin c on c.chain = $1 and c.txid = o.txid and c.vout = o.vout`,
      [
        this.chain,
        outpoints.map((o) => o.slice(0, 64)),
        outpoints.map((o) => Math.min(Number(o.slice(65)), 2 ** 31 - 1)),
      ],
    );
    return new Set(rows.map((r) => r.outpoint));
  }

  private async look(): Promise<void> {
    const headers = await this.open();
    const { hash: before } = headers.tip;
    await this.pool.sync(headers);
    this.moreToRead = headers.tip.hash !== before;
    // After the headers and before any block: what was registered before it was paid is known in time, and the vault itself before all.
    const terms = (await this.addresses.follow()) ? this.addresses.home : null;
    if (!terms) return;
    const watcher = (this.watcher ??= new BitcoinWatcher(this.pool, headers, this.addresses, this, terms));
    const begin = (this.cursor ??= await this.begin(headers, terms));
    if (!begin) return; // the headers do not reach so far yet
    for (let blocks = 0, cursor = begin, lookedBack = false; blocks < MAX_BLOCKS; blocks += 1) {
      // Only what was read before: the blocks that follow are looked through for all that is known by now.
      if (!lookedBack && headers.has({ height: cursor.height, hash: cursor.blockHash })) {
        lookedBack = true;
        await this.lookBack(watcher, terms, cursor);
      }
      const step = await watcher.step(cursor);
      if (!step) break;
      await this.store.transaction(async (manager) => {
        if (step.type === 'block') await this.take(manager, watcher, terms, step);
        else await this.takeBack(manager, step.cursor.height);
        await this.saveCursor(manager, step.cursor);
        crashPoint('index.before-commit');
      });
      crashPoint('index.after-commit');
      cursor = this.cursor = step.cursor;
    }
    this.moreToRead ||= this.cursor?.blockHash !== headers.tip.hash;
    await this.count(watcher, headers, terms);
    this.store.announce();
  }

  private get asset(): IndexedBitcoin['assets'][number] {
    const [asset] = this.config.assets;
    if (!asset) throw new Error('A home on Bitcoin has one asset.');
    return asset;
  }

  private async open(): Promise<HeaderChain> {
    const { headerAnchor } = this.config.chain;
    this.opened ??= HeaderChain.open(
      this.pool.network,
      new HeaderTable(this.database, this.pool.network),
      headerAnchor ? { anchor: headerAnchor } : {},
    );
    try {
      return await this.opened;
    } catch (error) {
      this.opened = null;
      throw error;
    }
  }

  private async begin(headers: HeaderChain, { startHeight }: BitcoinTerms): Promise<BitcoinCursor | null> {
    const [row]: { height: number; block_hash: string }[] = await this.database.query(
      'select height, block_hash from bitcoin_cursor where chain = $1',
      [this.chain],
    );
    if (row) return { height: row.height, blockHash: row.block_hash };
    const before = headers.at(Math.max(startHeight - 1, headers.anchor.height));
    return before && { height: before.height, blockHash: before.hash };
  }

  /** Blocks that were read before an address was registered for which they count. */
  private async lookBack(
    watcher: BitcoinWatcher<AddressTerms>,
    terms: BitcoinTerms,
    cursor: BitcoinCursor,
  ): Promise<void> {
    for (let late = await this.addresses.late(); late.length > 0; late = await this.addresses.late()) {
      const found: LookBack<AddressTerms>[] = [];
      for await (const step of watcher.lookBack(late, cursor)) found.push(step);
      await this.store.transaction(async (manager) => {
        for (const step of found) await this.take(manager, watcher, terms, step);
        await this.addresses.forgetLate(
          manager,
          late.map(({ script }) => script),
        );
      });
    }
  }

  private async saveCursor(manager: EntityManager, { height, blockHash }: BitcoinCursor): Promise<void> {
    await manager.query(
      `insert into bitcoin_cursor (chain, height, block_hash) values ($1, $2, $3)
       on conflict (chain) do update set height = excluded.height, block_hash = excluded.block_hash`,
      [this.chain, height, blockHash],
    );
  }

  // --- a block

  private async take(
    manager: EntityManager,
    watcher: BitcoinWatcher<AddressTerms>,
    terms: BitcoinTerms,
    { receipts, spends }: { receipts: readonly Found[]; spends: readonly Spend[] },
  ): Promise<void> {
    const at = new Date();
    // What guardians spend pays its first output to the vault again; what a depositor takes back may be a deposit anew.
    const batches = new Set(spends.filter(({ refund }) => !refund).map(({ by }) => by));
    const isChange = ({ txid, vout }: Found): boolean => vout === 0 && batches.has(txid);
    for (const receipt of receipts) await this.addCoin(manager, receipt, isChange(receipt));
    await this.addDeposits(
      manager,
      watcher,
      terms,
      receipts.filter((r) => !isChange(r)),
      at,
    );
    for (const spend of spends) await this.addSpend(manager, spend, at);
  }

  private async addCoin(manager: EntityManager, receipt: Found, change: boolean): Promise<void> {
    const { txid, vout, value, script, height, blockHash, together, coinbase, to } = receipt;
    await manager.query(
      `insert into bitcoin_coin (chain, txid, vout, id, value, script, height, block_hash, together, coinbase, claim, recipient, fault, refund_after, standing)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) on conflict do nothing`,
      [
        this.chain,
        txid,
        vout,
        depositId(receipt.reference),
        String(value),
        script,
        height,
        blockHash,
        String(together),
        coinbase,
        change ? 'change' : to.kind,
        recipientOf(receipt),
        to.kind === 'unclaimed' ? to.fault : null,
        to.kind === 'deposit' ? to.refundAfter : null,
        change ? 'change' : 'confirming',
      ],
    );
  }

  private async addDeposits(
    manager: EntityManager,
    watcher: BitcoinWatcher<AddressTerms>,
    terms: BitcoinTerms,
    receipts: readonly Found[],
    at: Date,
  ): Promise<void> {
    const { id: asset, process } = this.asset;
    const deposits = receipts.map((r): NewDeposit => {
      const { reference, value, txid, height } = r;
      return {
        id: depositId(reference),
        asset,
        process,
        state: 'confirming',
        sender: NOBODY,
        recipient: recipientOf(r) ?? NOBODY,
        // What is too little is told as it came: nothing is credited for it.
        amount: creditedOf(value, terms) ?? value,
        reference,
        txHash: txid,
        blockNumber: BigInt(height),
        at,
      };
    });
    await this.store.addDeposits(manager, deposits);
    const ids = deposits.map((d) => d.id);
    await this.store.move(manager, ids, ['orphaned'], 'confirming', at);
    for (const [i, receipt] of receipts.entries()) {
      const { txid, vout, height, blockHash } = receipt;
      const [id, required] = [ids[i] as Hex, requiredFor(receipt, terms)]; // as many of both
      const standing = watcher.standing(receipt);
      await manager.query('update transfer set block_number = $2, required = $3, waits = $4 where id = $1', [
        id,
        height,
        required,
        standing.state === 'refused' ? standing.reason : null,
      ]);
      const proof = { tx: txid, output: vout, block: String(height), blockHash, confirmations: required };
      await this.store.addSteps(manager, [{ transfer: id, key: `seen ${blockHash}`, at, kind: 'seen', proof }]);
    }
  }

  private async addSpend(manager: EntityManager, spend: Spend, at: Date): Promise<void> {
    const { txid, vout, by, height, blockHash, refund } = spend;
    const [rows]: [{ id: string; claim: string }[], number] = await manager.query(
      `update bitcoin_coin set spent_by = $4, spent_height = $5, spent_hash = $6, refunded = $7
       where chain = $1 and txid = $2 and vout = $3 returning id, claim`,
      [this.chain, txid, vout, by, height, blockHash, refund],
    );
    const [coin] = rows;
    if (!refund || !coin || coin.claim === 'change') return;
    const proof = { tx: by, block: String(height), blockHash };
    await this.store.addSteps(manager, [{ transfer: coin.id, key: `refunded ${by}`, at, kind: 'refunded', proof }]);
  }

  /** Blocks above a height are gone. */
  private async takeBack(manager: EntityManager, height: number): Promise<void> {
    await manager.query(
      'update bitcoin_coin set spent_by = null, spent_height = null, spent_hash = null, refunded = false where chain = $1 and spent_height > $2',
      [this.chain, height],
    );
    const [gone]: [{ id: string }[], number] = await manager.query(
      'delete from bitcoin_coin where chain = $1 and height > $2 returning id',
      [this.chain, height],
    );
    const ids = gone.map(({ id }) => id);
    await this.store.move(manager, ids, ['confirming', 'attesting'], 'orphaned', new Date());
    await manager.query(`update transfer set block_number = null where id = any($1) and state = 'orphaned'`, [ids]);
  }

  // --- what waits for confirmations

  private async count(watcher: BitcoinWatcher<AddressTerms>, headers: HeaderChain, terms: BitcoinTerms): Promise<void> {
    const rows: WaitingCoin[] = await this.database.query(
      `select c.txid, c.vout, c.id, c.value, c.script, c.height, c.block_hash, c.together, c.coinbase, c.claim, c.recipient, c.fault, c.refund_after,
         coalesce(t.state = 'minted', false) as minted
       from bitcoin_coin c left join transfer t on t.id = c.id
       where c.chain = $1 and c.standing = 'confirming' order by c.height, c.txid, c.vout limit ${MAX_CONFIRMING}`,
      [this.chain],
    );
    const due = rows
      .map(({ minted, ...row }) => ({ minted, receipt: this.receiptOf(row) }))
      .filter(
        ({ receipt: r }) => headers.confirmations({ height: r.height, hash: r.blockHash }) >= requiredFor(r, terms),
      );
    if (due.length === 0) return;
    await this.store.transaction(async (manager) => {
      for (const { minted, receipt } of due) {
        const standing = watcher.standing(receipt);
        await this.decide(manager, receipt, minted && isTooLate(standing) ? { state: 'final' } : standing);
      }
    });
  }

  /** What became of a deposit that has its confirmations. */
  private async decide(manager: EntityManager, receipt: Found, standing: Standing | { state: 'final' }): Promise<void> {
    const at = new Date();
    const { txid, vout, reference, height, blockHash } = receipt;
    const id = depositId(reference);
    const proof = { tx: txid, output: vout, block: String(height), blockHash };
    const say = (step: Pick<StepRow, 'kind' | 'proof'>): Promise<void> =>
      this.store.addSteps(manager, [{ transfer: id, key: step.kind, at, ...step }]);
    const settle = (state: 'final' | 'refused'): Promise<unknown> =>
      manager.query('update bitcoin_coin set standing = $4 where chain = $1 and txid = $2 and vout = $3', [
        this.chain,
        txid,
        vout,
        state,
      ]);
    if (standing.state === 'final') {
      await settle('final');
      await say({ kind: 'final', proof });
      await this.store.move(manager, [id], ['seen', 'confirming', 'orphaned'], 'attesting', at);
    }
    if (standing.state === 'refused') {
      await settle('refused');
      await say({ kind: 'refused', proof: { ...proof, reason: standing.reason } });
      await this.store.move(manager, [id], ['seen', 'confirming', 'orphaned'], 'refused', at);
    }
  }

  private receiptOf(row: CoinRow): Found {
    return {
      reference: `${this.chain}:${row.txid}:${row.vout}`,
      txid: row.txid,
      vout: row.vout,
      value: BigInt(row.value),
      together: BigInt(row.together),
      coinbase: row.coinbase,
      script: row.script,
      height: row.height,
      blockHash: row.block_hash,
      position: 0, // of proofs alone, which are not made from here
      to: claimOf(row),
    };
  }
}

/** By the height that is known now. What was credited was in time when guardians looked, however much later an index is made. */
const isTooLate = (standing: Standing): boolean => standing.state === 'refused' && standing.reason === 'refund-near';

const requiredFor = ({ together, coinbase }: Found, { finality }: BitcoinTerms): number =>
  confirmationsFor(finality, together, coinbase);

function claimOf({ claim, recipient, fault, refund_after: refundAfter }: CoinRow): Found['to'] {
  if (claim === 'deposit')
    return { kind: 'deposit', terms: { recipient: recipient ?? '' }, refundAfter: refundAfter ?? 0 };
  if (claim === 'memo') return { kind: 'memo', memo: { recipient: recipient ?? '', tags: [] } };
  return {
    kind: 'unclaimed',
    fault: (fault ?? 'memo-missing') as Extract<Found['to'], { kind: 'unclaimed' }>['fault'],
  };
}

function recipientOf({ to }: Found): string | null {
  if (to.kind === 'deposit') return to.terms.recipient;
  return to.kind === 'memo' ? to.memo.recipient : null;
}
