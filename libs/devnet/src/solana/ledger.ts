/**
 * Slots and blocks over the runtime: which transactions are in which block, how deep each block is, and what was before it. A block that is
 * not final can be taken back: its accounts are put as they were, and what is kept of it is executed again in a later slot.
 */
import { AddressLookupTableAccount } from '@solana/web3.js';
import type { TransactionError } from './error.js';
import { Runtime, type AccountState, type Outcome } from './runtime.js';
import { decimalsOf, tokenState } from './tokens.js';
import { feeOf, type Wire } from './wire.js';

export type Commitment = 'processed' | 'confirmed' | 'finalized';

export interface TokenBalance {
  accountIndex: number;
  mint: string;
  owner: string;
  programId: string;
  amount: bigint;
  decimals: number;
}

/** A transaction in a block. */
export interface Executed extends Outcome {
  wire: Wire;
  /** All its addresses: its own, then those of lookup tables. */
  keys: string[];
  loaded: { writable: string[]; readonly: string[] };
  fee: bigint;
  before: { lamports: bigint[]; tokens: TokenBalance[] };
  after: { lamports: bigint[]; tokens: TokenBalance[] };
}

export interface Block {
  slot: number;
  parentSlot: number;
  /** Blocks before it. */
  height: number;
  /** Empty while it is open. */
  blockhash: string;
  previousBlockhash: string;
  /** Seconds since 1970. */
  time: number;
  transactions: Executed[];
  /** Accounts it changed, as they were before it. */
  undo: Map<string, AccountState | null>;
}

export interface Located {
  block: Block;
  executed: Executed;
}

export interface LedgerOptions {
  /** Blocks on top of a block until it is confirmed. */
  confirmedAfter: number;
  /** Blocks on top of a block until it is final; a cluster's is 32. */
  finalizedAfter: number;
  /** Transactions kept for reading; the oldest are forgotten first, as a validator does. */
  historyLimit: number;
}

/** A transaction is good for as many blocks after the one it names. */
export const BLOCKHASH_BLOCKS = 150;
/** Empty blocks that can still be read. */
const MAX_BLOCKS = 10_000;
/** What a snapshot holds in memory at most: a local chain, not a cluster. */
const MAX_ACCOUNTS = 200_000;

export class Ledger {
  readonly runtime = new Runtime();
  /** The block that transactions go to. */
  open: Block;
  /** Height of the newest final block. */
  root = 0;
  private readonly blocks = new Map<number, Block>();
  /** Blocks that can name a transaction's lifetime, and those not final, oldest first. */
  private recent: Block[] = [];
  private readonly bySignature = new Map<string, Located>();
  private readonly byAddress = new Map<string, string[]>();
  /** Every account that was ever changed here. */
  readonly touched = new Set<string>();
  private readonly watchers = new Set<(executed: Executed | null) => void>();

  constructor(
    readonly options: LedgerOptions,
    genesis: { slot: number; height: number; time: number; hashes: number },
  ) {
    this.runtime.skipHashes(genesis.hashes);
    const parent = this.block(genesis.slot, genesis.slot, genesis.height, this.runtime.hash, genesis.time);
    parent.blockhash = this.runtime.seal(genesis.slot);
    this.recent = [parent];
    this.blocks.set(parent.slot, parent);
    this.root = parent.height;
    this.open = this.begin(parent, genesis.slot + 1, genesis.time);
  }

  /** Calls back after each change: with a transaction that was executed, or null when blocks have moved. */
  watch(changed: (executed: Executed | null) => void): () => void {
    this.watchers.add(changed);
    return () => void this.watchers.delete(changed);
  }

  /** Ends the open block and begins one `slots` later: those between are skipped. */
  advance(time: number, slots = 1): void {
    const ended = this.open;
    this.seal(ended);
    this.open = this.begin(ended, ended.slot + slots, time);
    this.trim();
    this.tell(null);
  }

  /** Blocks that are deep enough to be final and are not so yet, oldest first. */
  ripe(): Block[] {
    const height = this.open.height - this.options.finalizedAfter;
    return this.recent.filter((b) => b.height > this.root && b.height <= height);
  }

  /** A block is final from now on. */
  finalize(block: Block): void {
    this.root = block.height;
    this.trim();
    this.tell(null);
  }

  /** Height up to which blocks have a commitment, for who is `behind` by some blocks. */
  heightAt(commitment: Commitment, behind = 0): number {
    const lag = commitment === 'processed' ? 0 : commitment === 'confirmed' ? this.options.confirmedAfter : null;
    const height = lag === null ? this.root : Math.max(this.root, this.open.height - lag);
    const first = this.recent[0]?.height ?? 0;
    return Math.max(first, height - behind);
  }

