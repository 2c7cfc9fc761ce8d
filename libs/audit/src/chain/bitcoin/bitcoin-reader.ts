/**
 * The auditor's own reading of a vault on Bitcoin: blocks one after another, looked through for outputs to the scripts that keys and addresses on the
 * schedule come to, and for what spends those. The node keeps no index for it and has no wallet.
 */
import { Transaction } from 'bitcoinjs-lib';
import type { ChainSink, ChainState, HomeChain, Position, SaidOfChain } from '../../domain/chain.js';
import { AuditError } from '../../domain/error.js';
import type { AssetPlace, Deposit } from '../../domain/facts.js';
import { Blocks, type ChainBlock } from './blocks.js';
import { memoIn } from './memo.js';
import { numbersIn } from './names.js';
import { networkOf, payeeOf, type Network } from './networks.js';
import { isKeySet, registeredAddress, vaultScript, type KeySet, type RegisteredAddress } from './scripts.js';
import { termsIn, type HomeTerms } from './terms.js';

/**
 * A payment counts when the newest time of the blocks from the home's first to its own is at least the time its script was registered, less this
 * (docs/protocol.md, section 3).
 */
const LEEWAY_MS = 6 * 3_600_000;

export interface BitcoinOptions {
  rpcUrls: readonly string[];
  /** When a block counts; unless told, when guardians believe it for the least money. */
  confirmations?: number | undefined;
  place: AssetPlace;
}

/** A script whose outputs are the vault's. */
interface Lock {
  /** Script of the vault whose keys spend it. */
  vault: string;
  /** What was registered; null for the vault itself. */
  address: RegisteredAddress | null;
  /** Time from which on it is known, milliseconds. */
  since: number;
}

interface Coin {
  value: bigint;
  vault: string;
  /** Set when the coin is a deposit. */
  reference: string | null;
  /** Height of the tip from which on the depositor can take it back. */
  refundAt: number | null;
}

type Outputs = Transaction['outs'];

export class BitcoinReader implements HomeChain {
  private readonly blocks: Blocks;
  private readonly network: Network;
  private readonly locks = new Map<string, Lock>();
  /** Scripts that became known when blocks that may pay them were read already. */
  private readonly late = new Set<string>();
  private readonly coins = new Map<string, Coin>();
  /** Vaults whose change went to another. */
  private readonly left = new Set<string>();
  /** Transactions of the vault. */
  private readonly spent = new Set<string>();
  /** Times of the blocks read, milliseconds, from the first on. */
  private readonly times0: number[] = [];
  /** The newest up to each of them: they never run backwards. */
  private readonly newest: number[] = [];
  private last: { height: number; hash: string } | null = null;
  private set: KeySet;
  private readonly terms: HomeTerms;
  private readonly confirmations: number;

  /** @throws AuditError `bad-request` when the process names no terms, or its keys make no vault, or another than it names */
  constructor(private readonly options: BitcoinOptions) {
    const { place, rpcUrls } = options;
    this.terms = termsIn(place.terms);
    this.confirmations = options.confirmations ?? this.terms.confirmations;
    this.network = networkOf(place.chain);
    this.blocks = new Blocks(rpcUrls);
    this.set = { keys: place.keys, threshold: place.threshold };
    if (!isKeySet(this.set) || payeeOf(Buffer.from(vaultScript(this.set), 'hex'), this.network) !== place.vault)
      throw new AuditError('bad-request', `${place.process} names a vault that is not its guardians’.`);
    this.locks.set(vaultScript(this.set), { vault: vaultScript(this.set), address: null, since: 0 });
  }

  learn(process: string, at: number, said: SaidOfChain, sink: ChainSink): void {
    if (said.kind === 'proposal') {
      const tx = proposedTx(said.content);
      if (tx && isNamed(tx, said.numbers)) sink.proposed({ process, tx: tx.getId(), numbers: said.numbers });
    } else if (said.kind === 'rotation') {
      this.set = { keys: said.keys, threshold: said.threshold };
      // Keys that make no vault hold nothing.
      if (isKeySet(this.set)) this.know(vaultScript(this.set), null, at);
    } else if (isKeySet(this.set)) {
      const address = registeredAddress(said.data, {
        network: this.network,
        process,
        set: this.set,
        leastRefund: this.terms.refund,
      });
      if (address) this.know(address.script, address, at);
    }
  }

