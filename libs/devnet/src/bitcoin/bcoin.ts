/** bcoin, the full node of npm, which comes without types: what is used of it, and the one place where it is loaded. Hashes are hex in the order of the bytes. */
import { createRequire } from 'node:module';
import path from 'node:path';
import { curve } from './curve.js';

export interface Outpoint {
  hash: string;
  index: number;
}
export interface BcoinTx {
  inputs: { prevout: Outpoint }[];
  outputs: { value: number }[];
  version: number;
  hash(form: 'hex'): string;
  txid(): string;
  toRaw(): Buffer;
  getVirtualSize(): number;
  /** Satoshis in less satoshis out. */
  getFee(view: CoinView): number;
  isCoinbase(): boolean;
  hasStandardInputs(view: CoinView): boolean;
  hasStandardWitness(view: CoinView): boolean;
}
export interface BcoinBlock {
  txs: BcoinTx[];
}
/** A block in the chain's index. */
export interface Entry {
  hash: string;
  version: number;
  prevBlock: string;
  merkleRoot: string;
  time: number;
  bits: number;
  nonce: number;
  height: number;
  chainwork: { toString(radix: 16, digits: 64): string };
  rhash(): string;
  /** 80 bytes of header, and more. */
  toRaw(): Buffer;
}
export interface Coin {
  height: number;
  value: number;
  coinbase: boolean;
  script: { toRaw(): Buffer };
}
export interface CoinView {
  hasEntry(prevout: Outpoint): boolean;
}
export interface PoolEntry {
  tx: BcoinTx;
  height: number;
  /** Virtual bytes. */
  size: number;
  fee: number;
  /** Seconds since 1970. */
  time: number;
}
export interface Chain {
  logger: { memory(): void };
  tip: Entry;
  height: number;
  open(): Promise<void>;
  close(): Promise<void>;
  add(block: BcoinBlock): Promise<Entry | null>;
  getEntryByHeight(height: number): Promise<Entry | null>;
  getEntryByHash(hash: string): Promise<Entry | null>;
  getPrevious(entry: Entry): Promise<Entry | null>;
  getNextHash(hash: string): Promise<string | null>;
  getMedianTime(entry: Entry): Promise<number>;
  getRawBlock(hash: string): Promise<Buffer | null>;
  getBlock(hash: string): Promise<BcoinBlock | null>;
  getBlockView(block: BcoinBlock): Promise<CoinView>;
  getCoin(hash: string, index: number): Promise<Coin | null>;
  getMeta(hash: string): Promise<{ tx: BcoinTx; block: string; height: number } | null>;
  getTips(): Promise<string[]>;
  isMainChain(entry: Entry): Promise<boolean>;
  on(event: 'connect' | 'disconnect', then: (entry: Entry, block: BcoinBlock) => Promise<void>): void;
  on(event: 'reorganize', then: () => Promise<void>): void;
}
export interface Mempool {
  map: Map<string, PoolEntry>;
  open(): Promise<void>;
  close(): Promise<void>;
  /** Null when it is in; else what it spends and nobody knows. */
  addTX(tx: BcoinTx, from: -1): Promise<readonly string[] | null>;
  evictEntry(entry: PoolEntry): void;
  getEntry(hash: string): PoolEntry | undefined;
  getSpent(hash: string, index: number): PoolEntry | undefined;
  getDescendants(entry: PoolEntry): PoolEntry[];
  getAncestors(entry: PoolEntry): PoolEntry[];
  getCoin(hash: string, index: number): Coin | null;
  getCoinView(tx: BcoinTx): Promise<CoinView>;
  _addBlock(entry: Entry, txs: BcoinTx[]): Promise<void>;
  _removeBlock(entry: Entry, txs: BcoinTx[]): Promise<void>;
  _handleReorg(): Promise<void>;
}
export interface Job {
  attempt: { time: number };
  pushTX(tx: BcoinTx): void;
  refresh(): void;
  mineAsync(): Promise<BcoinBlock>;
}
export interface Miner {
  mempool: Mempool | null;
  open(): Promise<void>;
  close(): Promise<void>;
  cpu: { createJob(tip: Entry, address: unknown): Promise<Job> };
}

interface Bcoin {
  Chain: new (options: object) => Chain;
  Mempool: new (options: object) => Mempool;
  Miner: new (options: object) => Miner;
  TX: { fromRaw(bytes: Buffer): BcoinTx };
  Address: { fromScript(script: unknown): unknown };
  Script: { fromRaw(bytes: Buffer): unknown };
}

export interface Parts {
  chain: Chain;
  mempool: Mempool;
  miner: Miner;
}

/** A descendant limit of the default policy, as Core has it. */
const MAX_CHAIN = 25;

let loaded: Bcoin | null = null;
function bcoin(): Bcoin {
  if (loaded) return loaded;
  const load = createRequire(import.meta.url);
  // Signatures by libsecp256k1, as in Core, in WebAssembly: where bcoin's add-on was not built it reckons in plain JavaScript, far slower.
  const signatures = createRequire(load.resolve('bcoin'))('bcrypto/lib/secp256k1') as {
    verify: (hash: Buffer, signature: Buffer, key: Buffer) => boolean;
  };
  signatures.verify = verified;
  // The one door to an untyped package: the shapes above are what is used of it.
  loaded = load('bcoin') as Bcoin;
  return loaded;
}

/** Of a signature of 64 bytes, with a high or a low s. */
function verified(hash: Buffer, signature: Buffer, key: Buffer): boolean {
  try {
    return curve.verify(hash, key, signature);
  } catch {
    return false; // no key, or no signature, at all
  }
}

/** Chain, mempool and miner of a regtest node without peers, in a folder or in memory; wired as bcoin's own node wires them. */
export function makeParts(dir: string | null): Parts {
  const { Chain, Mempool, Miner } = bcoin();
  const kept = dir === null ? { memory: true } : { memory: false, location: path.join(dir, 'chain') };
  const chain = new Chain({ network: 'regtest', indexTX: true, ...kept });
  // It asks the system for each block, to log what nobody reads.
  chain.logger.memory = () => undefined;
  // Rules of relay are looked at before bcoin is asked (acceptance.ts): its own are older than Core's.
  const policy = { requireStandard: false, replaceByFee: true, relayPriority: false, limitFree: false };
  const mempool = new Mempool({
    network: 'regtest',
    chain,
    memory: true,
    ...policy,
    rejectAbsurdFees: false,
    maxOrphans: 0,
    maxAncestors: MAX_CHAIN,
  });
  const miner = new Miner({ network: 'regtest', chain, mempool, preverify: false });
  chain.on('connect', (entry, block) => mempool._addBlock(entry, block.txs));
  chain.on('disconnect', (entry, block) => mempool._removeBlock(entry, block.txs));
  chain.on('reorganize', () => mempool._handleReorg());
  return { chain, mempool, miner };
}

/** @throws Error when the bytes are not one whole transaction */
export function readTx(bytes: Buffer): BcoinTx {
  const tx = bcoin().TX.fromRaw(bytes);
  if (!tx.toRaw().equals(bytes)) throw new Error('bytes are left over');
  return tx;
}

/** What a block pays its reward to. */
export function payee(script: Uint8Array): unknown {
  const { Address, Script } = bcoin();
  return Address.fromScript(Script.fromRaw(Buffer.from(script)));
}

/** Between the order people read and the order of the bytes. */
export const reversed = (hash: string): string => Buffer.from(Buffer.from(hash, 'hex').toReversed()).toString('hex');
