/**
 * JSON-RPC over several independent sources of which a fixed number must agree. With fewer it throws and never goes on with less; a source
 * that contradicts itself, lags behind what was already final, or serves another chain does not count.
 */
import type { Hex } from 'viem';
import type { RawLog } from './vault.js';

export type Finality = { tag: 'finalized' | 'safe' } | { confirmations: number };

export interface RpcPoolOptions {
  urls: readonly string[];
  /** How many sources must say the same. */
  agreement: number;
  chainId: number;
  finality: Finality;
  timeoutMs?: number;
}

export interface BlockRef {
  number: bigint;
  hash: Hex;
  /** Seconds since 1970, as in the block. */
  timestamp: bigint;
}

/** Fewer sources agree than required: nothing may be concluded. */
export class AgreementLost extends Error {
  readonly code = 'agreement-lost';
  constructor(
    what: string,
    readonly agreeing: number,
    readonly required: number,
    readonly reasons: readonly string[],
  ) {
    super(
      `${agreeing} of the ${required} RPC sources required agree on ${what}${reasons.length > 0 ? `: ${reasons.join('; ')}` : ''}`,
    );
    this.name = 'AgreementLost';
  }
}

/** One source refused or failed one call. */
export class RpcError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'RpcError';
  }
}

const TIMEOUT_MS = 10_000;
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;

interface RpcBlock {
  number: Hex;
  hash: Hex;
  timestamp: Hex;
}

export class RpcPool {
  /** Calls made so far, over all sources. */
  calls = 0;
  private readonly checked = new Set<string>();

  constructor(private readonly options: RpcPoolOptions) {
    if (options.agreement < 1 || options.agreement > options.urls.length) {
      throw new Error(
        `agreement is ${options.agreement}: it lies between 1 and the number of rpcUrls (${options.urls.length}).`,
      );
    }
  }

  /** The newest block final by the policy for as many sources as must agree. @throws AgreementLost */
  async finalized(): Promise<BlockRef> {
    const heads = await this.each((url) => this.finalizedOf(url));
    const heights = heads.good.map((b) => b.number).toSorted((a, b) => (a < b ? 1 : a > b ? -1 : 0));
    const height = heights[this.options.agreement - 1];
    if (height === undefined)
      throw new AgreementLost('the finalized block', heights.length, this.options.agreement, heads.bad);
    return this.block(height);
  }

  /** The newest block, final or not, of the sources that agree. @throws AgreementLost */
  async latest(): Promise<BlockRef> {
    const heads = await this.each((url) => this.blockOf(url, 'latest'));
    const height = heads.good.map((b) => b.number).toSorted((a, b) => (a < b ? 1 : a > b ? -1 : 0))[
      this.options.agreement - 1
    ];
    if (height === undefined)
      throw new AgreementLost('the latest block', heads.good.length, this.options.agreement, heads.bad);
    return this.block(height);
  }

  /** The block at a height. @throws AgreementLost */
  block(height: bigint): Promise<BlockRef> {
    return this.agreed(
      `block ${height}`,
      (url) => this.blockOf(url, hex(height)),
      (b) => b.hash,
    );
  }

  /** Logs of one contract in a range of blocks. @throws AgreementLost */
  logs(address: Hex, from: bigint, to: bigint): Promise<RawLog[]> {
    const filter = { address, fromBlock: hex(from), toBlock: hex(to) };
    const content = (logs: RawLog[]) =>
      JSON.stringify(
        logs
          .map((l) =>
            JSON.stringify([
              l.address.toLowerCase(),
              l.blockHash,
              l.logIndex,
              l.transactionHash,
              l.topics,
              l.data,
              l.removed ?? false,
            ]),
          )
          .toSorted((a, b) => (a < b ? -1 : 1)),
      );
    return this.agreed(
      `the logs of blocks ${from} to ${to}`,
      (url) => this.ask<RawLog[]>(url, 'eth_getLogs', [filter]),
      content,
    );
  }

