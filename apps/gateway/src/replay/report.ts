/** What a replay came to, for programs: amounts are strings. */
import type { ReplayReport } from '@isthmus/arweave';
import type { Rebuilt } from './rebuild.js';

export function reportOf(scheduler: string, rebuilt: Rebuilt, milliseconds: number): ReplayReport {
  const { state, books, bundles, bytes, slots, evaluated, stopped } = rebuilt;
  const whole = evaluated === slots;
  return {
    scheduler,
    seal: state.seal,
    sequence: state.sequence,
    state: state.state,
    index: whole ? state.index : null,
    transfers: whole ? state.transfers : null,
    bundles,
    bytes,
    slots,
    evaluated,
    milliseconds: Math.round(milliseconds),
    processes: state.processes,
    assets: state.assets.map(assetView),
    books: books.map(({ asset, process, height, locked, supply, inFlight, releasedUnattested }) => ({
      asset,
      process,
      height: String(height),
      locked: String(locked),
      supply: String(supply),
      inFlight: String(inFlight),
      releasedUnattested: String(releasedUnattested),
    })),
    stopped,
  };
}

/** An asset's totals as JSON has them. */
export const assetView = (a: Rebuilt['state']['assets'][number]) => ({
  asset: a.asset,
  process: a.process,
  minted: String(a.minted),
  burned: String(a.burned),
  released: String(a.released),
});
