/** What the node answers over JSON-RPC, each method as Bitcoin Core documents it. What is not in the table there is not. */
import { Block, Transaction } from 'bitcoinjs-lib';
import { bytesOf, INCREMENTAL_FEE, Rejected } from './acceptance.js';
import { reversed, type Entry, type PoolEntry } from './bcoin.js';
import { CODE, CoreError } from './core-error.js';
import { scriptOf } from './curve.js';
import { merkleBlock } from './merkle-block.js';
import { MAX_BLOCKS_AT_ONCE, type BitcoinNode } from './node.js';
import { unspentOf } from './scan.js';
import { blockJson, coins, difficulty, headerJson, hex, scriptJson, txJson, type BlockPlace } from './shapes.js';

type Params = readonly unknown[];
export type Method = (node: BitcoinNode, params: Params) => Promise<unknown>;

const HEADER_BYTES = 80;
/** Transactions of one `testmempoolaccept`, one `gettxoutproof`. */
const MAX_LISTED = 25;
/** Coins per 1,000 virtual bytes above which `sendrawtransaction` refuses, unless told otherwise. */
const DEFAULT_MAX_RATE = 0.1;

export const METHODS = {
  getblockchaininfo: async (node) => {
    const { tip } = node.chain;
    return {
      chain: 'regtest',
      blocks: tip.height,
      headers: tip.height,
      bestblockhash: tip.rhash(),
      difficulty: difficulty(tip.bits),
      time: tip.time,
      mediantime: await node.chain.getMedianTime(tip),
      verificationprogress: 1,
      initialblockdownload: false,
      chainwork: tip.chainwork.toString(16, 64),
      pruned: false,
      warnings: '',
    };
  },
  getnetworkinfo: async (node) => ({
    version: 270_000,
    subversion: '/bcoin:1.0.2/',
    protocolversion: 70_015,
    networkactive: false,
    connections: 0,
    relayfee: coins(node.acceptance.fees.floor),
    incrementalfee: coins(INCREMENTAL_FEE),
    warnings: '',
  }),
  getblockcount: async (node) => node.height,
  getbestblockhash: async (node) => node.chain.tip.rhash(),
  getblockhash: async (node, [height]) => {
    if (typeof height !== 'number') throw wrongType('number');
    if (!Number.isInteger(height) || height < 0 || height > node.height)
      throw new CoreError(CODE.invalidParameter, 'Block height out of range');
    return (await node.entryAt(height)).rhash();
  },
  getblockheader: async (node, [hash, verbose = true]) => {
    const entry = await entryOf(node, hash);
    if (verbose === false) return hex(entry.toRaw().subarray(0, HEADER_BYTES));
    const block = await rawBlock(node, entry);
    return headerJson(entry, await placeOf(node, entry, Block.fromBuffer(block).transactions?.length ?? 0));
  },
  getblock: async (node, [hash, verbosity = 1]) => {
    const entry = await entryOf(node, hash);
    const level = verbosity === false ? 0 : verbosity === true ? 1 : verbosity;
    if (level !== 0 && level !== 1 && level !== 2) throw wrongType('number');
    const raw = await rawBlock(node, entry);
    if (level === 0) return hex(raw);
    const block = Block.fromBuffer(raw);
    const place = await placeOf(node, entry, block.transactions?.length ?? 0);
    return blockJson(entry, place, block, level === 2 ? await feesOf(node, entry) : null);
  },
  getchaintips: async (node) => {
    const tips = await Promise.all((await node.chain.getTips()).map((hash) => node.chain.getEntryByHash(hash)));
    const told = [];
    for (const tip of tips) if (tip) told.push(await tipOf(node, tip));
    return told.toSorted((a, b) => b.height - a.height);
  },
  getrawtransaction: async (node, [txid, verbose = 0, blockhash]) => {
    const found = await findTx(node, hashOf(txid, 'txid'), blockhash);
    if (verbose === 0 || verbose === false) return hex(found.raw);
    return { ...txJson(Transaction.fromBuffer(found.raw)), hex: hex(found.raw), ...(await minedIn(node, found)) };
  },
  sendrawtransaction: async (node, [raw, maxRate = DEFAULT_MAX_RATE]) => {
    const bytes = bytesOf(raw);
    try {
      return (await node.acceptance.add(bytes, rate(maxRate))).txid;
    } catch (error) {
      // One that waits already is sent to the peers again.
      if (error instanceof Rejected && error.reason === 'txn-already-in-mempool')
        return Transaction.fromBuffer(bytes).getId();
      throw error;
    }
  },
  testmempoolaccept: async (node, [raws, maxRate = DEFAULT_MAX_RATE]) => {
    const list = listed(raws);
    if (list.length > 1) throw new CoreError(CODE.misc, 'Packages are not judged here: give one transaction.');
    const answers = [];
    for (const raw of list) answers.push(await judged(node, bytesOf(raw), rate(maxRate)));
    return answers;
  },
  gettxout: async (node, [txid, n, includeMempool = true]) => {
    const hash = hashOf(txid, 'txid');
    if (typeof n !== 'number' || !Number.isInteger(n) || n < 0) throw wrongType('number');
    if (includeMempool === true && node.mempool.getSpent(hash, n)) return null;
    const waiting = includeMempool === true ? node.mempool.getCoin(hash, n) : null;
    const coin = waiting ?? (await node.chain.getCoin(hash, n));
    if (!coin) return null;
    return {
      bestblock: node.chain.tip.rhash(),
      confirmations: waiting ? 0 : node.height - coin.height + 1,
      value: coins(coin.value),
      scriptPubKey: scriptJson(coin.script.toRaw()),
      coinbase: coin.coinbase,
    };
  },
  scantxoutset: async (node, [action, descriptors]) => {
    if (action !== 'start')
      throw new CoreError(CODE.invalidParameter, `Invalid action '${String(action).slice(0, 80)}'`);
    return unspentOf(node, descriptors);
  },
  getrawmempool: async (node, [verbose = false]) => {
    const entries = [...node.mempool.map.values()];
    if (verbose !== true) return entries.map((e) => e.tx.txid());
    return Object.fromEntries(entries.map((e) => [e.tx.txid(), poolJson(node, e)]));
  },
  getmempoolentry: async (node, [txid]) => {
    const entry = node.mempool.getEntry(hashOf(txid, 'txid'));
    if (!entry) throw new CoreError(CODE.invalidAddressOrKey, 'Transaction not in mempool');
    return poolJson(node, entry);
  },
  getmempoolinfo: async (node) => {
    const entries = [...node.mempool.map.values()];
    const floor = coins(node.acceptance.fees.floor);
    return {
      loaded: true,
      size: entries.length,
      bytes: entries.reduce((sum, e) => sum + e.size, 0),
      total_fee: coins(entries.reduce((sum, e) => sum + BigInt(e.fee), 0n)),
      mempoolminfee: floor,
      minrelaytxfee: floor,
      incrementalrelayfee: coins(INCREMENTAL_FEE),
      fullrbf: true,
    };
  },
  gettxoutproof: async (node, [txids, blockhash]) => {
    const wanted = listed(txids).map((id) => hashOf(id, 'txid'));
    const [first] = wanted;
    if (first === undefined) throw new CoreError(CODE.invalidParameter, 'Parameter txids cannot be empty');
    const in_ = blockhash === undefined ? await node.chain.getMeta(first) : null;
    if (blockhash === undefined && !in_?.block)
      throw new CoreError(CODE.invalidAddressOrKey, 'Transaction not yet in block');
    const entry = await entryOf(node, blockhash ?? reversed(in_?.block ?? ''));
    const ids = (Block.fromBuffer(await rawBlock(node, entry)).transactions ?? []).map((t) => t.getHash());
    const known = ids.map(hex);
    if (!wanted.every((id) => known.includes(id)))
      throw new CoreError(CODE.invalidAddressOrKey, 'Not all transactions found in specified or retrieved block');
    return hex(
      merkleBlock(
        entry.toRaw().subarray(0, HEADER_BYTES),
        ids,
        known.map((id) => wanted.includes(id)),
      ),
    );
  },
  estimatesmartfee: async (node, [target]) => {
    if (typeof target !== 'number' || target < 1 || target > 1008)
      throw new CoreError(CODE.invalidParameter, 'Invalid conf_target, must be between 1 and 1008');
    const { estimate } = node.acceptance.fees;
    if (estimate === null) return { errors: ['Insufficient data or no feerate found'], blocks: target };
    return { feerate: coins(estimate), blocks: target };
  },
  generatetoaddress: async (node, [blocks, to]) => {
    if (typeof blocks !== 'number' || !Number.isInteger(blocks) || blocks < 0 || blocks > MAX_BLOCKS_AT_ONCE)
      throw new CoreError(CODE.invalidParameter, `From 0 to ${MAX_BLOCKS_AT_ONCE} blocks at a time`);
    return blocks === 0 ? [] : node.mine(blocks, { script: payTo(to) });
  },
} as const satisfies Readonly<Record<string, Method>>;

