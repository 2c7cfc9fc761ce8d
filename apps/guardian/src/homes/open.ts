/** Opens the home chain an entry of the configuration names. */
import { chainIdOf } from '@isthmus/bridge';
import { RpcPool, solana, VaultWatcher } from '@isthmus/chains';
import { readSecret } from '@isthmus/store';
import { isBitcoinHome, isSolanaHome, type HomeConfig } from '../config.js';
import { openBitcoinHome } from './bitcoin/open.js';
import { EthereumHome } from './ethereum/ethereum-home.js';
import type { HomeSurroundings, OpenedHome } from './home.js';
import { SolanaHome } from './solana/solana-home.js';
import { SolanaStore } from './solana/store.js';

/** @throws ConfigError for a key file that is none; with a typed code when what is kept of the chain breaks its rules */
export async function openHome(config: HomeConfig, surroundings: HomeSurroundings): Promise<OpenedHome> {
  const { ledger, database, self, log } = surroundings;
  if (isBitcoinHome(config)) return openBitcoinHome(config, surroundings);
  if (isSolanaHome(config)) {
    const { id, rpcUrls, agreement } = config.chain;
    const pool = new solana.SolanaPool({ urls: rpcUrls, agreement, chain: id });
    const seed = readSecret(config.keyFile);
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
