/**
 * Blocks, read from their bytes alone: what a node says about them in JSON is never believed. A block's transactions are those its header commits
 * to, all of them and no other, or it is refused.
 */
import { hash256, Reader, shown } from './bytes.js';
import { BitcoinError } from './errors.js';

/** The most a block may have (BIP 141: 4,000,000 units of weight). */
export const MAX_BLOCK_BYTES = 4_000_000;
export const HEADER_BYTES = 80;

export interface Header {
  version: number;
  /** Hash of the block before, in the order of the bytes. */
  previous: Buffer;
  merkleRoot: Buffer;
  /** Seconds since 1970. */
  time: number;
  /** The target in compact form. */
  bits: number;
  nonce: number;
  /** As people read it. */
  hash: string;
  /** 80 bytes. */
  raw: Buffer;
}

export interface TxInput {
  /** Spent output: transaction as people read it, and position. */
  txid: string;
  vout: number;
  sequence: number;
  witness: readonly Buffer[];
}

export interface TxOutput {
  /** Satoshis. */
  value: bigint;
  script: Buffer;
}

export interface Tx {
  txid: string;
  coinbase: boolean;
  inputs: readonly TxInput[];
  outputs: readonly TxOutput[];
  /** Its bytes without witness: what its id is the hash of. */
  stripped: Buffer;
}

export interface ParsedBlock {
  header: Header;
  txs: readonly Tx[];
}

/** @throws BitcoinError `bad-bytes` */
export function parseHeader(bytes: Uint8Array): Header {
  if (bytes.length !== HEADER_BYTES) throw new BitcoinError('bad-bytes', 'A header has 80 bytes.');
  const raw = Buffer.from(bytes);
  const r = new Reader(raw);
  const version = r.i32();
  const previous = r.take(32);
  const merkleRoot = r.take(32);
  return {
    version,
    previous,
    merkleRoot,
    time: r.u32(),
    bits: r.u32(),
    nonce: r.u32(),
    hash: shown(hash256(raw)),
    raw,
  };
}

/** Reads a whole block and checks that its header commits to exactly these transactions. @throws BitcoinError `bad-block`, `bad-bytes` */
export function parseBlock(bytes: Uint8Array): ParsedBlock {
  if (bytes.length > MAX_BLOCK_BYTES) throw new BitcoinError('bad-block', 'No block is so large.');
  const r = new Reader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const header = parseHeader(r.take(HEADER_BYTES));
  const txs = Array.from({ length: r.count(60) }, () => readTx(r));
  if (!r.done) throw new BitcoinError('bad-block', 'Bytes are left over after the block.');
  // Exactly the first is a reward: so no inner node of the tree can be shown as a transaction.
  if (txs.length === 0 || txs.some((tx, i) => tx.coinbase !== (i === 0)))
    throw new BitcoinError('bad-block', 'The first transaction of a block, and no other, is its reward.');
  const root = rootOf(txs.map((tx) => hash256(tx.stripped)));
  if (!root?.equals(header.merkleRoot))
    throw new BitcoinError('bad-block', 'The header does not commit to these transactions.');
  return { header, txs };
}

/** @throws BitcoinError `bad-bytes` unless the bytes are one transaction and nothing else */
export function parseTx(bytes: Uint8Array): Tx {
  const r = new Reader(Buffer.from(bytes));
  const tx = readTx(r);
  if (!r.done) throw new BitcoinError('bad-bytes', 'Bytes are left over after the transaction.');
  return tx;
}

/** An outpoint and nothing: what a reward spends. */
const NOTHING = '00'.repeat(32);
const NO_INDEX = 0xff_ff_ff_ff;

function readTx(r: Reader): Tx {
  const start = r.at;
  r.take(4);
  let bodyAt = r.at;
  const witnessed = r.bytes[r.at] === 0 && r.bytes[r.at + 1] === 1;
  if (witnessed) {
    r.take(2);
    bodyAt = r.at;
  }
  const spent = Array.from({ length: r.count(41) }, () => {
    const txid = shown(r.take(32));
    const vout = r.u32();
    r.take(r.count());
    return { txid, vout, sequence: r.u32() };
  });
  const outputs = Array.from({ length: r.count(9) }, () => ({ value: r.u64(), script: r.take(r.count()) }));
  const bodyEnd = r.at;
  const inputs = spent.map((input) => ({ ...input, witness: witnessed ? readStack(r) : [] }));
  r.take(4);
  const { bytes } = r;
  const stripped = witnessed
    ? Buffer.concat([bytes.subarray(start, start + 4), bytes.subarray(bodyAt, bodyEnd), bytes.subarray(r.at - 4, r.at)])
    : bytes.subarray(start, r.at);
  if (inputs.length === 0) throw new BitcoinError('bad-bytes', 'A transaction spends something.');
  const [first] = inputs;
  const coinbase = inputs.length === 1 && first?.txid === NOTHING && first.vout === NO_INDEX;
  return { txid: shown(hash256(stripped)), coinbase, inputs, outputs, stripped };
}

