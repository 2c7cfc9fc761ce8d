/** The books of each asset, read from where they are: what its home's vault says, and the process' own totals. */
import { tagList, type AoEngine } from '@isthmus/ao';
import { parseAmount } from '@isthmus/bridge';
import type { DataSource } from 'typeorm';
import type { HomeAsset } from '../homes/asset-config.js';
import type { Home, OpenWithdrawal, Standing } from '../homes/home.js';
import type { Homes } from '../homes/homes.js';
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

export class BookKeeper {
  private readonly reading = new Map<string, Promise<AssetBooks>>();
  private readonly asking = new Map<string, Promise<Standing>>();
  private readonly pausing = new Map<Home, Promise<boolean>>();
  /** Homes that were paused when they were last read. */
  private readonly lastPaused = new Set<Home>();

  constructor(
    private readonly database: DataSource,
    private readonly engine: Pick<AoEngine, 'dryRun' | 'head'>,
    private readonly homes: Homes,
  ) {}

  /** The books now. All who ask while they are being read get the same reading: many readers cost the chain's sources no more than one. @throws when the chain cannot be read */
  of(asset: HomeAsset): Promise<AssetBooks> {
    return shared(this.reading, asset.id, () => this.compile(asset));
  }

  /** Process first, chain second: what was minted by then was locked before. */
  private async compile(asset: HomeAsset): Promise<AssetBooks> {
    const { info, open, slot } = await this.processSide(asset);
    const { locked, paid, height } = await this.homes.of(asset).holdings(asset, open);
    return {
      asset: asset.id,
      locked,
      supply: parseAmount(info['supply']),
      inFlight: parseAmount(info['inFlight']),
      releasedUnattested: paid,
      height,
      slot,
    };
  }

  /** The home's own word on an asset, now. Shared by all who ask meanwhile, as `of` is. @throws when the chain cannot be read */
  standing(asset: HomeAsset): Promise<Standing> {
    return shared(this.asking, asset.id, async () => {
      const home = this.homes.of(asset);
      const standing = await home.standing(asset);
      this.remember(home, standing.paused);
      return standing;
    });
  }

  /** Token processes that are paused. */
  async paused(): Promise<Set<string>> {
    const rows: { process: string }[] = await this.database.query('select process from projection where paused');
    return new Set(rows.map((r) => r.process));
  }

  /**
   * Of these assets, the ids of those that are paused on AO or at their vault. For showing: while a chain cannot be read, its vault is shown as
   * it was last; what sells a call asks `standing`.
   */
  async pausedAssets(assets: readonly HomeAsset[]): Promise<Set<string>> {
    if (assets.length === 0) return new Set();
    const homes = [...new Set(assets.map((a) => this.homes.of(a)))];
    const [processes, ...stopped] = await Promise.all([this.paused(), ...homes.map((home) => this.isPaused(home))]);
    const vaults = new Set(homes.filter((_, i) => stopped[i]));
    return new Set(assets.filter((a) => vaults.has(this.homes.of(a)) || processes.has(a.process)).map((a) => a.id));
  }

  private isPaused(home: Home): Promise<boolean> {
    return shared(this.pausing, home, () =>
      home.paused().then(
        (paused) => this.remember(home, paused),
        () => this.lastPaused.has(home),
      ),
    );
  }

  private remember(home: Home, paused: boolean): boolean {
    if (paused) this.lastPaused.add(home);
    else this.lastPaused.delete(home);
    return paused;
  }

  private async processSide(
    asset: HomeAsset,
  ): Promise<{ info: Record<string, unknown>; open: OpenWithdrawal[]; slot: number }> {
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
    const list = tagList({ Action: action, ...tags });
    const result = await this.engine.dryRun(process, { owner: READER, tags: list });
    return answerIn(process, action, result);
  }
}

/** Withdrawals are numbered in order and released nearly so: the last thousand hold every open one unless far more are open at once. */
function firstOpen(info: Record<string, unknown>): string {
  const count = Number(info['withdrawals'] ?? 0);
  return String(Math.max(1, count - 999));
}

/** One reading for all who ask while it is under way. */
function shared<K, T>(under: Map<K, Promise<T>>, key: K, read: () => Promise<T>): Promise<T> {
  const reading = under.get(key) ?? read().finally(() => under.delete(key));
  under.set(key, reading);
  return reading;
}