  async final(): Promise<bigint> {
    await this.blocks.assertChain(this.network.chain);
    const height = (await this.blocks.height()) - this.confirmations + 1;
    if (height < 0) throw new AuditError('bad-request', 'The chain has no final block yet.');
    return BigInt(height);
  }

  async read(height: bigint, sink: ChainSink): Promise<Position> {
    await this.blocks.assertChain(this.network.chain);
    if (this.last && (await this.blocks.hashAt(this.last.height)) !== this.last.hash)
      throw new AuditError('incomplete', `Block ${this.last.height} was final and is another one now.`);
    const start = this.terms.startHeight;
    if (Number(height) < start) throw new AuditError('bad-request', `Blocks are read from ${start} on.`);
    if (this.late.size > 0) await this.lookAgain(sink);
    for (let next = (this.last?.height ?? start - 1) + 1; next <= Number(height); next += 1) {
      const block = await this.blocks.at(next);
      this.times0.push(block.at);
      this.newest.push(Math.max(block.at, this.newest.at(-1) ?? 0));
      for (const tx of block.txs) this.take(tx, block, sink, (script) => this.locks.get(script));
      this.last = { height: next, hash: block.hash };
    }
    const hash = await this.blocks.hashAt(Number(height));
    return { height, hash, at: this.timeAt(Number(height)) };
  }

  state(): Promise<ChainState> {
    const tip = (this.last?.height ?? 0) + this.confirmations - 1;
    const hopeless = new Set<string>();
    let balance = 0n;
    for (const { value, reference, refundAt, vault } of this.coins.values()) {
      balance += value;
      const isNear = refundAt !== null && tip + this.terms.margin >= refundAt;
      if (reference !== null && (isNear || this.left.has(vault))) hopeless.add(reference);
    }
    const assets = new Map([[this.options.place.address, { locked: null, balance, claimable: 0n }]]);
    return Promise.resolve({ paused: false, assets, hopeless });
  }

  times(blocks: readonly bigint[]): Promise<Map<bigint, number>> {
    return Promise.resolve(new Map(blocks.map((block) => [block, this.timeAt(Number(block))])));
  }

  private timeAt(height: number): number {
    return this.times0[height - this.terms.startHeight] ?? 0;
  }

  private know(script: string, address: RegisteredAddress | null, since: number): void {
    if (this.locks.has(script)) return;
    this.locks.set(script, { vault: vaultScript(this.set), address, since });
    if (this.last) this.late.add(script);
  }

  /** Blocks that were read before an address was known, as far back as it may have been paid. */
  private async lookAgain(sink: ChainSink): Promise<void> {
    const start = this.terms.startHeight;
    const since = Math.min(...[...this.late].map((script) => this.locks.get(script)?.since ?? 0));
    for (const [i, at] of this.newest.entries()) {
      if (at + LEEWAY_MS < since) continue;
      const block = await this.blocks.at(start + i);
      for (const tx of block.txs)
        this.take(tx, block, sink, (script) => (this.late.has(script) ? this.locks.get(script) : undefined));
    }
    this.late.clear();
  }

  /** What a transaction takes from the vault, and what it brings. */
  private take(
    tx: Transaction,
    block: ChainBlock,
    sink: ChainSink,
    lockOf: (script: string) => Lock | undefined,
  ): void {
    const id = tx.getId();
    const from = this.takeInputs(tx, id, block, sink);
    const { outs } = tx;
    for (const [vout, { script, value }] of outs.entries()) {
      const lock = lockOf(Buffer.from(script).toString('hex'));
      if (!lock) continue;
      const newest = this.newest[block.height - this.terms.startHeight] ?? 0;
      // What the vault sends back to itself first of all is change: its own, whenever that was said.
      const isChange = this.spent.has(id) && vout === 0 && lock.address === null;
      if (newest + LEEWAY_MS < lock.since && !isChange) continue;
      if (isChange && from !== null && from !== lock.vault) this.left.add(from);
      const coin = `${id}:${vout}`;
      if (isChange) this.coins.set(coin, { value, vault: lock.vault, reference: null, refundAt: null });
      else this.receive({ outs, coin, value, lock, block, tx: id }, sink);
    }
  }

