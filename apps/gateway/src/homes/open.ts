/** Opens the home a configuration describes. */
import type { HomeConfig } from './config.js';
import { openEthereumHome } from './ethereum/home.js';
import type { Home, HomeParts } from './home.js';

/** One case for each family of config.ts. @throws what keeps it from opening: a key file */
export function openHome(config: HomeConfig, parts: HomeParts): Home {
  return openEthereumHome(config, parts);
}
