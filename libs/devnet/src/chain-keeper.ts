/**
 * Mines a development chain and keeps it on disk. A block is saved before the next one is mined, and what is final is two blocks old:
 * kill -9 loses no final block, so nobody who acted on one is contradicted. A chain on which nothing happens hardly grows.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';

const RPC_TIMEOUT_MS = 20_000;
/** How often waiting transactions are looked for. */
const LOOK_MS = 100;
/** Blocks after which one is final with one slot to an epoch. */
const FINALITY = 2;
/** An idle chain's clock still moves, for whatever the vault counts in time. */
const HEARTBEAT_MS = 30_000;

export interface ChainKeeperOptions {
  url: string;
  /** From one block to the next while something waits for finality; none leaves mining to the node. */
  blockTimeMs?: number;
  stateFile?: string;
}

export class ChainKeeper {
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private head = 0;
  private saved = -1;
  /** Last block with transactions. */
  private busy = 0;
  private minedAt = 0;

  constructor(private readonly options: ChainKeeperOptions) {}

  /** Begins at a head whose final block is on disk already, or that has none. */
  async start(head: number): Promise<void> {
    this.head = head;
    this.busy = head;
    this.minedAt = Date.now();
    await this.save();
    this.running = this.run();
  }

  /** Stops mining; the chain is on disk as it then is. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    let problem = '';
    while (!this.stopping.signal.aborted) {
      try {
        await this.step();
        problem = '';
      } catch (error) {
        const said = error instanceof Error ? error.message : String(error);
        if (said !== problem) process.emitWarning(`The local chain stands still and is tried again: ${said}`);
        problem = said;
      }
      await delay(LOOK_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
    await this.saveHead().catch(() => undefined); // the node may be gone already: the last block saved is then where it goes on
  }

  private async step(): Promise<void> {
    const { url, blockTimeMs } = this.options;
    await this.saveHead();
    if (blockTimeMs === undefined) return;
    const { pending } = (await rpc(url, 'txpool_status')) as { pending: string };
    const since = Date.now() - this.minedAt;
    const waiting = hexNumber(pending) > 0;
    const settling = this.head < this.busy + FINALITY && since >= blockTimeMs;
    if (!waiting && !settling && since < HEARTBEAT_MS) return;
    await rpc(url, 'evm_mine');
    this.minedAt = Date.now();
    this.head += 1;
    // Asked of the block: what came in after the pool was read is in it too.
    const count = await rpc(url, 'eth_getBlockTransactionCountByNumber', [`0x${this.head.toString(16)}`]);
    if (hexNumber(count) > 0) this.busy = this.head;
    await this.save();
  }

  private async saveHead(): Promise<void> {
    this.head = hexNumber(await rpc(this.options.url, 'eth_blockNumber'));
    await this.save();
  }

  /** Whole or not at all: a half-written file would end the chain. */
  private async save(): Promise<void> {
    const { url, stateFile } = this.options;
    if (stateFile === undefined || this.saved === this.head) return;
    const head = this.head;
    const dump = (await rpc(url, 'anvil_dumpState')) as string;
    const partial = `${stateFile}.new`;
    await fs.promises.writeFile(partial, gunzipSync(Buffer.from(dump.slice(2), 'hex')));
    await fs.promises.rename(partial, stateFile);
    this.saved = head;
  }
}

/** One JSON-RPC call. @throws Error with the node's own words. */
export async function rpc(url: string, method: string, params: readonly unknown[] = []): Promise<unknown> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(RPC_TIMEOUT_MS),
  });
  const answer = (await response.json()) as { result?: unknown; error?: { message: string } };
  if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
  return answer.result;
}

/** A block number or count: far below 2^53. */
export function hexNumber(quantity: unknown): number {
  return Number.parseInt(String(quantity), 16);
}