  /** Newest block with a commitment. */
  head(commitment: Commitment, behind = 0): Block {
    const height = this.heightAt(commitment, behind);
    return height >= this.open.height ? this.open : (this.recent.findLast((b) => b.height <= height) ?? this.open);
  }

  /** Ended blocks above one height and up to another, oldest first, as far as they are among the newest. */
  between(above: number, upTo: number): Block[] {
    return this.recent.filter((b) => b.height > above && b.height <= upTo);
  }

  blockAt(slot: number): Block | undefined {
    return slot === this.open.slot ? this.open : this.blocks.get(slot);
  }

  slots(): number[] {
    return [...this.blocks.keys(), this.open.slot];
  }

  find(signature: string): Located | undefined {
    return this.bySignature.get(signature);
  }

  /** Signatures of transactions with an address, oldest first. */
  signatures(address: string): readonly string[] {
    return this.byAddress.get(address) ?? [];
  }

  /** An account as it was at the end of a block. */
  accountAt(address: string, at: Block): AccountState | null {
    for (const block of [...this.recent, this.open])
      if (block.height > at.height && block.undo.has(address)) return block.undo.get(address) ?? null;
    return this.runtime.account(address);
  }

  /** The block a hash is of, as long as transactions may name it. */
  lifetime(blockhash: string): Block | undefined {
    return this.recent.find((b) => b.blockhash === blockhash && this.open.height <= b.height + BLOCKHASH_BLOCKS);
  }

  /** What is wrong with a transaction before it is executed. */
  refusal(wire: Wire): TransactionError | null {
    if (this.bySignature.has(wire.signature)) return 'AlreadyProcessed';
    if (this.lifetime(wire.blockhash) !== undefined || this.runtime.nonceIsGood(wire)) return null;
    return 'BlockhashNotFound';
  }

  /** Executes a transaction into the open block. An error's text means that it is in no block. */
  submit(wire: Wire): Executed | TransactionError {
    const refused = this.refusal(wire);
    if (refused !== null) return refused;
    if (this.touched.size > MAX_ACCOUNTS)
      throw new Error(`This local chain has ${MAX_ACCOUNTS} accounts, its most: begin a new one.`);
    const loaded = this.load(wire);
    if (loaded === null) return 'AddressLookupTableNotFound';
    const keys = [...wire.staticKeys, ...loaded.writable, ...loaded.readonly];
    const first = keys.map((key) => this.runtime.account(key));
    const outcome = this.runtime.execute(wire);
    const payer = this.runtime.account(keys[0] ?? '');
    const charged = (first[0]?.lamports ?? 0n) !== (payer?.lamports ?? 0n);
    if (outcome.err !== null && !charged) return outcome.err;
    if (outcome.err !== null && wire.nonce !== null && this.lifetime(wire.blockhash) === undefined)
      this.runtime.useUpNonce(wire.nonce.address);
    const last = keys.map((key) => this.runtime.account(key));
    keys.forEach((key, i) => this.changed(key, first[i] ?? null, last[i] ?? null));
    const executed: Executed = {
      ...outcome,
      wire,
      keys,
      loaded,
      fee: feeOf(wire),
      before: this.balances(first),
      after: this.balances(last),
    };
    this.include(this.open, executed);
    this.tell(executed);
    return executed;
  }

  /**
   * The cluster takes another fork: some transactions that are not final are in no block any more. All blocks from the first of them on are
   * gone, and what else was in them is executed again as far as its lifetime allows. @throws Error for one that is final or unknown
   */
  fork(dropped: readonly string[]): void {
    const places = dropped.map((signature) => this.bySignature.get(signature)?.block);
    if (places.length === 0 || places.some((b) => b === undefined || b.height <= this.root))
      throw new Error('Only a transaction in a block that is not final can be dropped.');
    const from = Math.min(...places.map((b) => (b as Block).height));
    const gone = [...this.recent.filter((b) => b.height >= from), this.open].toReversed();
    const kept = gone.toReversed().flatMap((b) => b.transactions.filter((t) => !dropped.includes(t.wire.signature)));
    for (const block of gone) {
      for (const executed of block.transactions) this.forget(executed);
      for (const [address, state] of block.undo) this.runtime.put(address, state);
      this.blocks.delete(block.slot);
    }
    const [{ slot, time }] = gone as [Block];
    this.recent = this.recent.filter((b) => b.height < from);
    const parent = this.recent.at(-1) as Block; // a final one is always there
    this.runtime.skipHashes(1);
    this.open = this.begin(parent, slot + 1, time);
    for (const { wire } of kept) this.submit(wire);
    this.tell(null);
  }

