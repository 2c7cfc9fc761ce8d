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

/**
 * The deposits the sources show are not those the vault has numbered: some are withheld, or not the vault's. It passes when the sources show
 * them all; if they were withheld below a cursor that was kept, that cursor must be set back.
 */
export class SequenceGap extends Error {
  readonly code = 'sequence-gap';
  constructor(message: string) {
    super(message);
    this.name = 'SequenceGap';
  }
}

/** The vault's view answers what no vault answers: another contract, or none, is at its address. */
export class VaultReadError extends Error {
  readonly code = 'vault-unreadable';
  constructor(vault: Hex, view: string, height: bigint) {
    super(`No vault answers "${view}" at ${vault} in block ${height}: is it the right address, and deployed by then?`);
    this.name = 'VaultReadError';
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

  /** Where to begin: the block before the vault's first, once that is final. @throws AgreementLost */
  async begin(deployBlock: bigint): Promise<VaultCursor> {
    const height = deployBlock > 0n ? deployBlock - 1n : 0n;
    await this.finalizedFrom(height);
    const before = await this.pool.block(height);
    return { height: before.number, blockHash: before.hash, nextSequence: 1n };
  }

  /**
   * Scans the next range of final blocks; null when there is none. Nothing is concluded unless all of it is in order.
   * @throws AgreementLost, FinalityViolated, SequenceGap, VaultLogError
   */
  async step(cursor: VaultCursor): Promise<VaultScan | null> {
    const finalized = await this.finalizedFrom(cursor.height);
    await this.checkStillFinal(cursor);
    if (finalized.number === cursor.height) return null;
    const to = min(cursor.height + this.range, finalized.number);
    const end = to === finalized.number ? finalized : await this.pool.block(to);
    const logs = await this.logs(cursor.height + 1n, end);
    const nextSequence = checkSequence(logs, cursor.nextSequence);
    await this.checkComplete(nextSequence, to, to === finalized.number);
    return { logs, cursor: { height: to, blockHash: end.hash, nextSequence }, finalized };
  }

  /** Value of one of the vault's views at a height. @throws AgreementLost, VaultReadError */
  async read<T>(
    functionName: 'sequence' | 'locked' | 'paused' | 'epoch' | 'isReleased' | 'decisions' | 'listing' | 'guardians',
    args: readonly unknown[],
    height: bigint,
  ): Promise<T> {
    const call = { abi: vaultAbi, functionName, args } as unknown as Parameters<typeof encodeFunctionData>[0];
    const data = await this.pool.call(this.vault, encodeFunctionData(call), height);
    try {
      return decodeFunctionResult({ abi: vaultAbi, functionName, data } as Parameters<
        typeof decodeFunctionResult
      >[0]) as T;
    } catch {
      throw new VaultReadError(this.vault, functionName, height);
    }
  }

  /** Vault logs after `height` that are not final yet: to show, never to act on. */
  async recent(height: bigint): Promise<{ logs: VaultLog[]; latest: BlockRef }> {
    const latest = await this.pool.latest();
    if (latest.number <= height) return { logs: [], latest };
    const from = latest.number - height > MAX_RANGE ? latest.number - MAX_RANGE : height + 1n;
    return { logs: decodeVaultLogs(this.vault, await this.pool.logs(this.vault, from, latest)), latest };
  }

  private async finalizedFrom(height: bigint): Promise<BlockRef> {
    const finalized = await this.pool.finalized();
    if (finalized.number < height)
      throw new AgreementLost(`a final block at ${height} or above`, 0, 1, [`the sources are at ${finalized.number}`]);
    return finalized;
  }

  private async checkStillFinal({ height, blockHash }: VaultCursor): Promise<void> {
    if ((await this.pool.block(height)).hash === blockHash) return;
    this.pool.recheckChains(); // a source that has come to serve another chain only looks like a reorg
    const { hash } = await this.pool.block(height);
    if (hash !== blockHash) throw new FinalityViolated(height, blockHash, hash);
  }

  /** Ranges shrink when a source finds one too large, and grow again. */
  private async logs(from: bigint, to: BlockRef): Promise<VaultLog[]> {
    try {
      const raw = await this.pool.logs(this.vault, from, to);
      this.range = min(this.range * 2n, MAX_RANGE);
      return decodeVaultLogs(this.vault, raw);
    } catch (error) {
      if (this.range > 1n) this.range /= 2n;
      throw error;
    }
  }

  /**
   * An empty or shortened answer shows here: the vault itself says how many deposits it had at that height. Not every source keeps state
   * from long ago; what is missing there shows as a gap later, at the latest at the head.
   */
  private async checkComplete(nextSequence: bigint, height: bigint, atHead: boolean): Promise<void> {
    const counted = await this.read<bigint>('sequence', [], height).catch((error: unknown) => {
      if (!atHead && error instanceof AgreementLost && !error.contradiction) return null;
      throw error;
    });
    const shown = nextSequence - 1n;
    if (counted !== null && counted !== shown)
      throw new SequenceGap(`The vault counts ${counted} deposits at block ${height}; the sources show ${shown}.`);
  }
}

function checkSequence(logs: readonly VaultLog[], from: bigint): bigint {
  let next = from;
  for (const log of logs) {
    if (log.type !== 'deposited') continue;
    if (log.sequence !== next)
      throw new SequenceGap(`The vault's deposit ${next} is missing; the sources show ${log.sequence} in its place.`);
    next += 1n;
  }
  return next;
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
