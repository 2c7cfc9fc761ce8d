/** The books of each asset, read from where they are: the vault's own count, and the process' own totals. */
import type { AoEngine } from '@isthmus/ao';
import { parseAmount, processToBytes32, type VaultListing } from '@isthmus/bridge';
import { vaultAbi, type RpcPool, type VaultWatcher } from '@isthmus/chains';
import type { DataSource } from 'typeorm';
import { decodeFunctionResult, encodeFunctionData } from 'viem';
import type { AssetConfig } from '../config.js';
import { answerIn, BRIDGE_INFO, READER } from './token-answers.js';

export interface AssetBooks {
  asset: string;
  /** Vault's count at `height`. */
  locked: bigint;
  /** Process' totals at `slot`. */
  supply: bigint;
  inFlight: bigint;
  /** Amounts of withdrawals the vault has paid at `height` that the process does not know as released at `slot`. */
  releasedUnattested: bigint;
  height: bigint;
  slot: number;
}

/** What the vault would say to a deposit or a release of an asset now. */
export interface VaultStanding {
  paused: boolean;
  listing: VaultListing;
  /** Vault's count, base units. */
  locked: bigint;
}

export class BookKeeper {
  private readonly reading = new Map<string, Promise<AssetBooks>>();
  private readonly asking = new Map<string, Promise<VaultStanding>>();
  private pausing: Promise<boolean> | null = null;
  /** What the vault last said about a pause. */
  private lastPaused = false;

  constructor(
    private readonly database: DataSource,
    private readonly engine: Pick<AoEngine, 'dryRun' | 'head'>,
    private readonly pool: RpcPool,
    private readonly watcher: VaultWatcher,
  ) {}

  /** The books now. All who ask while they are being read get the same reading: many readers cost the chain's sources no more than one. @throws AgreementLost */
  of(asset: AssetConfig): Promise<AssetBooks> {
    const reading = this.reading.get(asset.id) ?? this.compile(asset).finally(() => this.reading.delete(asset.id));
    this.reading.set(asset.id, reading);
    return reading;
  }

  /** Process first, chain second: what was minted by then was locked before. */
  private async compile(asset: AssetConfig): Promise<AssetBooks> {
    const { info, open, slot } = await this.processSide(asset);
    const { number: height } = await this.pool.latest();
    const locked = await this.watcher.read<bigint>('locked', [asset.address], height);
    let releasedUnattested = 0n;
    for (const { number, amount } of open) {
      const args = [processToBytes32(asset.process), number] as const;
      const data = await this.pool.call(
        this.watcher.vault,
        encodeFunctionData({ abi: vaultAbi, functionName: 'isReleased', args }),
        height,
      );
      if (decodeFunctionResult({ abi: vaultAbi, functionName: 'isReleased', data })) releasedUnattested += amount;
    }
    return {
      asset: asset.id,
      locked,
      supply: parseAmount(info['supply']),
      inFlight: parseAmount(info['inFlight']),
      releasedUnattested,
      height,
      slot,
    };
  }

  /** The vault's own word on an asset, at the newest block. Shared by all who ask meanwhile, as `of` is. @throws AgreementLost, VaultReadError */
  standing(asset: AssetConfig): Promise<VaultStanding> {
    const asking = this.asking.get(asset.id) ?? this.ask(asset).finally(() => this.asking.delete(asset.id));
    this.asking.set(asset.id, asking);
    return asking;
  }

  /** Token processes that are paused. */
  async paused(): Promise<Set<string>> {
    const rows: { process: string }[] = await this.database.query('select process from projection where paused');
    return new Set(rows.map((r) => r.process));
  }

  /**
   * Of these assets, the ids of those that are paused on AO or at the vault. For showing: while the chain cannot be read, the vault is shown as
   * it was last; what sells a call asks `standing`.
   */
  async pausedAssets(assets: readonly AssetConfig[]): Promise<Set<string>> {
    if (assets.length === 0) return new Set();
    this.pausing ??= this.readPaused().finally(() => (this.pausing = null));
    const [processes, vault] = await Promise.all([this.paused(), this.pausing.catch(() => this.lastPaused)]);
    return new Set(assets.filter((a) => vault || processes.has(a.process)).map((a) => a.id));
  }

  private async readPaused(): Promise<boolean> {
    const { number: height } = await this.pool.latest();
    this.lastPaused = await this.watcher.read<boolean>('paused', [], height);
    return this.lastPaused;
  }

  private async ask(asset: AssetConfig): Promise<VaultStanding> {
    const { number: height } = await this.pool.latest();
    const [paused, listing, locked] = await Promise.all([
      this.watcher.read<boolean>('paused', [], height),
      this.watcher.read<VaultListing>('listing', [asset.address], height),
      this.watcher.read<bigint>('locked', [asset.address], height),
    ]);
    this.lastPaused = paused;
    return { paused, listing, locked };
  }

  private async processSide(
    asset: AssetConfig,
  ): Promise<{ info: Record<string, unknown>; open: { number: bigint; amount: bigint }[]; slot: number }> {
    const info = (await this.read(asset.process, BRIDGE_INFO)) as Record<string, unknown>;
    const queued = (await this.read(asset.process, 'Withdrawals', {
      State: 'queued',
      Limit: '1000',
      Cursor: firstOpen(info),
    })) as { number: number; amount: string }[];
    const { evaluated } = await this.engine.head(asset.process);
    return {
      info,
      open: queued.map((w) => ({ number: BigInt(w.number), amount: parseAmount(w.amount) })),
      slot: Math.max(evaluated, 0),
    };
  }

  private async read(process: string, action: string, tags: Record<string, string> = {}): Promise<unknown> {
    const list = Object.entries({ Action: action, ...tags }).map(([name, value]) => ({ name, value }));
    const result = await this.engine.dryRun(process, { owner: READER, tags: list });
    return answerIn(process, action, result);
  }
}

/** Withdrawals are numbered in order and released nearly so: the last thousand hold every open one unless far more are open at once. */
function firstOpen(info: Record<string, unknown>): string {
  const count = Number(info['withdrawals'] ?? 0);
  return String(Math.max(1, count - 999));
}
