/**
 * Bitcoin Core's JSON-RPC over several nodes. Blocks and headers are what they hash to, whoever gives them; what no hash proves (which block is on the
 * chain at a height, whether a coin is unspent, what fees cost) is what enough nodes say alike. Amounts of deposits are never read from JSON: bytes are.
 */
import { AgreementLost, RpcError, SourcePool, type Ask, type Source, type SourceOptions } from '../sources.js';
import { HEADER_BYTES, MAX_BLOCK_BYTES, parseBlock, type ParsedBlock } from './block.js';
import { BitcoinError } from './errors.js';
import { MAX_FORK_DEPTH, type HeaderChain } from './headers.js';
import type { BitcoinNetwork } from './network.js';

export interface BitcoinPoolOptions extends SourceOptions {
  network: BitcoinNetwork;
}

/** An unspent output as nodes see it. Its value is only as true as they are: whoever signs for it commits to it, so that a wrong one makes a bad signature. */
export interface PaidCoin {
  txid: string;
  vout: number;
  /** Satoshis. */
  value: bigint;
  /** Blocks from its own to the tip, both counted. */
  confirmations: number;
}

/** Unspent outputs, and the height of the tip they are counted from. */
export interface PaidCoins {
  height: number;
  coins: PaidCoin[];
}

/** A transaction offered to the nodes. */
export interface Sent {
  txid: string;
  /** Nodes that have it now. */
  accepted: number;
  /** Why the others do not. */
  reasons: readonly string[];
}

/** In hex, with what JSON adds. */
const MAX_BLOCK_ANSWER = 2 * MAX_BLOCK_BYTES + 1024;
/** Some ten thousand coins of one script. */
const MAX_SCAN = 4 * 1024 * 1024;
/** Headers asked for in one request: half a megabyte of answers at most. */
const HEADERS_AT_ONCE = 500;
/** One synchronisation takes so many headers from a node at most, then looks around. */
const MAX_HEADERS_A_SYNC = 5_000;
/** Core's codes for a transaction that a node has: in its chain, or, before version 0.19, in its mempool. */
const ALREADY_IN_CHAIN = -27;

export class BitcoinPool extends SourcePool<Source> {
  readonly network: BitcoinNetwork;

  /** @throws Error when `agreement` cannot be met, or one source is given twice: it would agree with itself. */
  constructor(options: BitcoinPoolOptions) {
    super(options, (source) => source);
    this.network = options.network;
  }

  /** Takes in what headers the nodes have. @throws AgreementLost when too few of them follow a chain that keeps the rules */
  async sync(chain: HeaderChain): Promise<void> {
    const { good, bad } = await this.each(this.sources, (_, ask) => followed(chain, ask), this.whenEnough);
    if (good.length < this.agreement) throw new AgreementLost('the headers', good.length, this.agreement, bad);
  }

  /** Hash of the block at a height. @throws AgreementLost */
  hashAt(height: number): Promise<string> {
    return this.agreed(
      `block ${height}`,
      this.sources,
      async (ask) => text(await ask('getblockhash', [height]), HASH, 'a block’s hash'),
      (hash) => hash,
    );
  }

  /** A block, from the first node that gives it whole. @throws AgreementLost when none does */
  async block(hash: string): Promise<ParsedBlock> {
    const reasons: string[] = [];
    for (const source of this.sources) {
      const { good, bad } = await this.each([source], (_, ask) => blockFrom(ask, hash), firstIsEnough);
      const [block] = good;
      if (block) return block;
      reasons.push(...bad);
    }
    throw new AgreementLost(`what is in block ${hash}`, 0, 1, reasons);
  }

  /** Whether an output is on the chain and not spent there; what only waits does not count. @throws AgreementLost */
  unspent(txid: string, vout: number): Promise<boolean> {
    return this.agreed(
      `whether ${txid}:${vout} is spent`,
      this.sources,
      async (ask) => (await ask('gettxout', [txid, vout, false])) !== null,
      String,
    );
  }

  /**
   * What pays a script on the chain and is not spent there. A node looks through all its coins for it (`scantxoutset`), which takes it minutes; some
   * have no such method. @throws AgreementLost
   */
  coinsOf(script: Uint8Array): Promise<PaidCoins> {
    const wanted = Buffer.from(script).toString('hex');
    const scan = ['start', [`raw(${wanted})`]];
    return this.agreed(
      'the coins of a script',
      this.sources,
      async (ask) => scanned(await ask('scantxoutset', scan, MAX_SCAN), wanted),
      ({ height, coins }) => [height, ...coins.map((c) => `${c.txid}:${c.vout}:${c.value}`)].join(' '),
    );
  }

