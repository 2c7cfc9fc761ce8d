/**
 * JSON-RPC over several independent sources of which a fixed number must agree. With fewer it throws and never goes on with less; a source
 * that contradicts itself, lags behind what was already final, or serves another chain does not count.
 *
 * Trusted for: fewer than `agreement` sources lie. Then each answer that enough of them give alike is an honest one's too, and at a final
 * height it is final for that one: only sources that hold a height final themselves are heard about it. Without that, a liar together with
 * an honest source that lags on a branch about to be dropped could outvote the one that knows.
 */
import type { Hex } from 'viem';
import { AgreementLost, RpcError, SourcePool, type Ask, type Source, type SourceOptions } from '../sources.js';
import type { RawLog } from './vault.js';

export { AgreementLost, RpcError } from '../sources.js';

export type Finality = { tag: 'finalized' | 'safe' } | { confirmations: number };

export interface RpcPoolOptions extends SourceOptions {
  chainId: number;
  finality: Finality;
}

export interface BlockRef {
  number: bigint;
  hash: Hex;
  /** Seconds since 1970, as in the block. */
  timestamp: bigint;
}

/** A log that is in a block. */
export type MinedLog = RawLog & { blockNumber: Hex; blockHash: Hex; transactionHash: Hex; logIndex: Hex };

/** Far above 2,000 blocks of ordinary deposits; a fuller range is asked for in smaller pieces. */
const MAX_LOGS_BYTES = 32 * 1024 * 1024;

interface EthereumSource extends Source {
  /** Height it last said is final. */
  final: bigint;
}

export class RpcPool extends SourcePool<EthereumSource> {
  /** Highest block that was agreed to be final. */
  private final = -1n;

  /** @throws Error when `agreement` cannot be met, or one source is given twice: it would agree with itself. */
  constructor(private readonly options: RpcPoolOptions) {
    super(options, (source) => ({ ...source, final: -1n }));
  }

  /** The newest block that is final by the policy for as many sources as must agree. @throws AgreementLost */
  async finalized(): Promise<BlockRef> {
    const { agreement } = this;
    const { good, bad } = await this.each(this.sources, (s, ask) => this.claim(s, ask), this.whenEnough);
    const heights = good.toSorted(descending).slice(agreement - 1);
    let lost = new AgreementLost('the finalized block', good.length, agreement, bad);
    // From the highest down: who only pretends to know more than the others cannot keep them from agreeing on less.
    for (const height of new Set(heights)) {
      try {
        const block = await this.blockAmong(
          this.sources.filter((s) => s.final >= height),
          height,
        );
        if (height > this.final) this.final = height;
        return block;
      } catch (error) {
        if (!(error instanceof AgreementLost)) throw error;
        lost = error;
      }
    }
    throw lost;
  }

  /** The newest block, final or not, of the sources that agree. @throws AgreementLost */
  async latest(): Promise<BlockRef> {
    const { agreement } = this;
    const { good, bad } = await this.each(this.sources, (_, ask) => blockOf(ask, 'latest'), this.whenEnough);
    const height = good.map((b) => b.number).toSorted(descending)[agreement - 1];
    if (height === undefined) throw new AgreementLost('the latest block', good.length, agreement, bad);
    return this.block(height);
  }

  /** The block at a height. @throws AgreementLost */
  block(height: bigint): Promise<BlockRef> {
    return this.blockAmong(this.heardAt(height), height);
  }

  /** Logs of one contract in blocks `from` to `to`, in the chain's order, each once. @throws AgreementLost */
  logs(address: Hex, from: bigint, to: BlockRef): Promise<MinedLog[]> {
    const filter = { address, fromBlock: hex(from), toBlock: hex(to.number) };
    return this.agreed(
      `the logs of blocks ${from} to ${to.number}`,
      this.heardAt(to.number),
      async (ask) => readLogs(await ask('eth_getLogs', [filter], MAX_LOGS_BYTES), address, from, to),
      JSON.stringify,
    );
  }

  /** Result of a read-only call at a block. @throws AgreementLost */
  call(to: Hex, data: Hex, height: bigint): Promise<Hex> {
    return this.agreed(
      `a call at block ${height}`,
      this.heardAt(height),
      async (ask) => text(await ask('eth_call', [{ to, data }, hex(height)]), DATA, 'a call’s result'),
      (value) => value,
    );
  }

  /** About a final height only those count that hold it final themselves. */
  private heardAt(height: bigint): readonly EthereumSource[] {
    return height > this.final ? this.sources : this.sources.filter((s) => s.final >= height);
  }