  /** The vault it spends from; null when from none. */
  private takeInputs(tx: Transaction, id: string, block: ChainBlock, sink: ChainSink): string | null {
    const { process } = this.options.place;
    let [taken, from]: [bigint, string | null] = [0n, null];
    for (const { hash, index, witness } of tx.ins) {
      const outpoint = `${Buffer.from(hash.toReversed()).toString('hex')}:${index}`;
      const coin = this.coins.get(outpoint);
      if (!coin) continue;
      this.coins.delete(outpoint);
      const isRefund = coin.refundAt !== null && isDepositorsWay(witness);
      if (isRefund && coin.reference !== null)
        sink.refund({ process, reference: coin.reference, block: BigInt(block.height), tx: id });
      else [taken, from] = [taken + coin.value, from ?? coin.vault];
    }
    if (from === null || this.spent.has(id)) return from;
    this.spent.add(id);
    const outputs = payingOutputs(tx).map(({ script, value }, i) => {
      const isVault = i === 0 && this.locks.get(Buffer.from(script).toString('hex'))?.address === null;
      return { recipient: payeeOf(script, this.network), amount: value, isVault };
    });
    sink.spend({ process, taken, outputs, block: BigInt(block.height), tx: id });
    return from;
  }

  private receive(
    {
      outs,
      coin,
      value,
      lock,
      block,
      tx,
    }: { outs: Outputs; coin: string; value: bigint; lock: Lock; block: ChainBlock; tx: string },
    sink: ChainSink,
  ): void {
    const { place } = this.options;
    const { least, fee } = this.terms;
    const { address, vault } = lock;
    const reference = `${place.chain}:${coin}`;
    const refundAt = address && block.height + address.refundAfter - 1;
    this.coins.set(coin, { value, vault, reference, refundAt });
    const { to, tags } = address
      ? { to: { recipient: address.recipient }, tags: address.tags }
      : memoIn(outs.map((out) => out.script));
    const credited: Deposit['to'] = 'recipient' in to && value < least ? { refused: 'below-minimum' } : to;
    const sums = 'recipient' in credited ? { amount: value - fee, fee } : { amount: value, fee: 0n };
    const where = { block: BigInt(block.height), tx };
    sink.deposit({ reference, asset: place.address, sender: '-', ...sums, to: credited, tags, ...where });
  }
}

/** What stands right before the script is zero, in any of the ways that Bitcoin takes for it: empty, zeros, or a negative zero. */
function isDepositorsWay(witness: readonly Uint8Array[]): boolean {
  const selector = Buffer.from(witness.at(-2) ?? [1]).toString('hex');
  return witness.length > 2 && /^(?:00)*(?:00|80)?$/.test(selector);
}

/** The transaction that a proposal's content names; null when it names none. */
function proposedTx(content: string): Transaction | null {
  const [, hex] = /^r[1-9][0-9]{0,9}t((?:[0-9a-f]{2})+)$/.exec(content) ?? [];
  if (hex === undefined) return null;
  try {
    return Transaction.fromHex(hex);
  } catch {
    return null; // no transaction
  }
}

/** The withdrawals a transaction of the vault says it pays: none, unless its last output, which carries nothing, names some. */
function namedBy({ outs }: Transaction): readonly bigint[] {
  const last = outs.at(-1);
  return (last?.value === 0n ? numbersIn(last.script) : null) ?? [];
}

const isNamed = (tx: Transaction, numbers: readonly bigint[]): boolean => namedBy(tx).join() === numbers.join();

/** All outputs but the one that names. */
const payingOutputs = (tx: Transaction): Outputs => (namedBy(tx).length > 0 ? tx.outs.slice(0, -1) : tx.outs);