  /** Result of a read-only call at a block. @throws AgreementLost */
  call(to: Hex, data: Hex, height: bigint): Promise<Hex> {
    return this.agreed(
      `a call at block ${height}`,
      (url) => this.ask<Hex>(url, 'eth_call', [{ to, data }, hex(height)]),
      (value) => value,
    );
  }

  private async finalizedOf(url: string): Promise<BlockRef> {
    const { finality } = this.options;
    const latest = await this.blockOf(url, 'latest');
    if ('confirmations' in finality) {
      const height = latest.number - BigInt(finality.confirmations) + 1n;
      return height < 0n ? this.blockOf(url, '0x0') : this.blockOf(url, hex(height));
    }
    const final = await this.blockOf(url, finality.tag);
    if (final.number > latest.number) throw new RpcError('its finalized block is ahead of its own chain');
    return final;
  }

  private async blockOf(url: string, block: string): Promise<BlockRef> {
    const found = await this.ask<RpcBlock | null>(url, 'eth_getBlockByNumber', [block, false]);
    if (!found) throw new RpcError(`it has no block ${block}`);
    return { number: BigInt(found.number), hash: found.hash, timestamp: BigInt(found.timestamp) };
  }

  /** The answer that enough sources give alike. */
  private async agreed<T>(what: string, ask: (url: string) => Promise<T>, content: (value: T) => string): Promise<T> {
    const { good, bad } = await this.each(ask);
    const groups = new Map<string, T[]>();
    for (const value of good) {
      const key = content(value);
      groups.set(key, [...(groups.get(key) ?? []), value]);
    }
    const largest = [...groups.values()].toSorted((a, b) => b.length - a.length)[0] ?? [];
    if (largest.length < this.options.agreement)
      throw new AgreementLost(
        what,
        largest.length,
        this.options.agreement,
        groups.size > 1 ? [...bad, 'they contradict each other'] : bad,
      );
    return largest[0] as T;
  }

  private async each<T>(ask: (url: string) => Promise<T>): Promise<{ good: T[]; bad: string[] }> {
    const settled = await Promise.allSettled(
      this.options.urls.map(async (url) => (await this.checkChain(url), ask(url))),
    );
    const good = settled.flatMap((s) => (s.status === 'fulfilled' ? [s.value] : []));
    const bad = settled.flatMap((s, i) =>
      s.status === 'rejected'
        ? [`source ${i + 1}: ${s.reason instanceof Error ? s.reason.message : String(s.reason)}`]
        : [],
    );
    return { good, bad };
  }

  private async checkChain(url: string): Promise<void> {
    if (this.checked.has(url)) return;
    const id = Number(await this.ask<Hex>(url, 'eth_chainId', []));
    if (id !== this.options.chainId) throw new RpcError(`it serves chain ${id}, not ${this.options.chainId}`);
    this.checked.add(url);
  }

  private async ask<T>(url: string, method: string, params: readonly unknown[]): Promise<T> {
    this.calls += 1;
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      signal: AbortSignal.timeout(this.options.timeoutMs ?? TIMEOUT_MS),
    }).catch((error: unknown) => {
      this.checked.delete(url); // another node may stand there when it comes back
      throw new RpcError(`it does not answer (${error instanceof Error ? error.message : String(error)})`);
    });
    if (!response.ok) throw new RpcError(`it answers HTTP ${response.status}`);
    if (Number(response.headers.get('content-length') ?? 0) > MAX_RESPONSE_BYTES)
      throw new RpcError('its answer is too large');
    const body = (await response.json()) as { result?: T; error?: { message?: string } };
    if (body.error || body.result === undefined)
      throw new RpcError(`it refuses ${method}: ${body.error?.message ?? 'no result'}`);
    return body.result;
  }
}

const hex = (value: bigint): Hex => `0x${value.toString(16)}`;
