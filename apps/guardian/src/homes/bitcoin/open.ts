/** Puts the parts of a Bitcoin home together, as configuration names them. */
import { BitcoinPool, HeaderChain, HeaderTable, networkOf } from '@isthmus/chains';
import { readSecret } from '@isthmus/store';
import type { BitcoinHomeConfig } from '../../config.js';
import type { HomeSurroundings, OpenedHome } from '../home.js';
import { Batches } from './batches.js';
import { BitcoinHome } from './bitcoin-home.js';
import { Fees } from './fees.js';
import { Planner } from './planner.js';
import { Scanner } from './scanner.js';
import { BitcoinStore } from './store.js';

/** @throws ConfigError for a key file that is none; BitcoinError when kept headers or the anchor break a rule */
export async function openBitcoinHome(
  { chain, keyFile, assets }: BitcoinHomeConfig,
  { database, ledger, self, log }: HomeSurroundings,
): Promise<OpenedHome> {
  const [asset] = assets;
  if (!asset) throw new Error('A Bitcoin home has its coin.'); // the configuration was checked
  const { process } = asset;
  const secret = readSecret(keyFile);
  const network = networkOf(chain.id);
  const { reserve, batchMs } = chain;
  const pool = new BitcoinPool({ urls: chain.rpcUrls, agreement: chain.agreement, network });
  const anchor = chain.headerAnchor;
  const headers = await HeaderChain.open(network, new HeaderTable(database, network), anchor ? { anchor } : {});
  const store = await BitcoinStore.open(database, process);
  const batches = new Batches(store, network, process);
  const fees = new Fees(pool, chain.maxFeeRate);
  const scanner = new Scanner({ chain: chain.id, process, ledger, store, headers, pool, log });
  const planner = new Planner({ store, batches, network, fees, self, batchMs, log, now: () => performance.now() });
  const home = new BitcoinHome({
    network,
    asset,
    secret,
    self,
    reserve,
    ledger,
    store,
    batches,
    scanner,
    planner,
    fees,
    log,
  });
  return { home, calls: () => pool.calls };
}