const wrongType = (what: string): CoreError => new CoreError(CODE.type, `JSON value is not a ${what} as expected`);

/** A hash as people write it, in bcoin's order. @throws CoreError */
function hashOf(value: unknown, name: string): string {
  if (typeof value !== 'string') throw wrongType('string');
  if (!/^[0-9a-fA-F]{64}$/.test(value))
    throw new CoreError(
      CODE.invalidParameter,
      `${name} must be of length 64 and hexadecimal (not '${value.slice(0, 80)}')`,
    );
  return reversed(value.toLowerCase());
}

function listed(value: unknown): unknown[] {
  if (!Array.isArray(value) || value.length > MAX_LISTED)
    throw new CoreError(CODE.type, `JSON value is not an array of at most ${MAX_LISTED} as expected`);
  return value;
}

/** Satoshis per 1,000 virtual bytes. */
function rate(value: unknown): bigint {
  const amount = Number(value);
  if (!Number.isFinite(amount) || amount < 0) throw new CoreError(CODE.type, 'Amount out of range');
  return BigInt(Math.round(amount * 1e8));
}

function payTo(value: unknown): Uint8Array {
  try {
    return scriptOf(String(value));
  } catch {
    throw new CoreError(CODE.invalidAddressOrKey, 'Error: Invalid address');
  }
}

