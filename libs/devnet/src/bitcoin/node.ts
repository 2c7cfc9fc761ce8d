/**
 * A real Bitcoin full node on regtest, kept in a folder or in memory: consensus by bcoin, its door to the mempool as Bitcoin Core's. Blocks come
 * only when they are asked for. A reorganisation is a real one: another branch is mined and grows longer than the first.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { payments, networks } from 'bitcoinjs-lib';
import { Acceptance, bytesOf } from './acceptance.js';
import { makeParts, payee, readTx, type BcoinBlock, type BcoinTx, type Entry, type Parts } from './bcoin.js';

/** Most blocks mined or taken back at one call. */
export const MAX_BLOCKS_AT_ONCE = 10_000;
/** By now the soft forks are active: signalled over three windows of 144 blocks. */
export const ACTIVE_HEIGHT = 432;
const MEMPOOL_FILE = 'mempool.json';

export interface MineOptions {
  /** Script the reward goes to; else one that anybody may spend. */
  script?: Uint8Array;
  /** Transactions put in whether or not they are in the mempool, in hex, and nothing else with them. */
  only?: readonly string[];
}

export interface BranchOptions extends MineOptions {
  /** Blocks of the new branch; one more than it replaces unless said. */
  blocks?: number;
}

/** Pays to `OP_TRUE` in a witness script. */
const ANYBODY = payments.p2wsh({
  redeem: { output: Uint8Array.of(0x51), network: networks.regtest },
  network: networks.regtest,
}).output as Uint8Array; // there is one for every redeem script

export class BitcoinNode {
  readonly acceptance: Acceptance;

  private constructor(
    private readonly parts: Parts,
    private readonly dir: string | null,
  ) {
    this.acceptance = new Acceptance(parts.chain, parts.mempool);
  }

  /**
   * Goes on from a folder, or begins one; without a folder it lives in memory. The soft forks are active when it is open. The rewards of the
   * first blocks go to `script`: nearly all coins there will be, for regtest halves them every 150 blocks.
   */
  static async open(dir: string | null = null, script: Uint8Array = ANYBODY): Promise<BitcoinNode> {
    if (dir !== null) await fs.mkdir(dir, { recursive: true });
    const made = makeParts(dir);
    await made.chain.open();
    await made.mempool.open();
    await made.miner.open();
    const node = new BitcoinNode(made, dir);
    if (node.height < ACTIVE_HEIGHT) await node.mine(ACTIVE_HEIGHT - node.height, { script, only: [] });
    await node.loadMempool();
    return node;
  }

  get chain(): Parts['chain'] {
    return this.parts.chain;
  }
  get mempool(): Parts['mempool'] {
    return this.parts.mempool;
  }
  get height(): number {
    return this.parts.chain.height;
  }

  /** Mines blocks on the tip, with what is in the mempool; hashes of all. */
  async mine(blocks = 1, options: MineOptions = {}): Promise<string[]> {
    checkCount(blocks);
    const hashes: string[] = [];
    for (let i = 0; i < blocks; i += 1) {
      const only = i === 0 || options.only === undefined ? options.only : [];
      const entry = await this.mineOn(this.chain.tip, 0, options.script, only);
      hashes.push(entry.rhash());
    }
    return hashes;
  }

  /**
   * Mines another branch that begins `depth` blocks below the tip and, when it is longer, takes its place. Its first block holds what `only`
   * says, the others nothing; transactions of the blocks that are gone wait again, as far as they still can.
   */
  async branch(depth: number, { blocks = depth + 1, script, only = [] }: BranchOptions = {}): Promise<string[]> {
    checkCount(blocks);
    const { height } = this;
    if (depth < 1 || depth > height) throw new RangeError(`There are ${height} blocks to replace.`);
    const fork = await this.entryAt(height - depth);
    const gone = await this.transactionsAbove(fork);
    const hashes: string[] = [];
    let tip = fork;
    for (let i = 0; i < blocks; i += 1) {
      // A later time than the other branch's blocks: no block of the two is the same.
      tip = await this.mineOn(tip, depth + 1, script, i === 0 ? only : []);
      hashes.push(tip.rhash());
    }
    if (this.chain.tip.hash === tip.hash) await this.acceptance.readd(gone);
    return hashes;
  }

  /** Takes a transaction into the mempool, in hex; its id. @throws CoreError */
  async send(hex: string): Promise<string> {
    return (await this.acceptance.add(bytesOf(hex))).txid;
  }

  async close(): Promise<void> {
    await this.saveMempool();
    await this.parts.miner.close();
    await this.mempool.close();
    await this.chain.close();
  }

  /** @throws RangeError above the tip */
  async entryAt(height: number): Promise<Entry> {
    const entry = await this.chain.getEntryByHeight(height);
    if (!entry) throw new RangeError(`There is no block ${height}.`);
    return entry;
  }

  private async mineOn(tip: Entry, later: number, script = ANYBODY, only?: readonly string[]): Promise<Entry> {
    const { miner, mempool } = this.parts;
    // A miner without a mempool makes a block of nothing but its reward.
    miner.mempool = only === undefined ? mempool : null;
    try {
      const job = await miner.cpu.createJob(tip, payee(script));
      job.attempt.time += later;
      for (const hex of only ?? []) job.pushTX(readTx(bytesOf(hex)));
      job.refresh();
      const entry = await this.chain.add(await job.mineAsync());
      if (!entry) throw new Error(`A block on ${tip.rhash()} was not taken.`);
      return entry;
    } finally {
      miner.mempool = mempool;
    }
  }

  /** Lowest block first; no rewards. */
  private async transactionsAbove(fork: Entry): Promise<BcoinTx[]> {
    const txs: BcoinTx[] = [];
    for (let height = fork.height + 1; height <= this.height; height += 1) {
      const block: BcoinBlock | null = await this.chain.getBlock((await this.entryAt(height)).hash);
      txs.push(...(block?.txs.slice(1) ?? []));
    }
    return txs;
  }

  /** What waits is kept as Core keeps it: written at the end, taken in again at the start. */
  private async saveMempool(): Promise<void> {
    if (this.dir === null) return;
    const waiting = [...this.mempool.map.values()].map(({ tx }) => tx.toRaw().toString('hex'));
    await fs.writeFile(path.join(this.dir, MEMPOOL_FILE), JSON.stringify(waiting));
  }

  private async loadMempool(): Promise<void> {
    if (this.dir === null) return;
    const text = await fs.readFile(path.join(this.dir, MEMPOOL_FILE), 'utf8').catch(() => '[]');
    const waiting = JSON.parse(text) as string[]; // written by saveMempool
    await this.acceptance.readd(waiting.map((hex) => readTx(bytesOf(hex))));
  }
}

function checkCount(blocks: number): void {
  if (!Number.isInteger(blocks) || blocks < 1 || blocks > MAX_BLOCKS_AT_ONCE)
    throw new RangeError(`From 1 to ${MAX_BLOCKS_AT_ONCE} blocks at a time.`);
}
