/**
 * The weave as one node knows it: blocks, wallets, transactions waiting and mined, and which chunks of whose data are there. It changes by events
 * only, the same in the same order after a restart; what an event does is decided by nothing else, so it does no I/O and looks at no clock.
 */
import { createHash } from 'node:crypto';
import { Refused } from '../refused.js';
import { unverified } from './error.js';
import { CHUNK_BYTES, dataKey, ownerAddress, price, type Transaction } from './transaction.js';

/** A transaction names one of so many last blocks, or its wallet's last transaction; as in Arweave. */
const ANCHOR_DEPTH = 50;
/** Transactions of one block; as in Arweave. */
const MAX_BLOCK_TXS = 1000;
/** Transactions that wait: some 20 MB. */
const MAX_PENDING = 10_000;

export interface Chunk {
  start: number;
  end: number;
  /** base64url of its merkle proof against the data root */
  path: string;
}

export type WeaveEvent =
  | { kind: 'mint'; address: string; winston: string }
  | { kind: 'tx'; tx: Transaction }
  | { kind: 'chunks'; name: string; chunks: Chunk[] }
  | { kind: 'block'; timestamp: number; nonce: string; txs: string[] }
  /** The last blocks are taken back; their transactions wait again. */
  | { kind: 'rewind'; depth: number }
  /** These are no longer waiting, and were never mined. */
  | { kind: 'forget'; ids: string[] }
  /** What is kept under this name is gone. */
  | { kind: 'erase'; name: string };

export interface Block {
  height: number;
  /** 48 bytes as base64url; '' before the first block */
  hash: string;
  previous: string;
  /** Unix seconds. */
  timestamp: number;
  nonce: string;
  txs: readonly string[];
  /** Bytes of the weave up to the end of this block. */
  weaveSize: number;
  /** Winstons paid for storage so far. */
  pool: bigint;
}

/** A transaction the node knows. */
export interface Held {
  readonly tx: Transaction;
  readonly address: string;
  /** Place in the order of arrival. */
  readonly seq: number;
  /** Height it is mined at. */
  height: number | null;
  /** Bytes of the weave before its data. */
  start: number;
  /** The wallet's last transaction before this one. */
  before: string;
}

interface Wallet {
  balance: bigint;
  lastTx: string;
}

const NOBODY: Readonly<Wallet> = { balance: 0n, lastTx: '' };

export class Weave {
  readonly blocks: Block[] = [];
  readonly txs = new Map<string, Held>();
  private readonly pending = new Set<string>();
  private readonly wallets = new Map<string, Wallet>();
  private readonly minted = new Set<string>();
  private readonly data = new Map<string, Map<number, Chunk>>();
  private seq = 0;

  apply(event: WeaveEvent): void {
    switch (event.kind) {
      case 'mint':
        this.wallet(event.address).balance += BigInt(event.winston);
        this.minted.add(event.address);
        return;
      case 'tx':
        return this.take(event.tx);
      case 'chunks': {
        const kept = this.data.get(event.name) ?? new Map<number, Chunk>();
        for (const chunk of event.chunks) kept.set(chunk.start, chunk);
        this.data.set(event.name, kept);
        return;
      }
      case 'block':
        return this.extend(event);
      case 'rewind':
        for (let i = 0; i < event.depth; i += 1) this.undo();
        return this.reorder();
      case 'forget':
        for (const id of event.ids) if (this.pending.delete(id)) this.txs.delete(id);
        return;
      case 'erase':
        this.data.delete(event.name);
    }
  }

  get head(): Block {
    return (
      this.blocks.at(-1) ?? {
        height: -1,
        hash: '',
        previous: '',
        timestamp: 0,
        nonce: '',
        txs: [],
        weaveSize: 0,
        pool: 0n,
      }
    );
  }

  get waiting(): number {
    return this.pending.size;
  }

  /** In order of arrival. */
  pendingIds(): string[] {
    return [...this.pending];
  }

  balance(address: string): bigint {
    return (this.wallets.get(address) ?? NOBODY).balance;
  }

  lastTx(address: string): string {
    return (this.wallets.get(address) ?? NOBODY).lastTx;
  }

  wasMinted(address: string): boolean {
    return this.minted.has(address);
  }

  /** All winstons of all wallets. */
  supply(): bigint {
    return [...this.wallets.values()].reduce((sum, w) => sum + w.balance, 0n);
  }

  /** The anchor a node suggests: deep enough to outlive most forks, with as many blocks again before it is too old. */
  anchor(): string {
    const back = Math.floor(Math.min(this.blocks.length, ANCHOR_DEPTH) / 2) + 1;
    return this.blocks.at(-Math.min(back, this.blocks.length))?.hash ?? '';
  }

  block(hashOrHeight: string | number): Block | undefined {
    if (typeof hashOrHeight === 'number') return this.blocks[hashOrHeight];
    return this.blocks.find((b) => b.hash === hashOrHeight);
  }

  blockOf(held: Held): Block | undefined {
    return held.height === null ? undefined : this.blocks[held.height];
  }

  price(bytes: bigint, target: string): bigint {
    return price(bytes, target !== '' && !this.wallets.has(target));
  }