  /** Puts back what a journal kept, all of it older than where this ledger began. */
  restore(kept: readonly Block[]): void {
    const begun = [...this.blocks];
    this.blocks.clear();
    for (const block of kept) {
      this.blocks.set(block.slot, block);
      for (const executed of block.transactions) this.index(block, executed);
    }
    for (const [slot, block] of begun) this.blocks.set(slot, block);
  }

  private begin(parent: Block, slot: number, time: number): Block {
    this.runtime.open(slot, time);
    return this.block(slot, parent.slot, parent.height + 1, parent.blockhash, time);
  }

  private block(slot: number, parentSlot: number, height: number, previousBlockhash: string, time: number): Block {
    return { slot, parentSlot, height, blockhash: '', previousBlockhash, time, transactions: [], undo: new Map() };
  }

  private seal(block: Block): void {
    block.blockhash = this.runtime.seal(block.slot);
    this.blocks.set(block.slot, block);
    this.recent.push(block);
  }

  private trim(): void {
    const oldest = Math.min(this.root, this.open.height - BLOCKHASH_BLOCKS - 1);
    while ((this.recent[0]?.height ?? oldest) < oldest) this.recent.shift();
    for (const [slot, block] of this.blocks) {
      if (this.blocks.size <= MAX_BLOCKS && this.bySignature.size <= this.options.historyLimit) break;
      if (block.height >= oldest) break;
      if (block.transactions.length > 0 && this.bySignature.size <= this.options.historyLimit) continue;
      for (const executed of block.transactions) this.forget(executed);
      this.blocks.delete(slot);
    }
  }

  private include(block: Block, executed: Executed): void {
    block.transactions.push(executed);
    this.index(block, executed);
  }

  private index(block: Block, executed: Executed): void {
    this.bySignature.set(executed.wire.signature, { block, executed });
    for (const key of new Set(executed.keys)) {
      const known = this.byAddress.get(key);
      if (known) known.push(executed.wire.signature);
      else this.byAddress.set(key, [executed.wire.signature]);
    }
  }

  private forget({ wire, keys }: Executed): void {
    this.bySignature.delete(wire.signature);
    for (const key of new Set(keys)) {
      const known = this.byAddress.get(key) ?? [];
      known.splice(known.indexOf(wire.signature), 1); // the oldest are forgotten first: found at once
      if (known.length === 0) this.byAddress.delete(key);
    }
  }

  private changed(address: string, before: AccountState | null, after: AccountState | null): void {
    if (same(before, after)) return;
    this.touched.add(address);
    if (!this.open.undo.has(address)) this.open.undo.set(address, before);
  }

  private balances(accounts: readonly (AccountState | null)[]): { lamports: bigint[]; tokens: TokenBalance[] } {
    const tokens = accounts.flatMap((account, accountIndex) => {
      const state = tokenState(account);
      if (state === null) return [];
      const { mint, owner, amount, program: programId } = state;
      return [{ accountIndex, mint, owner, programId, amount, decimals: decimalsOf(this.runtime.account(mint)) }];
    });
    return { lamports: accounts.map((a) => a?.lamports ?? 0n), tokens };
  }

  /** Addresses that lookup tables give it; null when a table is not there. */
  load({ transaction }: Wire): Executed['loaded'] | null {
    const writable: string[] = [];
    const readonly: string[] = [];
    for (const { accountKey, writableIndexes, readonlyIndexes } of transaction.message.addressTableLookups) {
      const table = this.runtime.account(accountKey.toBase58());
      if (table === null) return null;
      const { addresses } = AddressLookupTableAccount.deserialize(table.data);
      const at = (i: number): string => addresses[i]?.toBase58() ?? '';
      writable.push(...writableIndexes.map(at));
      readonly.push(...readonlyIndexes.map(at));
    }
    return [...writable, ...readonly].includes('') ? null : { writable, readonly };
  }

  private tell(executed: Executed | null): void {
    for (const changed of this.watchers) changed(executed);
  }
}

function same(a: AccountState | null, b: AccountState | null): boolean {
  if (a === null || b === null) return a === b;
  return a.lamports === b.lamports && a.owner === b.owner && a.executable === b.executable && a.data.equals(b.data);
}

/** The memo column of a list of signatures: `[length] text` of each memo instruction. */
export function memoOf({ wire }: Executed): string | null {
  const memos = wire.instructions.filter((i) => MEMO_PROGRAMS.has(i.program));
  return memos.length === 0 ? null : memos.map((i) => `[${i.data.length}] ${i.data.toString('utf8')}`).join('; ');
}

const MEMO_PROGRAMS = new Set([
  'Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo',
  'MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr',
]);
