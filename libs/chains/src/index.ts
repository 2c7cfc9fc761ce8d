/** The chains: each behind the same few notions (deposits, releases, finality). */
export * from './ethereum/vault-abi.js';
export * from './ethereum/vault.js';
export * from './ethereum/rpc.js';
export * from './ethereum/watcher.js';
export { PAGE, SolanaPool, type ChainAccount, type Listed, type SolanaPoolOptions } from './solana/rpc.js';
export {
  depositInstructions,
  depositTransaction,
  payLink,
  type DepositRequest,
  type DepositVault,
} from './solana/build.js';
export { TransactionUnclear, eventsOf as solanaEventsOf, type Unclaimed, type VaultEvent } from './solana/deposit.js';
export { NATIVE, TOKEN, TOKEN_2022, isNative, type VaultAccount } from './solana/programs.js';
export * from './solana/watcher.js';
export * from './bitcoin/index.js';
export * from './solana/leases.js';
export { judgeMint, type MintRefusal, type MintVerdict } from './solana/mints.js';
export { judgeRecipient, type RecipientStanding } from './solana/recipient.js';
export { releaseMemo, readReleaseMemo, type ReleaseName } from './solana/memo.js';
export * from './solana/release.js';
export * from './solana/signatures.js';
