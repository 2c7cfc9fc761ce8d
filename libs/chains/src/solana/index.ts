/** Solana: deposits and releases of vaults that an SPL multisig holds. Reached as `solana`, for its nouns are those of the other chains too. */
export * from './build.js';
export * from './custody.js';
export * from './deposit.js';
export * from './memo.js';
export * from './mints.js';
export * from './nonce.js';
export { isNative, memoInstruction, NATIVE, TOKEN, TOKEN_2022, type VaultAccount } from './programs.js';
export * from './proposal.js';
export * from './recipient.js';
export * from './release.js';
export {
  MAX_ACCOUNTS,
  PAGE,
  SolanaPool,
  type ChainAccount,
  type CommitmentStatus,
  type Listed,
  type SolanaPoolOptions,
} from './rpc.js';
export * from './signatures.js';
export * from './watcher.js';
