/**
 * The door to the mempool: says of a transaction what Bitcoin Core would say, and why. bcoin judges consensus and scripts; what its mempool
 * does otherwise than Core is done here: standardness, least fees, and replacement by a transaction that pays more.
 */
import { Transaction } from 'bitcoinjs-lib';
import { readTx, type BcoinTx, type Chain, type CoinView, type Mempool, type PoolEntry } from './bcoin.js';
import { CODE, CoreError } from './core-error.js';
import { unstandard } from './standard.js';

/** What a replacement pays for its own way through the network, satoshis per 1,000 virtual bytes. */
export const INCREMENTAL_FEE = 1_000n;
/** Transactions a replacement may push out. */
const MAX_REPLACED = 100;
/** 4,000,000 bytes of a block, in hex. */
const MAX_HEX = 8_000_000;

/** Fee rates, satoshis per 1,000 virtual bytes. */
export interface FeeLevel {
  /** What `estimatesmartfee` says; null: it has not seen enough. */
  estimate: bigint | null;
  /** Least fee the mempool takes. */
  floor: bigint;
}

export interface Accepted {
  txid: string;
  wtxid: string;
  vsize: number;
  fee: bigint;
}

/** Why a transaction is not taken. `reason` is what `testmempoolaccept` says of it. */
export class Rejected extends CoreError {
  constructor(
    code: number,
    readonly reason: string,
    detail = reason,
  ) {
    super(code, detail);
    this.name = 'Rejected';
  }
}

export class Acceptance {
  readonly fees: FeeLevel = { estimate: null, floor: 1_000n };

  constructor(
    private readonly chain: Chain,
    private readonly mempool: Mempool,
  ) {}

  /** Puts a transaction into the mempool. @throws Rejected, CoreError */
  async add(bytes: Buffer, maxRate: bigint | null = null): Promise<Accepted> {
    return (await this.enter(bytes, maxRate)).accepted;
  }

  /** Whether it would be taken; nothing changes. @throws Rejected, CoreError */
  async test(bytes: Buffer, maxRate: bigint | null = null): Promise<Accepted> {
    const { accepted, tx, replaced } = await this.enter(bytes, maxRate);
    const entry = this.mempool.getEntry(tx.hash('hex'));
    if (entry) this.mempool.evictEntry(entry);
    await this.restore(replaced);
    return accepted;
  }

  /** Takes back what a block that is gone had confirmed, as far as it can still be mined. */
  async readd(txs: readonly BcoinTx[]): Promise<void> {
    for (const tx of txs) {
      if (this.mempool.getEntry(tx.hash('hex'))) continue;
      // What the new branch holds too, or has spent the coins of, is refused: that is what becomes of it.
      await this.mempool.addTX(tx, -1).catch(() => null);
    }
  }

  private async enter(
    bytes: Buffer,
    maxRate: bigint | null,
  ): Promise<{ accepted: Accepted; tx: BcoinTx; replaced: BcoinTx[] }> {
    const { read, tx } = decode(bytes);
    await this.checkNew(tx);
    if (tx.isCoinbase()) throw new Rejected(CODE.rejected, 'coinbase');
    const odd = unstandard(read);
    if (odd !== null) throw new Rejected(CODE.rejected, odd);
    const view = await this.mempool.getCoinView(tx);
    if (tx.inputs.some(({ prevout }) => !view.hasEntry(prevout)))
      throw new Rejected(CODE.transaction, 'missing-inputs', 'bad-txns-inputs-missingorspent');
    this.checkInputs(tx, view);
    const accepted = {
      txid: read.getId(),
      wtxid: Buffer.from(read.getHash(true).toReversed()).toString('hex'),
      vsize: tx.getVirtualSize(),
      fee: BigInt(tx.getFee(view)),
    };
    this.checkFee(accepted, maxRate);
    const replaced = this.replaced(tx, accepted);
    for (const entry of replaced.direct)
      if (this.mempool.getEntry(entry.tx.hash('hex'))) this.mempool.evictEntry(entry);
    try {
      const missing = await this.mempool.addTX(tx, -1);
      if (missing) throw new Rejected(CODE.transaction, 'missing-inputs', 'bad-txns-inputs-missingorspent');
    } catch (error) {
      await this.restore(replaced.all);
      throw error instanceof Rejected ? error : new Rejected(CODE.rejected, reasonOf(error));
    }
    return { accepted, tx, replaced: replaced.all };
  }