  /** An output of a script that is on the chain and not spent there; null for any other. @throws AgreementLost */
  coinAt(txid: string, vout: number, script: Uint8Array): Promise<PaidCoin | null> {
    const wanted = Buffer.from(script).toString('hex');
    return this.agreed(
      `${txid}:${vout}`,
      this.sources,
      async (ask) => paidCoin(await ask('gettxout', [txid, vout, false]), txid, vout, wanted),
      (coin) => (coin === null ? '-' : `${coin.value} ${coin.confirmations}`),
    );
  }

  /** Height of the tip. @throws AgreementLost */
  height(): Promise<number> {
    return this.agreed(
      'the height',
      this.sources,
      async (ask) => count(await ask('getblockcount', []), 'its height'),
      String,
    );
  }

  /**
   * What a virtual byte costs to be mined within so many blocks, in satoshis per 1,000 of them: the middle of what the nodes say; null when fewer
   * than must agree know. @throws AgreementLost
   */
  async feeRate(blocks: number): Promise<bigint | null> {
    const { good, bad } = await this.each(this.sources, (_, ask) => estimate(ask, blocks), allAnswers);
    if (good.length < this.agreement) throw new AgreementLost('the fee', good.length, this.agreement, bad);
    const rates = good.filter((rate) => rate !== null).toSorted((a, b) => (a < b ? -1 : 1));
    return rates.length < this.agreement ? null : (rates[Math.floor((rates.length - 1) / 2)] ?? null);
  }

  /** Offers a transaction to all nodes; one that has it already has accepted it. */
  async send(txid: string, hex: string): Promise<Sent> {
    const { good, bad } = await this.each(this.sources, (_, ask) => sent(ask, txid, hex), allAnswers);
    return { txid, accepted: good.length, reasons: bad };
  }

  /** Asks all nodes whether they would take a transaction; it is sent nowhere. */
  async test(hex: string): Promise<{ accepted: number; reasons: readonly string[] }> {
    const { good, bad } = await this.each(this.sources, (_, ask) => tested(ask, hex), allAnswers);
    return { accepted: good.length, reasons: bad };
  }

  protected async identify(ask: Ask): Promise<void> {
    const { coreName, genesis, name } = this.network;
    const info = fields(await ask('getblockchaininfo', []), 'its chain');
    if (info['chain'] !== coreName || (await ask('getblockhash', [0])) !== genesis)
      throw new RpcError(`it does not serve ${name}`);
  }
}

const firstIsEnough = (good: readonly unknown[]) => (good.length > 0 ? 'decided' : 'open');
const allAnswers = () => 'open' as const;

/** Follows one node from the last block it shares with the chain. */
async function followed(chain: HeaderChain, ask: Ask): Promise<number> {
  const top = count(await ask('getblockcount', []), 'its height');
  const shared = await lastShared(chain, ask, top);
  const end = Math.min(top, shared + MAX_HEADERS_A_SYNC);
  for (let from = shared + 1; from <= end; from += HEADERS_AT_ONCE) {
    const heights = Array.from({ length: Math.min(HEADERS_AT_ONCE, end - from + 1) }, (_, i) => [from + i]);
    const hashes = (await ask.all('getblockhash', heights)).map((hash) => text(hash, HASH, 'a block’s hash'));
    const fresh = hashes.filter((hash) => !chain.knows(hash));
    if (fresh.length === 0) continue;
    const headers = await ask.all(
      'getblockheader',
      fresh.map((hash) => [hash, false]),
    );
    await chain.add(headers.map((header) => Buffer.from(text(header, HEADER, 'a header'), 'hex'))).catch(blame);
  }
  return end;
}

/** Steps back ever further until the node has the chain's own block there. */
async function lastShared(chain: HeaderChain, ask: Ask, top: number): Promise<number> {
  const begin = Math.min(top, chain.tip.height);
  const lowest = Math.max(chain.anchor.height, chain.tip.height - MAX_FORK_DEPTH + 1);
  for (let back = 0; ; back = back * 2 + 1) {
    const known = chain.at(Math.max(begin - back, lowest));
    if (known && (await ask('getblockhash', [known.height])) === known.hash) return known.height;
    if (begin - back <= lowest) throw new RpcError('it shares no recent block with the chain that is known');
  }
}

