/**
 * JSON-RPC over several independent sources of which a fixed number must agree. With fewer it throws and never goes on with less; a source
 * that contradicts itself, lags behind what was already final, or serves another chain does not count.
 *
 * Trusted for: fewer than `agreement` sources lie. Then each answer that enough of them give alike is an honest one's too, and at a final
 * height it is final for that one: only sources that hold a height final themselves are heard about it. Without that, a liar together with
 * an honest source that lags on a branch about to be dropped could outvote the one that knows.
 */
import type { Hex } from 'viem';
import type { RawLog } from './vault.js';

export type Finality = { tag: 'finalized' | 'safe' } | { confirmations: number };

export interface RpcPoolOptions {
  /** One for each source, all different. */
  urls: readonly string[];
  /** How many sources must say the same. */
  agreement: number;
  chainId: number;
  finality: Finality;
  /** Time a source has for one question, milliseconds. */
  timeoutMs?: number;
}

export interface BlockRef {
  number: bigint;
  hash: Hex;
  /** Seconds since 1970, as in the block. */
  timestamp: bigint;
}

/** A log that is in a block. */
export type MinedLog = RawLog & { blockNumber: Hex; blockHash: Hex; transactionHash: Hex; logIndex: Hex };

/** Fewer sources agree than required, or as many say one thing as another: nothing may be concluded. */
export class AgreementLost extends Error {
  readonly code = 'agreement-lost';
  constructor(
    what: string,
    readonly agreeing: number,
    readonly required: number,
    readonly reasons: readonly string[],
    /** Sources gave different answers, rather than none. */
    readonly contradiction = false,
  ) {
    super(
      `${agreeing} of the ${required} RPC sources required agree on ${what}${reasons.length > 0 ? `: ${reasons.join('; ')}` : ''}`,
    );
    this.name = 'AgreementLost';
  }
}

/** One source refused or failed one call, or contradicts itself. */
export class RpcError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'RpcError';
  }
}

const TIMEOUT_MS = 10_000;
/** Once enough sources have answered, the others get this long at most: one that hangs does not hold up the rest. */
const PATIENCE_MS = 1_000;
/** Far above 2,000 blocks of ordinary deposits; a fuller range is asked for in smaller pieces. */
const MAX_LOGS_BYTES = 32 * 1024 * 1024;
/** A block's header and transaction hashes, a value, or an error. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const MAX_REASON = 200;

interface Source {
  /** Counted from 1: an address may hold a key and is never shown. */
  name: string;
  url: string;
  chainChecked: boolean;
  /** Height it last said is final. */
  final: bigint;
}

interface Answers<T> {
  good: T[];
  bad: string[];
}

/** How answers stand: more are needed, one may stop waiting soon, or nothing that is open can change the outcome. */
type Standing = 'open' | 'enough' | 'decided';

export class RpcPool {
  /** Calls made so far, over all sources. */
  calls = 0;
  private readonly sources: readonly Source[];
  /** Highest block that was agreed to be final. */
  private final = -1n;

  /** @throws Error when `agreement` cannot be met, or one source is given twice: it would agree with itself. */
  constructor(private readonly options: RpcPoolOptions) {
    const { agreement, urls } = options;
    if (agreement < 1 || agreement > urls.length)
      throw new Error(`agreement is ${agreement}: it lies between 1 and the number of rpcUrls (${urls.length}).`);
    if (new Set(urls.map((url) => new URL(url).href)).size < urls.length)
      throw new Error('rpcUrls names a source twice: agreement needs different ones.');
    this.sources = urls.map((url, i) => ({ name: `source ${i + 1}`, url, chainChecked: false, final: -1n }));
  }

