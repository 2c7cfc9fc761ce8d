/**
 * Watches the chain block by block for what pays the vault and what spends from it. Nothing is asked of a node but whole blocks, which must be those the
 * header chain commits to, and which block is at a height, which enough nodes must say alike. Addresses are looked up here, not in the node: a block costs
 * the same however many there are.
 */
import { deepestOf, type BitcoinTerms } from '@isthmus/bridge';
import { AgreementLost } from '../sources.js';
import { proveInclusion, type InclusionProof, type ParsedBlock, type Tx } from './block.js';
import { confirmationsFor } from './finality.js';
import type { HeaderChain } from './headers.js';
import { readMemo, type Memo, type MemoFault } from './memo.js';
import { chainOf } from './network.js';
import { NewestTimes } from './newest.js';
import { RecentScripts } from './recent-scripts.js';
import type { BitcoinPool } from './rpc.js';

/** What is known of a script that belongs to the vault. */
export type KnownScript<T> = {
  /** When the schedule told of it, milliseconds. */
  since: number;
} & (
  | { kind: 'vault' }
  /** `terms` is the caller's record of the address. */
  | { kind: 'deposit'; terms: T; refundAfter: number }
);

/**
 * A payment counts when the newest time of the blocks from the home's first to its own is at least the time of its script's registration less this (docs/protocol.md).
 * Blocks' times may be two hours off, and whoever pays may be a little early; each block of it may have to be looked at again.
 */
export const REGISTRATION_LEEWAY_MS = 6 * 3_600_000;

/** Scripts of the vault, by output script in hex; asked once for each block. */
export interface ScriptIndex<T> {
  find(scripts: readonly string[]): Promise<ReadonlyMap<string, KnownScript<T>>>;
}

/** Coins of the vault that are not spent, by `txid:vout`; asked once for each block. */
export interface CoinIndex {
  find(outpoints: readonly string[]): Promise<ReadonlySet<string>>;
}

export interface BitcoinCursor {
  height: number;
  blockHash: string;
}

/** An output that pays the vault. */
export interface Receipt<T> {
  /** `<caip2>:<txid>:<vout>` */
  reference: string;
  txid: string;
  vout: number;
  /** Satoshis the output holds: what nobody says but the output itself (I7). */
  value: bigint;
  /** All that its block pays the vault, which whoever replaces the block takes back at once: what its finality goes by. */
  together: bigint;
  coinbase: boolean;
  script: string;
  height: number;
  blockHash: string;
  /** Position of its transaction in the block. */
  position: number;
  to:
    | { kind: 'deposit'; terms: T; refundAfter: number }
    | { kind: 'memo'; memo: Memo }
    | { kind: 'unclaimed'; fault: MemoFault };
}

/** A coin of the vault that was spent, by whom or what may be seen from `witness`. */
export interface Spend {
  txid: string;
  vout: number;
  by: string;
  height: number;
  blockHash: string;
  /** By the depositor's own way, after the time for it. */
  refund: boolean;
}

export type WatchStep<T> =
  | { type: 'block'; receipts: Receipt<T>[]; spends: Spend[]; cursor: BitcoinCursor }
  /** Blocks above `cursor` are gone: what they held is not on the chain any more. */
  | { type: 'rewind'; cursor: BitcoinCursor };

/** What of a home's terms decides about payments. */
export type WatchPolicy = Pick<BitcoinTerms, 'startHeight' | 'finality' | 'minDeposit' | 'sweepMargin'>;

/** A script that became known after blocks that may pay it were read. */
export interface LateScript {
  /** Output script in hex. */
  script: string;
  since: number;
}

/** What of a block came to late scripts, or was spent of that. */
export interface LookBack<T> {
  height: number;
  receipts: Receipt<T>[];
  spends: Spend[];
}

/** Where a receipt stands. */
export type Standing =
  | { state: 'orphaned' }
  | { state: 'refused'; reason: 'below-minimum' | 'refund-near' | MemoFault }
  | { state: 'confirming'; confirmations: number; required: number }
  | { state: 'final'; confirmations: number; required: number };

/** A block that was final for any amount is not on the chain any more: people must look. */
export class BitcoinFinalityViolated extends Error {
  readonly code = 'finality-violated';
  constructor(cursor: BitcoinCursor, depth: number) {
    super(
      `Block ${cursor.height} was ${cursor.blockHash}; a branch that leaves the chain ${depth} blocks below has replaced it.`,
    );
    this.name = 'BitcoinFinalityViolated';
  }
}

export class BitcoinWatcher<T> {
  private readonly chain: string;
  private readonly recent = new RecentScripts();
  private readonly newest: NewestTimes;

