/** Opens the home chain an entry of the configuration names. */
import { chainIdOf } from '@isthmus/bridge';
import { RpcPool, VaultWatcher } from '@isthmus/chains';
import { isBitcoinHome, isSolanaHome, type HomeConfig } from '../config.js';
import { openBitcoinHome } from './bitcoin/open.js';
import { EthereumHome } from './ethereum/ethereum-home.js';
import type { HomeSurroundings, OpenedHome } from './home.js';
import { openSolanaHome } from './solana/open.js';

/** @throws ConfigError for a key file that is none; with a typed code when what is kept of the chain breaks its rules */
export async function openHome(config: HomeConfig, surroundings: HomeSurroundings): Promise<OpenedHome> {
  if (isBitcoinHome(config)) return openBitcoinHome(config, surroundings);
  if (isSolanaHome(config)) return openSolanaHome(config, surroundings);
  const { ledger, log } = surroundings;
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
