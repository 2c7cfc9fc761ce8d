/** What the controllers under /v1/ao are given. */
import type { AoPipeline } from '@isthmus/ao';
import type { AoStore } from './ao-store.js';
import type { Journeys } from './journey.js';
import type { Operator } from './operator.js';
import type { ProcessFeed } from './process-feed.js';

/** `AoParts` */
export const AO_PARTS = 'ao-parts';

export interface AoParts {
  pipeline: AoPipeline;
  store: AoStore;
  journeys: Journeys;
  feed: ProcessFeed;
  operator: Operator;
}