  /** Up to where a source says its chain is final. */
  private async claim(source: EthereumSource, ask: Ask): Promise<bigint> {
    const { finality } = this.options;
    const latest = await blockOf(ask, 'latest');
    if ('confirmations' in finality) {
      const height = latest.number - BigInt(finality.confirmations) + 1n;
      source.final = height < 0n ? 0n : height;
      return source.final;
    }
    const final = await blockOf(ask, finality.tag);
    if (final.number > latest.number) throw new RpcError('its finalized block is ahead of its own chain');
    source.final = final.number;
    return source.final;
  }

  private blockAmong(sources: readonly EthereumSource[], height: bigint): Promise<BlockRef> {
    return this.agreed(
      `block ${height}`,
      sources,
      async (ask) => {
        const block = await blockOf(ask, hex(height));
        if (block.number !== height) throw new RpcError(`it gives block ${block.number} as block ${height}`);
        return block;
      },
      (b) => `${b.hash} ${b.timestamp}`,
    );
  }

  protected async identify(ask: Ask): Promise<void> {
    const id = quantity(await ask('eth_chainId', []), 'a chain id');
    if (id !== BigInt(this.options.chainId)) throw new RpcError(`it serves chain ${id}, not ${this.options.chainId}`);
  }
}

const DATA = /^0x(?:[0-9a-f][0-9a-f])*$/;
const HASH = /^0x[0-9a-f]{64}$/;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
/** Written in one way only, and below 2^64. */
const QUANTITY = /^0x(?:0|[1-9a-f][0-9a-f]{0,15})$/;

function text(value: unknown, form: RegExp, what: string): Hex {
  if (typeof value !== 'string' || !form.test(value)) throw new RpcError(`it gives something else as ${what}`);
  return value as Hex; // every form begins with 0x
}

const quantity = (value: unknown, what: string): bigint => BigInt(text(value, QUANTITY, what));

function fields(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new RpcError(`it gives something else as ${what}`);
  return value as Record<string, unknown>; // an object: any key may be looked up
}

async function blockOf(ask: Ask, which: string): Promise<BlockRef> {
  const found = await ask('eth_getBlockByNumber', [which, false]);
  if (found === null) throw new RpcError(`it has no block ${which}`);
  const block = fields(found, 'a block');
  return {
    number: quantity(block['number'], 'a block’s number'),
    hash: text(block['hash'], HASH, 'a block’s hash'),
    timestamp: quantity(block['timestamp'], 'a block’s time'),
  };
}

/** One source's answer, in the chain's order. What is not of this contract and range, or not of one chain, makes it no answer. */
function readLogs(answer: unknown, address: Hex, from: bigint, to: BlockRef): MinedLog[] {
  if (!Array.isArray(answer)) throw new RpcError('it gives something else as logs');
  const hashes = new Map([[to.number, to.hash]]);
  const placed = answer.map((entry: unknown) => {
    const log = readLog(entry);
    const [block, index] = [BigInt(log.blockNumber), BigInt(log.logIndex)];
    if (log.address.toLowerCase() !== address.toLowerCase()) throw new RpcError('it gives logs of another contract');
    if (block < from || block > to.number) throw new RpcError('it gives logs of other blocks');
    const hash = hashes.get(block) ?? log.blockHash;
    if (hash !== log.blockHash) throw new RpcError(`it gives logs of two blocks ${block}`);
    hashes.set(block, hash);
    return { block, index, log };
  });
  placed.sort((a, b) => ascending(a.block, b.block) || ascending(a.index, b.index));
  if (placed.some(({ block, index }, i) => i > 0 && block === placed[i - 1]?.block && index === placed[i - 1]?.index))
    throw new RpcError('it gives one log twice');
  return placed.map((p) => p.log);
}

function readLog(value: unknown): MinedLog {
  const log = fields(value, 'a log');
  if (log['removed'] !== undefined && log['removed'] !== false)
    throw new RpcError('it gives a log that was taken back');
  const { topics } = log;
  if (!Array.isArray(topics) || topics.length > 4) throw new RpcError('it gives something else as a log’s topics');
  quantity(log['blockNumber'], 'a log’s block');
  quantity(log['logIndex'], 'a log’s index');
  return {
    address: text(log['address'], ADDRESS, 'a log’s address').toLowerCase(),
    topics: topics.map((topic: unknown) => text(topic, HASH, 'a log’s topic')),
    data: text(log['data'], DATA, 'a log’s data'),
    blockNumber: text(log['blockNumber'], QUANTITY, 'a log’s block'),
    blockHash: text(log['blockHash'], HASH, 'a log’s block hash'),
    transactionHash: text(log['transactionHash'], HASH, 'a log’s transaction'),
    logIndex: text(log['logIndex'], QUANTITY, 'a log’s index'),
  };
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
const descending = (a: bigint, b: bigint): number => ascending(b, a);
const hex = (value: bigint): Hex => `0x${value.toString(16)}`;
