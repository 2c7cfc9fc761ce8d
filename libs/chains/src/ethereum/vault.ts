/** The vault seen from outside: calls to make, and logs to read. A log counts only when it is exactly what the vault itself would emit. */
import { processFromBytes32, type Decision } from '@isthmus/bridge';
import { encodeFunctionData, encodeEventTopics, getAddress, type Hex } from 'viem';
import { vaultAbi } from './vault-abi.js';

/** A log as a node's JSON-RPC gives it. */
export interface RawLog {
  address: string;
  topics: readonly string[];
  data: string;
  blockNumber: string | null;
  blockHash: string | null;
  transactionHash: string | null;
  logIndex: string | null;
  removed?: boolean;
}

/** Where a log stands on its chain. */
export interface LogPlace {
  blockNumber: bigint;
  blockHash: Hex;
  txHash: Hex;
  logIndex: number;
}

export type DepositedLog = LogPlace & {
  type: 'deposited';
  sequence: bigint;
  asset: Hex;
  sender: Hex;
  amount: bigint;
  recipient: Uint8Array;
  tags: Uint8Array;
};
export type ReleasedLog = LogPlace & {
  type: 'released';
  process: string;
  number: bigint;
  asset: Hex;
  recipient: Hex;
  amount: bigint;
  fee: bigint;
  held: boolean;
};
export type VaultLog = DepositedLog | ReleasedLog;

/** A log that is none of the vault's, or not as the vault writes it. */
export class VaultLogError extends Error {
  readonly code = 'vault-log';
  constructor(message: string) {
    super(message);
    this.name = 'VaultLogError';
  }
}

const topic = (eventName: 'Deposited' | 'Released'): Hex => encodeEventTopics({ abi: vaultAbi, eventName })[0] as Hex;
export const DEPOSITED_TOPIC = topic('Deposited');
export const RELEASED_TOPIC = topic('Released');

/**
 * Reads the vault's deposits and releases among logs; its other events are passed over. Words are cut out by hand: general decoding costs a
 * hundred times as much.
 * @throws VaultLogError for a log of another contract, a removed or pending one, or one not encoded canonically.
 */
export function decodeVaultLogs(vault: Hex, logs: readonly RawLog[]): VaultLog[] {
  const address = vault.toLowerCase();
  const decoded: VaultLog[] = [];
  for (const log of logs) {
    if (!isLogShaped(log)) throw new VaultLogError('Something else was given as a log.');
    if (log.address.toLowerCase() !== address)
      throw new VaultLogError(`A log of another contract was given as one of the vault ${vault}.`);
    if (log.topics[0] === DEPOSITED_TOPIC) decoded.push(decodeDeposited(log));
    else if (log.topics[0] === RELEASED_TOPIC) decoded.push(decodeReleased(log));
  }
  return decoded;
}

/** What is given as a log comes from outside: its type is a hope. */
function isLogShaped(log: unknown): log is RawLog {
  if (typeof log !== 'object' || log === null) return false;
  const { address, topics, data } = log as Record<string, unknown>;
  return typeof address === 'string' && Array.isArray(topics) && typeof data === 'string';
}

/** Bytes before the two texts: the amount and where each begins. */
const DEPOSITED_HEAD = 96;

function decodeDeposited(log: RawLog): DepositedLog {
  const place = placeOf(log);
  const words = new Words(log, 4);
  const amount = words.uint(0);
  const recipient = words.bytes(1);
  const tags = words.bytes(2);
  const tagsAt = DEPOSITED_HEAD + 32 + padded(recipient.length);
  const canonical =
    words.uint(1) === BigInt(DEPOSITED_HEAD) &&
    words.uint(2) === BigInt(tagsAt) &&
    words.length === tagsAt + 32 + padded(tags.length) &&
    words.isBlank(DEPOSITED_HEAD + 32 + recipient.length, tagsAt) &&
    words.isBlank(tagsAt + 32 + tags.length, words.length);
  if (!canonical) throw words.malformed();
  return {
    type: 'deposited',
    ...place,
    sequence: words.topicUint64(1),
    asset: words.topicAddress(2),
    sender: words.topicAddress(3),
    amount,
    recipient,
    tags,
  };
}

function decodeReleased(log: RawLog): ReleasedLog {
  const place = placeOf(log);
  const words = new Words(log, 4);
  const held = words.uint(3);
  if (words.length !== 128 || held > 1n) throw words.malformed();
  return {
    type: 'released',
    ...place,
    process: processFromBytes32(log.topics[1] as Hex),
    number: words.topicUint64(2),
    asset: words.topicAddress(3),
    recipient: words.address(0),
    amount: words.uint(1),
    fee: words.uint(2),
    held: held === 1n,
  };
}

const QUANTITY = /^0x(?:0|[1-9a-f][0-9a-f]{0,12})$/; // below 2^52
const HASH = /^0x[0-9a-f]{64}$/;

function placeOf(log: RawLog): LogPlace {
  const { blockNumber, blockHash, transactionHash, logIndex } = log;
  if (log.removed) throw new VaultLogError('A log was taken back.');
  return {
    blockNumber: BigInt(written(blockNumber, QUANTITY)),
    blockHash: written(blockHash, HASH),
    txHash: written(transactionHash, HASH),
    logIndex: Number(written(logIndex, QUANTITY)),
  };
}

