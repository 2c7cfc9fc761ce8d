/** Opens the home chain an entry of the configuration names. */
import { chainIdOf } from '@isthmus/bridge';
import { RpcPool, VaultWatcher } from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import type { HomeConfig } from '../config.js';
import type { Ledger } from '../ledger.js';
import { EthereumHome } from './ethereum/ethereum-home.js';
import type { Home } from './home.js';

/** What all homes of a guardian share. */
export interface HomeSurroundings {
  ledger: Ledger;
  log: Logger;
}

export interface OpenedHome {
  home: Home;
  /** Calls made to the chain's sources since the start. */
  calls: () => number;
}

/** @throws with a typed code when what is kept of the chain breaks its rules */
export async function openHome(config: HomeConfig, { ledger, log }: HomeSurroundings): Promise<OpenedHome> {
  const { chain } = config;
  const pool = new RpcPool({
    urls: chain.rpcUrls,
    agreement: chain.agreement,
    chainId: chainIdOf(chain.id),
    finality: chain.finality,
  });
  const home = new EthereumHome({ config, ledger, watcher: new VaultWatcher(pool, chain.vault), pool, log });
  return Promise.resolve({ home, calls: () => pool.calls });
}
