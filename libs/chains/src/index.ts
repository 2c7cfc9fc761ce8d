/** The chains: each behind the same few notions (deposits, releases, finality). */
export * from './ethereum/vault-abi.js';
export * from './ethereum/vault.js';
export * from './ethereum/rpc.js';
export * from './ethereum/watcher.js';
export * from './bitcoin/index.js';
export * from './recently.js';
export { login } from './sources.js';
export * as solana from './solana/index.js';