function written(value: unknown, form: RegExp): Hex {
  if (typeof value !== 'string' || !form.test(value))
    throw new VaultLogError('A log is not in a block yet, or its place is not written as a node writes it.');
  return value as Hex; // both forms begin with 0x
}

const padded = (bytes: number): number => Math.ceil(bytes / 32) * 32;

/** A log's data and topics as 32-byte words. */
class Words {
  private readonly data: Buffer;

  constructor(
    private readonly log: RawLog,
    topics: number,
  ) {
    this.data = Buffer.from(log.data.slice(2), 'hex'); // ends where it is not hex
    const fits =
      log.topics.length === topics &&
      log.topics.every((t: unknown) => typeof t === 'string' && HASH.test(t)) &&
      log.data === `0x${this.data.toString('hex')}`;
    if (!fits || this.data.length % 32 !== 0) throw this.malformed();
  }

  get length(): number {
    return this.data.length;
  }

  uint(word: number): bigint {
    return BigInt(`0x${this.slice(word * 32, 32).toString('hex')}`);
  }

  isBlank(from: number, to: number): boolean {
    return this.data.subarray(from, to).every((byte) => byte === 0);
  }

  bytes(word: number): Uint8Array {
    const at = this.uint(word);
    if (at > BigInt(this.data.length)) throw this.malformed();
    const length = BigInt(`0x${this.slice(Number(at), 32).toString('hex')}`);
    if (length > BigInt(this.data.length)) throw this.malformed();
    return this.slice(Number(at) + 32, Number(length));
  }

  address(word: number): Hex {
    return this.asAddress(this.slice(word * 32, 32).toString('hex'));
  }

  topicUint64(index: number): bigint {
    const number = BigInt(this.log.topics[index] as string);
    if (number >= 2n ** 64n) throw this.malformed();
    return number;
  }

  topicAddress(index: number): Hex {
    return this.asAddress((this.log.topics[index] as string).slice(2));
  }

  malformed(): VaultLogError {
    return new VaultLogError(
      `Log ${this.log.logIndex} of ${this.log.transactionHash} is not encoded as the vault encodes it.`,
    );
  }

  private asAddress(word: string): Hex {
    if (!word.startsWith('0'.repeat(24))) throw this.malformed();
    return getAddress(`0x${word.slice(24)}`);
  }

  private slice(from: number, length: number): Buffer {
    if (from + length > this.data.length) throw this.malformed();
    return this.data.subarray(from, from + length);
  }
}

/** One release as the vault takes it. */
export interface ReleaseCall {
  process: Hex;
  number: bigint;
  asset: Hex;
  recipient: Hex;
  amount: bigint;
  maxFee: bigint;
}

const bytes = (value: Uint8Array): Hex => `0x${Buffer.from(value).toString('hex')}`;

/** Calldata of a deposit of the chain's coin. */
export function encodeCoinDeposit(recipient: Uint8Array, tags: Uint8Array): Hex {
  return encodeFunctionData({ abi: vaultAbi, functionName: 'deposit', args: [bytes(recipient), bytes(tags)] });
}

/** Calldata of a deposit of an approved ERC-20. */
export function encodeTokenDeposit(asset: Hex, amount: bigint, recipient: Uint8Array, tags: Uint8Array): Hex {
  return encodeFunctionData({
    abi: vaultAbi,
    functionName: 'deposit',
    args: [asset, amount, bytes(recipient), bytes(tags)],
  });
}

/** Calldata of one release; `signatures` are packed, ascending by index, joined here. */
export function encodeRelease(release: ReleaseCall, fee: bigint, signatures: readonly Hex[]): Hex {
  return encodeFunctionData({
    abi: vaultAbi,
    functionName: 'release',
    args: [release, fee, joinSignatures(signatures)],
  });
}

/** Call that carries out a decision at the vault; `asset` is the one a listing is about. */
export function encodeVaultDecision(decision: Decision, asset: Hex, signatures: readonly Hex[]): Hex {
  const joined = joinSignatures(signatures);
  switch (decision.kind) {
    case 'pause':
    case 'unpause':
      return encodeFunctionData({ abi: vaultAbi, functionName: decision.kind, args: [joined] });
    case 'list': {
      const { open, limit, windowMs, minDeposit } = decision;
      const args = [asset, open, limit, Number(windowMs / 1000n), minDeposit, joined] as const;
      return encodeFunctionData({ abi: vaultAbi, functionName: 'list', args });
    }
    case 'rotate': {
      const { guardians, threshold, pauseThreshold } = decision;
      const args = [guardians, threshold, pauseThreshold, joined] as const;
      return encodeFunctionData({ abi: vaultAbi, functionName: 'rotate', args });
    }
  }
}

/** Calldata of many releases. */
export function encodeReleaseBatch(
  releases: readonly { release: ReleaseCall; fee: bigint; signatures: readonly Hex[] }[],
): Hex {
  const args = [
    releases.map((r) => r.release),
    releases.map((r) => r.fee),
    releases.map((r) => joinSignatures(r.signatures)),
  ] as const;
  return encodeFunctionData({ abi: vaultAbi, functionName: 'releaseBatch', args });
}

/** Packed signatures in the order the vault wants them. */
export function joinSignatures(signatures: readonly Hex[]): Hex {
  const ascending = signatures.toSorted(
    (a, b) => Number.parseInt(a.slice(2, 4), 16) - Number.parseInt(b.slice(2, 4), 16),
  );
  return `0x${ascending.map((s) => s.slice(2)).join('')}`;
}