async function entryOf(node: BitcoinNode, hash: unknown): Promise<Entry> {
  const entry = await node.chain.getEntryByHash(hashOf(hash, 'blockhash'));
  if (!entry) throw new CoreError(CODE.invalidAddressOrKey, 'Block not found');
  return entry;
}

async function rawBlock(node: BitcoinNode, entry: Entry): Promise<Buffer> {
  const raw = await node.chain.getRawBlock(entry.hash);
  if (!raw) throw new CoreError(CODE.misc, 'Block not found on disk');
  return raw;
}

async function placeOf(node: BitcoinNode, entry: Entry, nTx: number): Promise<BlockPlace> {
  const on = await node.chain.isMainChain(entry);
  const next = on ? await node.chain.getNextHash(entry.hash) : null;
  return {
    confirmations: on ? node.height - entry.height + 1 : -1,
    mediantime: await node.chain.getMedianTime(entry),
    next: next === null ? null : reversed(next),
    nTx,
  };
}

/** Of all transactions but the first. */
async function feesOf(node: BitcoinNode, entry: Entry): Promise<bigint[]> {
  const block = await node.chain.getBlock(entry.hash);
  if (!block || !(await node.chain.isMainChain(entry))) return [];
  const view = await node.chain.getBlockView(block);
  return block.txs.slice(1).map((tx) => BigInt(tx.getFee(view)));
}

