/** The gateway's word, on Arweave with everything else, which processes are its bridge's: by it a replay knows them from others that claim so. */
import type { AoPipeline } from '@isthmus/ao';
import { assetNoticeTags } from '@isthmus/arweave';
import type { DataSource } from 'typeorm';
import type { HomeAsset } from '../homes/asset-config.js';

/** Says it of each of these assets, once for good. */
export async function publishAssets(
  pipeline: Pick<AoPipeline, 'publish'>,
  database: DataSource,
  assets: readonly Pick<HomeAsset, 'id' | 'process'>[],
): Promise<void> {
  for (const { id: asset, process } of assets) {
    const item = await pipeline.publish({ tags: assetNoticeTags({ asset, process }), data: '' });
    await database.query('insert into asset_notice (id, asset, process) values ($1, $2, $3) on conflict do nothing', [
      item.id,
      asset,
      process,
    ]);
  }
}