  /** @throws Refused when a node would not have this transaction wait */
  assertAcceptable(tx: Transaction): void {
    if (this.txs.has(tx.id)) throw new Refused(208, 'Transaction already processed.');
    if (this.pending.size >= MAX_PENDING) throw new Refused(400, 'Mempool is full.');
    const least = this.price(BigInt(tx.data_size), tx.target);
    if (BigInt(tx.reward) < least) throw unverified(`The reward is below the price, ${least} winston.`);
    const address = ownerAddress(tx);
    const committed = [...this.pending]
      .map((id) => this.known(id))
      .reduce((sum, held) => (held.address === address ? sum + costOf(held.tx) : sum), 0n);
    if (this.balance(address) - committed < costOf(tx))
      throw unverified(`The wallet has ${this.balance(address)} winston, ${committed} of them for what waits.`);
    if (this.pending.has(tx.last_tx)) throw new Refused(400, 'Invalid anchor (last_tx from mempool).');
    if (!this.anchors().has(tx.last_tx) && this.lastTx(address) !== tx.last_tx)
      throw new Refused(400, 'Invalid anchor (last_tx).');
  }

  /** What the next block takes, in order of arrival, and what waits in vain: its anchor is too old, or its wallet empty. */
  next(): { mined: string[]; stale: string[] } {
    const anchors = this.anchors();
    const wallets = new Map<string, Wallet>();
    const [mined, stale]: [string[], string[]] = [[], []];
    for (const id of this.pending) {
      if (mined.length === MAX_BLOCK_TXS) break;
      const { tx, address } = this.known(id);
      const wallet = wallets.get(address) ?? { ...(this.wallets.get(address) ?? NOBODY) };
      const anchored = anchors.has(tx.last_tx) || tx.last_tx === wallet.lastTx;
      if (!anchored || wallet.balance < costOf(tx)) {
        stale.push(id);
        continue;
      }
      wallets.set(address, { balance: wallet.balance - costOf(tx), lastTx: id });
      mined.push(id);
    }
    return { mined, stale };
  }

  /** A chunk of a name, by any of its bytes. */
  chunkAt(name: string, byte: number): Chunk | undefined {
    for (const chunk of this.data.get(name)?.values() ?? []) if (chunk.start <= byte && byte < chunk.end) return chunk;
    return undefined;
  }

  hasChunk(name: string, start: number): boolean {
    return this.data.get(name)?.has(start) ?? false;
  }

  /** Whether all the data of a transaction is there. */
  isComplete(tx: Transaction): boolean {
    let bytes = 0;
    for (const { start, end } of this.data.get(dataKey(tx))?.values() ?? []) bytes += end - start;
    return bytes === Number(tx.data_size);
  }

  /** Whether anything is kept under a name. */
  keeps(name: string): boolean {
    return this.data.has(name);
  }

  /** Transactions with this data, in order of arrival. */
  withData(name: string): Held[] {
    return [...this.txs.values()].filter(({ tx }) => tx.data_root !== '' && dataKey(tx) === name);
  }

  /** The mined transaction whose data this byte of the weave is in; the first byte is 1. */
  at(offset: number): Held | undefined {
    let [low, high] = [0, this.blocks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.blocks[middle] as Block).weaveSize < offset) low = middle + 1;
      else high = middle;
    }
    return this.blocks[low]?.txs
      .map((id) => this.known(id))
      .find(({ start, tx }) => start < offset && offset <= start + Number(tx.data_size));
  }

  private known(id: string): Held {
    return this.txs.get(id) as Held; // what waits or is in a block is known
  }

  private anchors(): Set<string> {
    return new Set(this.blocks.slice(-ANCHOR_DEPTH).map((b) => b.hash));
  }

  private wallet(address: string): Wallet {
    const known = this.wallets.get(address) ?? { ...NOBODY };
    this.wallets.set(address, known);
    return known;
  }

  private take(tx: Transaction): void {
    const held = { tx, address: ownerAddress(tx), seq: (this.seq += 1), height: null, start: 0, before: '' };
    this.txs.set(tx.id, held);
    this.pending.add(tx.id);
  }

  private extend({ timestamp, nonce, txs }: { timestamp: number; nonce: string; txs: string[] }): void {
    const { head } = this;
    const height = head.height + 1;
    let { weaveSize, pool } = head;
    for (const id of txs) {
      const held = this.known(id);
      const { tx } = held;
      const wallet = this.wallet(held.address);
      [held.height, held.start, held.before] = [height, weaveSize, wallet.lastTx];
      wallet.balance -= costOf(tx);
      wallet.lastTx = id;
      pool += BigInt(tx.reward);
      if (tx.target !== '') this.wallet(tx.target).balance += BigInt(tx.quantity);
      // Each transaction's data begins at a chunk's boundary.
      weaveSize += Math.ceil(Number(tx.data_size) / CHUNK_BYTES) * CHUNK_BYTES;
      this.pending.delete(id);
    }
    const block = { height, previous: head.hash, timestamp, nonce, txs, weaveSize, pool };
    this.blocks.push({ ...block, hash: hashOf(block) });
  }

  private undo(): void {
    for (const id of this.blocks.pop()?.txs.toReversed() ?? []) {
      const held = this.known(id);
      const { tx } = held;
      const wallet = this.wallet(held.address);
      if (tx.target !== '') this.wallet(tx.target).balance -= BigInt(tx.quantity);
      wallet.balance += costOf(tx);
      wallet.lastTx = held.before;
      held.height = null;
      this.pending.add(id);
    }
  }

  /** What came back from a fork waits where it waited before. */
  private reorder(): void {
    const inOrder = [...this.pending].toSorted((a, b) => this.known(a).seq - this.known(b).seq);
    this.pending.clear();
    for (const id of inOrder) this.pending.add(id);
  }
}

const costOf = (tx: Transaction): bigint => BigInt(tx.reward) + BigInt(tx.quantity);

/** A block's independent hash: of everything in it. Nobody proves work for it here. */
function hashOf({ pool, ...block }: Omit<Block, 'hash'>): string {
  return createHash('sha384')
    .update(JSON.stringify({ ...block, pool: String(pool) }))
    .digest('base64url');
}
