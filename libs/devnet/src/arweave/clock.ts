/** When the local weave grows by itself: while there is something to mine for, and now and then. */
import type { Weave } from './weave.js';

/** Blocks after which a transaction needs no more of them. */
const SETTLED_DEPTH = 30;
/** An idle weave still grows a little, for whatever looks at its height. */
const HEARTBEAT_MS = 60_000;

/** Whether a block is mined now, so long after the last. `items` wait to be bundled. */
export function isDue(weave: Weave, items: number, idleMs: number): boolean {
  const settling = weave.blocks.slice(-SETTLED_DEPTH).some((b) => b.txs.length > 0);
  return weave.waiting > 0 || items > 0 || settling || idleMs >= HEARTBEAT_MS;
}
