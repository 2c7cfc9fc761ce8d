/** Opens the home chain an entry of the configuration names. */
import { chainIdOf } from '@isthmus/bridge';
import { RpcPool, solana, VaultWatcher } from '@isthmus/chains';
import { readSecretFile, type Logger } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { isSolanaHome, type HomeConfig } from '../config.js';
import type { Ledger } from '../ledger.js';
import { EthereumHome } from './ethereum/ethereum-home.js';
import type { Home } from './home.js';
import { SolanaHome } from './solana/solana-home.js';
import { SolanaStore } from './solana/store.js';

/** What all homes of a guardian share. */
export interface HomeSurroundings {
  /** The guardian's own, which the ledger is in too. */
  database: DataSource;
  ledger: Ledger;
  /** AO address of this guardian. */
  self: string;
  log: Logger;
}

export interface OpenedHome {
  home: Home;
  /** Calls made to the chain's sources since the start. */
  calls: () => number;
}

/** @throws with a typed code when what is kept of the chain breaks its rules */
export async function openHome(config: HomeConfig, surroundings: HomeSurroundings): Promise<OpenedHome> {
  const { ledger, database, self, log } = surroundings;
  if (isSolanaHome(config)) {
    const { id, rpcUrls, agreement } = config.chain;
    const pool = new solana.SolanaPool({ urls: rpcUrls, agreement, chain: id });
    const seed = readSecretFile(config.keyFile);
    const home = new SolanaHome({ config, pool, ledger, store: new SolanaStore(database), self, seed, log });
    return { home, calls: () => pool.calls };
  }
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
