/**
 * Watches a vault by final blocks only. The vault numbers its deposits, so what was scanned is proved complete: a missing number stops
 * everything. What was final stays final: another block in its place stops everything too.
 */
import { decodeFunctionResult, encodeFunctionData, type Hex } from 'viem';
import { AgreementLost, type BlockRef, type RpcPool } from './rpc.js';
import { vaultAbi } from './vault-abi.js';
import { decodeVaultLogs, type VaultLog } from './vault.js';

/** Up to where a vault was watched. */
export interface VaultCursor {
  height: bigint;
  blockHash: Hex;
  /** Sequence number the next deposit must have. */
  nextSequence: bigint;
}

/** What one step found, and where it ended. */
export interface VaultScan {
  logs: VaultLog[];
  cursor: VaultCursor;
  /** Final head when the step was made; the watcher has caught up when the cursor stands there. */
  finalized: BlockRef;
}

/** A block that was final is not on the chain any more: people must look. */
export class FinalityViolated extends Error {
  readonly code = 'finality-violated';
  constructor(height: bigint, was: Hex, is: Hex) {
    super(`Block ${height} was final as ${was} and is now ${is}.`);
    this.name = 'FinalityViolated';
  }
}

/** Deposits the vault has numbered are not among the logs: the sources withhold some. */
export class SequenceGap extends Error {
  readonly code = 'sequence-gap';
  constructor(expected: bigint, found: bigint) {
    super(`The vault's deposit ${expected} is missing; the sources show ${found} next.`);
    this.name = 'SequenceGap';
  }
}

const FIRST_RANGE = 500n;
const MAX_RANGE = 2_000n;

export class VaultWatcher {
  private range = FIRST_RANGE;

  constructor(
    private readonly pool: RpcPool,
    readonly vault: Hex,
  ) {}

  /** Where to begin: the block before the vault's first. @throws AgreementLost */
  async begin(deployBlock: bigint): Promise<VaultCursor> {
    const before = await this.pool.block(deployBlock > 0n ? deployBlock - 1n : 0n);
    return { height: before.number, blockHash: before.hash, nextSequence: 1n };
  }

  /**
   * Scans the next range of final blocks; null when there is none. Nothing is concluded unless all of it is in order.
   * @throws AgreementLost, FinalityViolated, SequenceGap, VaultLogError
   */
  async step(cursor: VaultCursor): Promise<VaultScan | null> {
    const finalized = await this.pool.finalized();
    if (finalized.number < cursor.height)
      throw new AgreementLost(`a final block at ${cursor.height} or above`, 0, 1, [
        `the sources are at ${finalized.number}`,
      ]);
    const known = await this.pool.block(cursor.height);
    if (known.hash !== cursor.blockHash) throw new FinalityViolated(cursor.height, cursor.blockHash, known.hash);
    if (finalized.number === cursor.height) return null;
    const to = min(cursor.height + this.range, finalized.number);
    const logs = await this.logs(cursor.height + 1n, to);
    const nextSequence = checkSequence(logs, cursor.nextSequence);
    const end = to === finalized.number ? finalized : await this.pool.block(to);
    // At the head only: older state needs an archive node, and a gap further back has shown as a missing number already.
    if (to === finalized.number) await this.checkComplete(nextSequence, to);
    return { logs, cursor: { height: to, blockHash: end.hash, nextSequence }, finalized };
  }

  /** Value of one of the vault's views at a height. @throws AgreementLost */
  async read<T>(
    functionName: 'sequence' | 'locked' | 'paused' | 'epoch' | 'isReleased' | 'decisions',
    args: readonly unknown[],
    height: bigint,
  ): Promise<T> {
    const call = { abi: vaultAbi, functionName, args } as unknown as Parameters<typeof encodeFunctionData>[0];
    const data = await this.pool.call(this.vault, encodeFunctionData(call), height);
    return decodeFunctionResult({ abi: vaultAbi, functionName, data } as Parameters<
      typeof decodeFunctionResult
    >[0]) as T;
  }

  /** Vault logs after `height` that are not final yet: to show, never to act on. */
  async recent(height: bigint): Promise<{ logs: VaultLog[]; latest: BlockRef }> {
    const latest = await this.pool.latest();
    if (latest.number <= height) return { logs: [], latest };
    const from = latest.number - height > MAX_RANGE ? latest.number - MAX_RANGE : height + 1n;
    return {
      logs: inOrder(decodeVaultLogs(this.vault, await this.pool.logs(this.vault, from, latest.number))),
      latest,
    };
  }

  /** Ranges shrink when a source finds one too large, and grow again. */
  private async logs(from: bigint, to: bigint): Promise<VaultLog[]> {
    try {
      const raw = await this.pool.logs(this.vault, from, to);
      this.range = min(this.range * 2n, MAX_RANGE);
      return inOrder(decodeVaultLogs(this.vault, raw));
    } catch (error) {
      if (this.range > 1n) this.range /= 2n;
      throw error;
    }
  }

  /** An empty or shortened answer shows here: the vault itself says how many deposits it had at that height. */
  private async checkComplete(nextSequence: bigint, height: bigint): Promise<void> {
    const sequence = await this.read<bigint>('sequence', [], height);
    if (sequence !== nextSequence - 1n) throw new SequenceGap(nextSequence, sequence + 1n);
  }
}

function inOrder(logs: VaultLog[]): VaultLog[] {
  return logs.toSorted((a, b) =>
    a.blockNumber === b.blockNumber ? a.logIndex - b.logIndex : a.blockNumber < b.blockNumber ? -1 : 1,
  );
}

function checkSequence(logs: readonly VaultLog[], from: bigint): bigint {
  let next = from;
  for (const log of logs) {
    if (log.type !== 'deposited') continue;
    if (log.sequence !== next) throw new SequenceGap(next, log.sequence);
    next += 1n;
  }
  return next;
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