async function blockFrom(ask: Ask, hash: string): Promise<ParsedBlock> {
  const raw = text(await ask('getblock', [hash, 0], MAX_BLOCK_ANSWER), BYTES, 'a block');
  try {
    const block = parseBlock(Buffer.from(raw, 'hex'));
    if (block.header.hash !== hash) throw new RpcError(`it gives block ${block.header.hash} as ${hash}`);
    return block;
  } catch (error) {
    return blame(error);
  }
}

async function estimate(ask: Ask, blocks: number): Promise<bigint | null> {
  const { feerate } = fields(await ask('estimatesmartfee', [blocks]), 'a fee');
  if (feerate === undefined) return null;
  if (typeof feerate !== 'number' || !(feerate > 0 && feerate < 1))
    throw new RpcError('it gives something else as a fee');
  return satoshis(feerate);
}

function scanned(answer: unknown, script: string): PaidCoins {
  const { success, height, unspents } = fields(answer, 'coins');
  if (success !== true || !Array.isArray(unspents)) throw new RpcError('it gives something else as coins');
  const top = count(height, 'a height');
  const coins = unspents.map((one: unknown) => {
    const unspent = fields(one, 'a coin');
    const below = top - count(unspent['height'], 'a height');
    if (unspent['scriptPubKey'] !== script || below < 0) throw new RpcError('it gives coins nobody asked for');
    return {
      txid: text(unspent['txid'], HASH, 'a transaction'),
      vout: count(unspent['vout'], 'an output'),
      value: satoshis(unspent['amount']),
      confirmations: below + 1,
    };
  });
  return {
    height: top,
    coins: coins.toSorted((a, b) => (a.txid < b.txid ? -1 : a.txid > b.txid ? 1 : a.vout - b.vout)),
  };
}

function paidCoin(answer: unknown, txid: string, vout: number, script: string): PaidCoin | null {
  if (answer === null) return null;
  const { confirmations, value, scriptPubKey } = fields(answer, 'a coin');
  if (fields(scriptPubKey, 'a script')['hex'] !== script) return null;
  return { txid, vout, value: satoshis(value), confirmations: count(confirmations, 'a count') };
}

/** Of coins as JSON has them: eight decimals, exact as text, for all coins there are make 2.1e15 satoshis. */
function satoshis(coins: unknown): bigint {
  if (typeof coins !== 'number' || !(coins >= 0 && coins <= 21_000_000))
    throw new RpcError('it gives something else as an amount');
  return BigInt(coins.toFixed(8).replace('.', ''));
}

async function sent(ask: Ask, txid: string, hex: string): Promise<true> {
  try {
    if ((await ask('sendrawtransaction', [hex])) !== txid) throw new RpcError('it names the transaction otherwise');
  } catch (error) {
    const has = error instanceof RpcError && (error.code === ALREADY_IN_CHAIN || error.message.includes('txn-already'));
    if (!has) throw error;
  }
  return true;
}

async function tested(ask: Ask, hex: string): Promise<true> {
  const answer = await ask('testmempoolaccept', [[hex]]);
  const told = fields(Array.isArray(answer) ? answer[0] : undefined, 'a judgement');
  if (told['allowed'] === true) return true;
  throw new RpcError(
    `it would refuse it: ${typeof told['reject-reason'] === 'string' ? told['reject-reason'] : 'no reason'}`,
  );
}

const HASH = /^[0-9a-f]{64}$/;
const HEADER = new RegExp(`^[0-9a-f]{${HEADER_BYTES * 2}}$`);
const BYTES = /^(?:[0-9a-f]{2})+$/;
/** Blocks come every ten minutes: not so many in ten thousand years. */
const MAX_HEIGHT = 1_000_000_000;

function text(value: unknown, form: RegExp, what: string): string {
  if (typeof value !== 'string' || !form.test(value)) throw new RpcError(`it gives something else as ${what}`);
  return value;
}

function count(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_HEIGHT)
    throw new RpcError(`it gives something else as ${what}`);
  return value;
}

function fields(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new RpcError(`it gives something else as ${what}`);
  return value as Record<string, unknown>; // an object: any key may be looked up
}

/** What breaks Bitcoin's rules is the fault of the node that gave it. */
function blame(error: unknown): never {
  throw error instanceof BitcoinError ? new RpcError(`it gives what no honest node gives: ${error.message}`) : error;
}