  constructor(
    private readonly pool: BitcoinPool,
    private readonly headers: HeaderChain,
    private readonly scripts: ScriptIndex<T>,
    private readonly coins: CoinIndex,
    private readonly policy: WatchPolicy,
  ) {
    this.chain = chainOf(headers.network);
    this.newest = new NewestTimes(headers, policy.startHeight);
  }

  /** Takes in new headers. @throws AgreementLost */
  sync(): Promise<void> {
    return this.pool.sync(this.headers);
  }

  /**
   * The next block after the cursor, or the way back from one that is gone; null at the tip. @throws AgreementLost, BitcoinFinalityViolated
   */
  async step(cursor: BitcoinCursor): Promise<WatchStep<T> | null> {
    if (!this.headers.has({ height: cursor.height, hash: cursor.blockHash })) return this.rewind(cursor);
    const next = this.headers.at(cursor.height + 1);
    if (!next) return null;
    await this.checkAgreed(next);
    const block = await this.pool.block(next.hash);
    return {
      type: 'block',
      ...(await this.look(block, next.height)),
      cursor: { height: next.height, blockHash: next.hash },
    };
  }

  /**
   * Blocks up to the cursor that pay scripts which became known after they were read, as far back as that counts, and all behind the first of them: what
   * was paid may be spent by now. The cursor is on the chain. @throws AgreementLost
   */
  async *lookBack(late: readonly LateScript[], cursor: BitcoinCursor): AsyncGenerator<LookBack<T>> {
    const scripts = late.map(({ script }) => script);
    const wanted = new Set(scripts);
    const found = new Set<string>();
    const since = Math.min(...late.map((one) => one.since)) - REGISTRATION_LEEWAY_MS;
    for (let height = this.newest.first(since, cursor.height); height <= cursor.height; height += 1) {
      const block = this.headers.at(height);
      if (!block || (found.size === 0 && !this.recent.mayPay(block.hash, scripts))) continue;
      const { receipts, spends } = await this.look(await this.pool.block(block.hash), height, found);
      const paid = receipts.filter(({ script }) => wanted.has(script));
      for (const { txid, vout } of paid) found.add(`${txid}:${vout}`);
      const gone = spends.filter(({ txid, vout }) => found.has(`${txid}:${vout}`));
      if (paid.length + gone.length > 0) yield { height, receipts: paid, spends: gone };
    }
  }

  /** What pays the vault in a block, and what spends from it, coins of `more` as well. */
  async look(
    block: ParsedBlock,
    height: number,
    more: ReadonlySet<string> = new Set(),
  ): Promise<{ receipts: Receipt<T>[]; spends: Spend[] }> {
    const scripts = new Set<string>();
    const outpoints: string[] = [];
    for (const { inputs, outputs, coinbase } of block.txs) {
      for (const { script } of outputs) if (isWitnessHash(script)) scripts.add(script.toString('hex'));
      if (!coinbase) for (const { txid, vout } of inputs) outpoints.push(`${txid}:${vout}`);
    }
    const [known, ours] = await Promise.all([this.scripts.find([...scripts]), this.coins.find(outpoints)]);
    this.recent.add(block.header.hash, scripts);
    const newest = this.newest.at(height) + REGISTRATION_LEEWAY_MS;
    const isOurs = ({ txid, vout }: Pick<Spend, 'txid' | 'vout'>): boolean =>
      ours.has(`${txid}:${vout}`) || more.has(`${txid}:${vout}`);
    // Change is the vault's own, whenever that was said. What else comes out of it, by a refund or as a payment, somebody else had in hand.
    const counts = (tx: Tx, vout: number, { kind, since }: KnownScript<T>): boolean =>
      since <= newest ||
      (kind === 'vault' && vout === 0 && tx.inputs.some((input) => isOurs(input) && !isRefund(input.witness)));
    const found = block.txs.flatMap((tx, position) =>
      this.receiptsOf(tx, position, known, block, height).filter(({ script, vout }) => {
        const one = known.get(script);
        return one !== undefined && counts(tx, vout, one);
      }),
    );
    const together = found.reduce((sum, { value }) => sum + value, 0n);
    const receipts = found.map((receipt) => ({ ...receipt, together }));
    const fresh = new Set(receipts.map(({ txid, vout }) => `${txid}:${vout}`));
    const spends = block.txs.flatMap((tx) =>
      tx.inputs
        .filter((input) => isOurs(input) || fresh.has(`${input.txid}:${input.vout}`))
        .map(({ txid, vout, witness }) => ({
          txid,
          vout,
          by: tx.txid,
          height,
          blockHash: block.header.hash,
          refund: isRefund(witness),
        })),
    );
    return { receipts, spends };
  }