  /** The newest block that is final by the policy for as many sources as must agree. @throws AgreementLost */
  async finalized(): Promise<BlockRef> {
    const { agreement } = this.options;
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
    const { agreement } = this.options;
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

  /** Has every source show again which chain it serves: another node may stand at its address by now. */
  recheckChains(): void {
    for (const source of this.sources) source.chainChecked = false;
  }

  private readonly whenEnough = (good: readonly unknown[]): Standing =>
    good.length >= this.options.agreement ? 'enough' : 'open';

  /** About a final height only those count that hold it final themselves. */
  private heardAt(height: bigint): readonly Source[] {
    return height > this.final ? this.sources : this.sources.filter((s) => s.final >= height);
  }

  /** Up to where a source says its chain is final. */
  private async claim(source: Source, ask: Ask): Promise<bigint> {
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

  private blockAmong(sources: readonly Source[], height: bigint): Promise<BlockRef> {
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

  /** The answer that enough sources give alike, and no other as many. */
  private async agreed<T>(
    what: string,
    sources: readonly Source[],
    question: (ask: Ask) => Promise<T>,
    content: (value: T) => string,
  ): Promise<T> {
    const { agreement } = this.options;
    const keyed = async (_: Source, ask: Ask) => {
      const value = await question(ask);
      return { key: content(value), value };
    };
    const { good, bad } = await this.each(sources, keyed, (given, open) => {
      const [first = 0, second = 0] = sizes(given);
      if (first < agreement) return 'open';
      return second + open < agreement ? 'decided' : 'enough';
    });
    const [first = 0, second = 0] = sizes(good);
    if (first >= agreement && second < agreement) return mostGiven(good);
    const silent = this.sources.length - sources.length;
    const reasons = silent > 0 ? [...bad, `${silent} lag behind what is final`] : bad;
    throw new AgreementLost(
      what,
      first,
      agreement,
      second > 0 ? [...reasons, 'they contradict each other'] : reasons,
      second > 0,
    );
  }

  /** Asks all at once, and waits until all have answered or `standing` says that one need not. */
  private each<T>(
    sources: readonly Source[],
    question: (source: Source, ask: Ask) => Promise<T>,
    standing: (good: readonly T[], open: number) => Standing,
  ): Promise<Answers<T>> {
    const patienceMs = Math.min(PATIENCE_MS, (this.options.timeoutMs ?? TIMEOUT_MS) / 10);
    return new Promise((resolve) => {
      const answers: Answers<T> = { good: [], bad: [] };
      const stop = new AbortController();
      let open = sources.length;
      let patience: NodeJS.Timeout | undefined;
      const end = (): void => {
        clearTimeout(patience);
        resolve({ good: [...answers.good], bad: [...answers.bad] });
        // Who is merely a little slower ends by itself and keeps its connection.
        if (open > 0) setTimeout(() => stop.abort(), patienceMs).unref();
      };
      const answered = (): void => {
        open -= 1;
        const now = open === 0 ? 'decided' : standing(answers.good, open);
        if (now === 'decided') end();
        else if (now === 'enough') patience ??= setTimeout(end, patienceMs);
      };
      if (open === 0) end();
      for (const source of sources)
        void this.within(source, stop.signal, (ask) => question(source, ask))
          .then(
            (value) => void answers.good.push(value),
            (error: unknown) => void answers.bad.push(`${source.name}: ${reasonOf(error)}`),
          )
          .then(answered);
    });
  }

  /** One question to one source, which may take several calls and has one time limit. */
  private async within<T>(source: Source, stop: AbortSignal, question: (ask: Ask) => Promise<T>): Promise<T> {
    const timeoutMs = this.options.timeoutMs ?? TIMEOUT_MS;
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), timeoutMs);
    stop.addEventListener('abort', () => limit.abort(), { once: true });
    const ask: Ask = (method, params, maxBytes) => this.ask(source, method, params, maxBytes, limit.signal);
    try {
      if (!source.chainChecked) await this.checkChain(source, ask);
      return await question(ask);
    } catch (error) {
      source.chainChecked = false; // another node may stand there when it comes back
      if (limit.signal.aborted) throw new RpcError(`no answer within ${timeoutMs} ms`);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  private async checkChain(source: Source, ask: Ask): Promise<void> {
    const id = quantity(await ask('eth_chainId', []), 'a chain id');
    if (id !== BigInt(this.options.chainId)) throw new RpcError(`it serves chain ${id}, not ${this.options.chainId}`);
    source.chainChecked = true;
  }

  private async ask(
    { url }: Source,
    method: string,
    params: readonly unknown[],
    maxBytes = MAX_ANSWER_BYTES,
    signal: AbortSignal,
  ): Promise<unknown> {
    this.calls += 1;
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      redirect: 'error', // the source that was configured answers, or none
      signal,
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw new RpcError(`it answers HTTP ${response.status}`);
    }
    const body = parse(await read(response, maxBytes));
    if (body['error'] !== undefined && body['error'] !== null)
      throw new RpcError(`it refuses ${method}: ${complaint(body['error'])}`);
    if (body['result'] === undefined) throw new RpcError(`it refuses ${method}: no result`);
    return body['result'];
  }
}

/** One call to one source. @throws RpcError, or what fetch throws */
type Ask = (method: string, params: readonly unknown[], maxBytes?: number) => Promise<unknown>;

/** The body, read only as far as it may go, whatever length it announces. */
async function read(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > maxBytes) throw new RpcError('its answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(body: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new RpcError('its answer is not JSON');
  }
  return fields(value, 'an answer');
}

function complaint(error: unknown): string {
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return typeof message === 'string' ? message : 'no reason';
}

/** Why a source failed, on one short line. An address is not in it, for that may hold a key. */
function reasonOf(error: unknown): string {
  if (error instanceof RpcError) return error.message.replaceAll(/[\p{C}\p{Z}]+/gu, ' ').slice(0, MAX_REASON);
  const cause = error instanceof Error ? error.cause : undefined;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
  return `it does not answer (${code || (error instanceof Error ? error.name : 'unknown')})`;
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

interface Keyed<T> {
  key: string;
  value: T;
}

/** How many gave each different answer, most first. */
function sizes(given: readonly Keyed<unknown>[]): number[] {
  return [...counted(given).values()].toSorted((a, b) => b - a);
}

function mostGiven<T>(given: readonly Keyed<T>[]): T {
  const counts = counted(given);
  const [most] = given.toSorted((a, b) => (counts.get(b.key) ?? 0) - (counts.get(a.key) ?? 0));
  return (most as Keyed<T>).value; // called only when there is one
}

function counted(given: readonly Keyed<unknown>[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { key } of given) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
const descending = (a: bigint, b: bigint): number => ascending(b, a);
const hex = (value: bigint): Hex => `0x${value.toString(16)}`;
