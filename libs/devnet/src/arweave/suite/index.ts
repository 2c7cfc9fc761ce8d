/**
 * What is true of an Arweave node and gateway, as facts over HTTP alone: checked of ours in `npm test`, and of arlocal in `npm run test:soak`, so
 * that ours cannot drift from what others think Arweave is. A fact throws when it does not hold.
 */
import { GATEWAY_FACTS } from './gateway-facts.js';
import { NODE_FACTS } from './node-facts.js';
import type { Fact } from './world.js';

export * from './world.js';

/** Every fact by its name. */
export const FACTS: Readonly<Record<string, Fact>> = { ...NODE_FACTS, ...GATEWAY_FACTS };
