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
    if (log.address.toLowerCase() !== address)
      throw new VaultLogError(`A log of ${log.address} was given as one of the vault ${vault}.`);
    if (log.topics[0] === DEPOSITED_TOPIC) decoded.push(decodeDeposited(log));
    else if (log.topics[0] === RELEASED_TOPIC) decoded.push(decodeReleased(log));
  }
  return decoded;
}

function decodeDeposited(log: RawLog): DepositedLog {
  const place = placeOf(log);
  const words = new Words(log, 4);
  const amount = words.uint(0);
  const recipient = words.bytes(1);
  const tags = words.bytes(2);
  const canonical =
    words.offset(1) === 96n &&
    words.offset(2) === 96n + 32n + padded(recipient.length) &&
    BigInt(words.length) === words.offset(2) + 32n + padded(tags.length);
  if (!canonical) throw words.malformed();
  return {
    type: 'deposited',
    ...place,
    sequence: words.topicUint(1),
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
    number: words.topicUint(2),
    asset: words.topicAddress(3),
    recipient: words.address(0),
    amount: words.uint(1),
    fee: words.uint(2),
    held: held === 1n,
  };
}

function placeOf(log: RawLog): LogPlace {
  const { blockNumber, blockHash, transactionHash, logIndex } = log;
  if (log.removed || !blockNumber || !blockHash || !transactionHash || !logIndex)
    throw new VaultLogError('A log was taken back or is not in a block yet.');
  return {
    blockNumber: BigInt(blockNumber),
    blockHash: blockHash as Hex,
    txHash: transactionHash as Hex,
    logIndex: Number(logIndex),
  };
}

const padded = (bytes: number): bigint => BigInt(Math.ceil(bytes / 32) * 32);

/** A log's data and topics as 32-byte words. */
class Words {
  private readonly data: Buffer;

  constructor(
    private readonly log: RawLog,
    topics: number,
  ) {
    this.data = Buffer.from(log.data.slice(2), 'hex');
    const fits =
      log.topics.length === topics &&
      log.topics.every((t) => /^0x[0-9a-f]{64}$/.test(t)) &&
      this.data.length * 2 === log.data.length - 2;
    if (!fits || this.data.length % 32 !== 0) throw this.malformed();
  }

  get length(): number {
    return this.data.length;
  }

  uint(word: number): bigint {
    return BigInt(`0x${this.slice(word * 32, 32).toString('hex')}`);
  }

  offset(word: number): bigint {
    return this.uint(word);
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

  topicUint(index: number): bigint {
    return BigInt(this.log.topics[index] as string);
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
