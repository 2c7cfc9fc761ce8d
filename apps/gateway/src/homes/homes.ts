/** The home chains of a gateway, and which of them an asset is of. */
import type { HomeAsset } from './asset-config.js';
import type { Home } from './home.js';

export class Homes {
  private readonly byAsset: ReadonlyMap<string, { home: Home; asset: HomeAsset }>;

  constructor(readonly all: readonly Home[]) {
    this.byAsset = new Map(all.flatMap((home) => home.assets.map((asset) => [asset.id, { home, asset }])));
  }

  get assets(): HomeAsset[] {
    return this.all.flatMap((home) => home.assets);
  }

  /** By CAIP-19 id; null for what is not bridged here (any more). */
  asset(id: string): HomeAsset | null {
    return this.byAsset.get(id)?.asset ?? null;
  }

  /** The home of an asset by its id; null as for `asset`. */
  homeOf(id: string): Home | null {
    return this.byAsset.get(id)?.home ?? null;
  }

  /** @throws Error for what is not bridged here */
  of({ id }: HomeAsset): Home {
    const home = this.homeOf(id);
    if (!home) throw new Error(`${id} is an asset of no home of this gateway.`);
    return home;
  }
}

/** Names of a home's parts in health. */
export const partsOf = ({ chain }: Pick<Home, 'chain'>) => ({
  look: `chain ${chain.id}`,
  relay: `relayer ${chain.id}`,
});