  /** Where a receipt stands by the headers that are known now. */
  standing(receipt: Receipt<T>): Standing {
    const { value, together, coinbase, height, blockHash, to } = receipt;
    const confirmations = this.headers.confirmations({ height, hash: blockHash });
    if (confirmations === 0) return { state: 'orphaned' };
    if (to.kind === 'unclaimed') return { state: 'refused', reason: to.fault };
    if (value < this.policy.minDeposit) return { state: 'refused', reason: 'below-minimum' };
    if (to.kind === 'deposit' && confirmations + this.policy.sweepMargin >= to.refundAfter)
      return { state: 'refused', reason: 'refund-near' };
    const required = confirmationsFor(this.policy.finality, together, coinbase);
    return { state: confirmations >= required ? 'final' : 'confirming', confirmations, required };
  }

  /** That a receipt's transaction is in its block, for who keeps headers alone. @throws AgreementLost, BitcoinError */
  async prove(receipt: Receipt<T>): Promise<InclusionProof> {
    return proveInclusion(await this.pool.block(receipt.blockHash), receipt.position);
  }

  private receiptsOf(
    tx: Tx,
    position: number,
    known: ReadonlyMap<string, KnownScript<T>>,
    { header }: ParsedBlock,
    height: number,
  ): Omit<Receipt<T>, 'together'>[] {
    const paying = tx.outputs.flatMap(({ script, value }, vout) => {
      const hex = script.toString('hex');
      const found = known.get(hex);
      return found ? [{ vout, value, script: hex, found }] : [];
    });
    const read = paying.some(({ found }) => found.kind === 'vault') ? readMemo(tx.outputs) : null;
    return paying.map(({ vout, value, script, found }) => ({
      reference: `${this.chain}:${tx.txid}:${vout}`,
      txid: tx.txid,
      vout,
      value,
      coinbase: tx.coinbase,
      script,
      height,
      blockHash: header.hash,
      position,
      to:
        found.kind === 'deposit'
          ? { kind: found.kind, terms: found.terms, refundAfter: found.refundAfter }
          : claimOf(read),
    }));
  }

  /** The header chain follows work; that this block is at its height enough nodes must say too. */
  private async checkAgreed({ height, hash }: { height: number; hash: string }): Promise<void> {
    const said = await this.pool.hashAt(height);
    if (said !== hash)
      throw new AgreementLost(
        `block ${height}`,
        0,
        1,
        [`the nodes are on another branch than the one with the most work`],
        true,
      );
  }

  private rewind(cursor: BitcoinCursor): WatchStep<T> {
    const deepest = deepestOf(this.policy);
    const fork = this.headers.forkOf(cursor.blockHash);
    const depth = fork ? cursor.height - fork.height : Number.POSITIVE_INFINITY;
    if (!fork || depth >= deepest) throw new BitcoinFinalityViolated(cursor, depth);
    return { type: 'rewind', cursor: { height: fork.height, blockHash: fork.hash } };
  }
}

const claimOf = (read: ReturnType<typeof readMemo> | null): Receipt<never>['to'] => {
  if (read && 'memo' in read) return { kind: 'memo', memo: read.memo };
  return { kind: 'unclaimed', fault: read?.fault ?? 'memo-missing' };
};

/**
 * By which way of its script a deposit was spent, which is said right before the script: `IF` takes whatever is not zero for the guardians' way, zero of any
 * length, also negative, for the depositor's.
 */
function isRefund(witness: readonly Uint8Array[]): boolean {
  const selector = witness.at(-2);
  if (witness.length < 3 || !selector) return false;
  return selector.every((byte, i) => byte === 0 || (byte === 0x80 && i === selector.length - 1));
}

/** All scripts of the vault are of this form: others need not be looked up. */
const isWitnessHash = (script: Buffer): boolean => script.length === 34 && script[0] === 0 && script[1] === 32;

/** Scripts and coins in memory: for tests, tools, and small vaults. */
export class MemoryIndex<T> implements ScriptIndex<T> {
  private readonly known = new Map<string, KnownScript<T>>();

  add(script: Uint8Array, known: KnownScript<T>): void {
    this.known.set(Buffer.from(script).toString('hex'), known);
  }

  find(scripts: readonly string[]): Promise<ReadonlyMap<string, KnownScript<T>>> {
    const found = new Map<string, KnownScript<T>>();
    for (const script of scripts) {
      const one = this.known.get(script);
      if (one) found.set(script, one);
    }
    return Promise.resolve(found);
  }
}

export class MemoryCoins implements CoinIndex {
  readonly outpoints = new Set<string>();

  find(outpoints: readonly string[]): Promise<ReadonlySet<string>> {
    return Promise.resolve(new Set(outpoints.filter((outpoint) => this.outpoints.has(outpoint))));
  }
}
