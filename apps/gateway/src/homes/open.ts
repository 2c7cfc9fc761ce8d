/** Opens the home a configuration describes. */
import { openBitcoinHome } from './bitcoin/home.js';
import { isBitcoin, isSolana, type HomeConfig } from './config.js';
import { openEthereumHome } from './ethereum/home.js';
import type { Home, HomeParts } from './home.js';
import { openSolanaHome } from './solana/home.js';

/** One case for each family of config.ts. @throws what keeps it from opening: a key file */
export function openHome(config: HomeConfig, parts: HomeParts): Home {
  if (isBitcoin(config)) return openBitcoinHome(config, parts);
  if (isSolana(config)) return openSolanaHome(config, parts);
  return openEthereumHome(config, parts);
}