  private async checkNew(tx: BcoinTx): Promise<void> {
    const hash = tx.hash('hex');
    if (this.mempool.getEntry(hash)) throw new Rejected(CODE.alreadyInChain, 'txn-already-in-mempool');
    for (let i = 0; i < tx.outputs.length; i += 1)
      if (await this.chain.getCoin(hash, i))
        throw new Rejected(CODE.alreadyInChain, 'txn-already-known', 'Transaction outputs already in utxo set');
  }

  private checkInputs(tx: BcoinTx, view: CoinView): void {
    if (!tx.hasStandardInputs(view)) throw new Rejected(CODE.rejected, 'bad-txns-nonstandard-inputs');
    if (!tx.hasStandardWitness(view)) throw new Rejected(CODE.rejected, 'bad-witness-nonstandard');
  }

  private checkFee({ fee, vsize }: Accepted, maxRate: bigint | null): void {
    const size = BigInt(vsize);
    if (fee < 0n) throw new Rejected(CODE.rejected, 'bad-txns-in-belowout');
    if (fee * 1_000n < this.fees.floor * size)
      throw new Rejected(
        CODE.rejected,
        'min relay fee not met',
        `min relay fee not met, ${fee} < ${(this.fees.floor * size) / 1_000n}`,
      );
    if (maxRate !== null && maxRate > 0n && fee * 1_000n > maxRate * size)
      throw new Rejected(
        CODE.transaction,
        'max-fee-exceeded',
        'Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)',
      );
  }

  /** What this one replaces: whoever spends the same coins, and who spends those in turn, parents first. @throws Rejected when it pays too little */
  private replaced(tx: BcoinTx, { txid, fee, vsize }: Accepted): { direct: PoolEntry[]; all: BcoinTx[] } {
    const direct = new Set<PoolEntry>();
    for (const { prevout } of tx.inputs) {
      const spender = this.mempool.getSpent(prevout.hash, prevout.index);
      if (spender) direct.add(spender);
    }
    if (direct.size === 0) return { direct: [], all: [] };
    const all = new Map<string, PoolEntry>();
    for (const entry of direct)
      for (const one of [entry, ...this.mempool.getDescendants(entry)]) all.set(one.tx.hash('hex'), one);
    const refuse = (why: string): never => {
      throw new Rejected(CODE.rejected, 'insufficient fee', `insufficient fee, rejecting replacement ${txid}; ${why}`);
    };
    if (all.size > MAX_REPLACED) throw new Rejected(CODE.rejected, 'too many potential replacements');
    if (tx.inputs.some(({ prevout }) => all.has(prevout.hash)))
      throw new Rejected(CODE.rejected, 'bad-txns-spends-conflicting-tx');
    for (const entry of direct)
      if (fee * BigInt(entry.size) <= BigInt(entry.fee) * BigInt(vsize))
        refuse('its fee rate is not above the old one');
    const paid = [...all.values()].reduce((sum, entry) => sum + BigInt(entry.fee), 0n);
    if (fee < paid) refuse(`less fees than conflicting txs; ${fee} < ${paid}`);
    if ((fee - paid) * 1_000n < INCREMENTAL_FEE * BigInt(vsize)) refuse('not enough additional fees to relay');
    return {
      direct: [...direct],
      all: [...all.values()].toSorted((a, b) => this.depth(a) - this.depth(b)).map((e) => e.tx),
    };
  }

  private depth(entry: PoolEntry): number {
    return this.mempool.getAncestors(entry).length;
  }

  private async restore(txs: readonly BcoinTx[]): Promise<void> {
    for (const tx of txs) await this.mempool.addTX(tx, -1);
  }
}

/** Bytes of a transaction written in hex. @throws CoreError */
export function bytesOf(hex: unknown): Buffer {
  if (typeof hex !== 'string') throw new CoreError(CODE.type, 'JSON value is not a string as expected');
  if (hex.length > MAX_HEX || hex.length % 2 !== 0 || !/^[0-9a-fA-F]+$/.test(hex)) throw undecodable();
  return Buffer.from(hex, 'hex');
}

function decode(bytes: Buffer): { read: Transaction; tx: BcoinTx } {
  try {
    return { read: Transaction.fromBuffer(bytes), tx: readTx(bytes) };
  } catch {
    throw undecodable();
  }
}

const undecodable = (): CoreError =>
  new CoreError(CODE.deserialization, 'TX decode failed. Make sure the tx has at least one input.');

/** bcoin's reasons are Core's own words. */
function reasonOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'reason' in error && typeof error.reason === 'string')
    return error.reason;
  throw error;
}
