/** The scheduler's word that a process is its bridge's for an asset: an item of no schedule. Anybody may spawn a process that claims so itself. */
import { tagOf, type Item, type Tag } from '@isthmus/ao';
import { APP_NAME, SETTLEMENT_VARIANT } from './seal.js';

export interface AssetNotice {
  /** CAIP-19 */
  asset: string;
  /** Its token process. */
  process: string;
}

/** What an item of this scheduler says about an asset; null when it says nothing. Its signature is checked by who reads it. */
export function readAssetNotice(item: Item, scheduler: string): AssetNotice | null {
  if (tagOf(item, 'Type') !== 'Asset' || item.ownerAddress !== scheduler) return null;
  const notice = { asset: tagOf(item, 'Isthmus-Asset'), process: tagOf(item, 'Process') };
  return JSON.stringify(assetNoticeTags(notice)) === JSON.stringify(item.tags) ? notice : null;
}

/** The tags of a notice, all there is in it: the same words give the same item. */
export const assetNoticeTags = ({ asset, process }: AssetNotice): Tag[] => [
  { name: 'App-Name', value: APP_NAME },
  { name: 'Variant', value: SETTLEMENT_VARIANT },
  { name: 'Type', value: 'Asset' },
  { name: 'Isthmus-Asset', value: asset },
  { name: 'Process', value: process },
];