async function tipOf(node: BitcoinNode, tip: Entry) {
  let entry = tip;
  while (!(await node.chain.isMainChain(entry))) {
    const before = await node.chain.getPrevious(entry);
    if (!before) break;
    entry = before;
  }
  const branchlen = tip.height - entry.height;
  return { height: tip.height, hash: tip.rhash(), branchlen, status: branchlen === 0 ? 'active' : 'valid-fork' };
}

interface Found {
  raw: Buffer;
  /** The block it is in, if any. */
  entry: Entry | null;
  asked: boolean;
}

async function findTx(node: BitcoinNode, hash: string, blockhash: unknown): Promise<Found> {
  if (blockhash !== undefined && blockhash !== null) {
    const entry = await entryOf(node, blockhash);
    const tx = (await node.chain.getBlock(entry.hash))?.txs.find((t) => t.hash('hex') === hash);
    if (!tx) throw new CoreError(CODE.invalidAddressOrKey, 'No such transaction found in the provided block.');
    return { raw: tx.toRaw(), entry, asked: true };
  }
  const waiting = node.mempool.getEntry(hash);
  if (waiting) return { raw: waiting.tx.toRaw(), entry: null, asked: false };
  const meta = await node.chain.getMeta(hash);
  if (!meta) throw new CoreError(CODE.invalidAddressOrKey, 'No such mempool or blockchain transaction.');
  return { raw: meta.tx.toRaw(), entry: await node.chain.getEntryByHash(meta.block), asked: false };
}

async function minedIn(node: BitcoinNode, { entry, asked }: Found): Promise<Record<string, unknown>> {
  if (!entry) return {};
  const on = await node.chain.isMainChain(entry);
  return {
    ...(asked ? { in_active_chain: on } : {}),
    blockhash: entry.rhash(),
    confirmations: on ? node.height - entry.height + 1 : 0,
    time: entry.time,
    blocktime: entry.time,
  };
}

async function judged(node: BitcoinNode, bytes: Buffer, maxRate: bigint): Promise<Record<string, unknown>> {
  try {
    const { txid, wtxid, vsize, fee } = await node.acceptance.test(bytes, maxRate);
    return { txid, wtxid, allowed: true, vsize, fees: { base: coins(fee) } };
  } catch (error) {
    if (!(error instanceof Rejected)) throw error;
    const tx = Transaction.fromBuffer(bytes);
    const wtxid = reversed(hex(tx.getHash(true)));
    return { txid: tx.getId(), wtxid, allowed: false, 'reject-reason': error.reason };
  }
}

function poolJson(node: BitcoinNode, entry: PoolEntry): Record<string, unknown> {
  const { tx, size, fee, time, height } = entry;
  const [above, below] = [node.mempool.getAncestors(entry), node.mempool.getDescendants(entry)];
  const sum = (list: readonly PoolEntry[], of: 'size' | 'fee'): number => list.reduce((n, e) => n + e[of], entry[of]);
  const hash = tx.hash('hex');
  const read = Transaction.fromBuffer(tx.toRaw());
  const spenders = tx.outputs.map((_, i) => node.mempool.getSpent(hash, i)).filter((e) => e !== undefined);
  return {
    vsize: size,
    weight: read.weight(),
    time,
    height,
    descendantcount: below.length + 1,
    descendantsize: sum(below, 'size'),
    ancestorcount: above.length + 1,
    ancestorsize: sum(above, 'size'),
    wtxid: reversed(hex(read.getHash(true))),
    fees: {
      base: coins(fee),
      modified: coins(fee),
      ancestor: coins(sum(above, 'fee')),
      descendant: coins(sum(below, 'fee')),
    },
    depends: [
      ...new Set(tx.inputs.filter((i) => node.mempool.getEntry(i.prevout.hash)).map((i) => reversed(i.prevout.hash))),
    ],
    spentby: [...new Set(spenders.map((e) => e.tx.txid()))],
    'bip125-replaceable': true, // whoever pays more replaces any
    unbroadcast: false,
  };
}
