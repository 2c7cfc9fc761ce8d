/** Opens a Solana home from its configuration: its sources, its key, what is kept of its vaults. */
import { solana } from '@isthmus/chains';
import { readSecret } from '@isthmus/store';
import type { SolanaHomeConfig } from '../../config.js';
import type { HomeSurroundings, OpenedHome } from '../home.js';
import { SolanaHome } from './solana-home.js';
import { SolanaStore } from './store.js';

/** @throws ConfigError for a key file that is none */
export function openSolanaHome(
  config: SolanaHomeConfig,
  { ledger, database, self, log, now }: HomeSurroundings,
): OpenedHome {
  const { id, rpcUrls, agreement } = config.chain;
  const pool = new solana.SolanaPool({ urls: rpcUrls, agreement, chain: id });
  const seed = readSecret(config.keyFile);
  const home = new SolanaHome({ config, pool, ledger, store: new SolanaStore(database), self, seed, log, now });
  return { home, calls: () => pool.calls };
}
