/** What a bridge begins with: its vaults on home chains, and its token processes on AO. The local stack and real networks are founded with the same. */
export * from './token-process.js';
export * from './vault-contract.js';