const readStack = (r: Reader): Buffer[] => Array.from({ length: r.count() }, () => r.take(r.count()));

/** The root of a tree of transactions; null where two different lists would have it (CVE-2012-2459). */
export function rootOf(leaves: readonly Buffer[]): Buffer | null {
  let level = leaves;
  while (level.length > 1) {
    const next: Buffer[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const left = level[i] as Buffer; // i is below the length
      const right = level[i + 1];
      if (right?.equals(left)) return null;
      next.push(hash256(Buffer.concat([left, right ?? left])));
    }
    level = next;
  }
  return level[0] ?? null;
}

/** That a transaction is in a block: its way up the tree, and that of the block's reward, which shows how high the tree is. */
export interface InclusionProof {
  /** Bytes without witness, of the transaction and of the block's reward. */
  tx: Buffer;
  reward: Buffer;
  /** Position in the block. */
  index: number;
  /** Siblings from the leaf up. */
  branch: readonly Buffer[];
  rewardBranch: readonly Buffer[];
}

/** A tree of more levels has more transactions than a block can hold. */
const MAX_LEVELS = 17;
/** Two hashes: a transaction of this size could be shown as an inner node of the tree, and the other way round (CVE-2017-12842). */
const INNER_NODE_BYTES = 64;

export function proveInclusion({ txs }: ParsedBlock, index: number): InclusionProof {
  const [tx, reward] = [txs[index], txs[0]];
  if (!tx || !reward) throw new BitcoinError('bad-proof', 'The block has no such transaction.');
  const leaves = txs.map((t) => hash256(t.stripped));
  return {
    tx: Buffer.from(tx.stripped),
    reward: Buffer.from(reward.stripped),
    index,
    branch: branchOf(leaves, index),
    rewardBranch: branchOf(leaves, 0),
  };
}

/** The proved transaction. @throws BitcoinError `bad-proof` unless the header commits to it at that place */
export function checkInclusion(proof: InclusionProof, header: Pick<Header, 'merkleRoot'>): Tx {
  const { branch, rewardBranch, index } = proof;
  const levels = branch.length;
  if (
    levels > MAX_LEVELS ||
    rewardBranch.length !== levels ||
    !Number.isInteger(index) ||
    index < 0 ||
    index >= 2 ** levels
  )
    throw new BitcoinError('bad-proof', 'The proof has no form a block’s tree can have.');
  if (proof.tx.length === INNER_NODE_BYTES || proof.reward.length === INNER_NODE_BYTES)
    throw new BitcoinError('bad-proof', 'A transaction of 64 bytes proves nothing.');
  const [tx, reward] = [parseTx(proof.tx), parseTx(proof.reward)];
  if (!reward.coinbase || tx.coinbase !== (index === 0))
    throw new BitcoinError('bad-proof', 'The first transaction of a block, and no other, is its reward.');
  const roots = [climb(proof.tx, branch, index), climb(proof.reward, rewardBranch, 0)];
  if (!roots.every((root) => root.equals(header.merkleRoot)))
    throw new BitcoinError('bad-proof', 'The header does not commit to this transaction.');
  return tx;
}

function branchOf(leaves: readonly Buffer[], index: number): Buffer[] {
  const branch: Buffer[] = [];
  let level = leaves;
  for (let at = index; level.length > 1; at >>= 1) {
    branch.push((level[at ^ 1] ?? level[at]) as Buffer); // a last one without a sibling is its own
    const next: Buffer[] = [];
    for (let i = 0; i < level.length; i += 2)
      next.push(hash256(Buffer.concat([level[i] as Buffer, (level[i + 1] ?? level[i]) as Buffer])));
    level = next;
  }
  return branch;
}

function climb(stripped: Buffer, branch: readonly Buffer[], index: number): Buffer {
  let hash = hash256(stripped);
  for (const [level, sibling] of branch.entries()) {
    const right = ((index >> level) & 1) === 1;
    // A last one is its own sibling on the right, and never on the left: else it could be shown at two places.
    if (right && sibling.equals(hash))
      throw new BitcoinError('bad-proof', 'The proof has no form a block’s tree can have.');
    const pair = right ? [sibling, hash] : [hash, sibling];
    hash = hash256(Buffer.concat(pair));
  }
  return hash;
}
