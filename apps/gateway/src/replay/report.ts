/** What a replay came to, for programs: amounts are strings. */
import type { ReplayReport } from '@isthmus/arweave';
import type { Rebuilt } from './rebuild.js';

export function reportOf(scheduler: string, rebuilt: Rebuilt, milliseconds: number, peakBytes: number): ReplayReport {
  const { state, books, bundles, bytes, slots, evaluated, tail, stopped } = rebuilt;
  return {
    scheduler,
    seal: state.seal,
    sequence: state.sequence,
    state: state.state,
    index: rebuilt.indexed ? state.index : null,
    transfers: rebuilt.indexed ? state.transfers : null,
    bundles,
    bytes,
    slots,
    evaluated,
    fromCheckpoints: rebuilt.fromCheckpoints,
    milliseconds: Math.round(milliseconds),
    peakBytes,
    processes: state.processes,
    assets: state.assets.map((a) => ({
      asset: a.asset,
      process: a.process,
      minted: String(a.minted),
      burned: String(a.burned),
      released: String(a.released),
    })),
    books: books.map(({ asset, process, height, locked, supply, inFlight, releasedUnattested, early }) => ({
      asset,
      process,
      height: String(height),
      locked: String(locked),
      supply: String(supply),
      inFlight: String(inFlight),
      releasedUnattested: String(releasedUnattested),
      early: early.map(({ number, tx }) => ({ number: String(number), tx })),
    })),
    tail,
    stopped,
  };
}
