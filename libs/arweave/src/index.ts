/** Settlement: everything of AO on Arweave, in a form from which the whole bridge can be rebuilt. */
export * from './client/arweave-client.js';
export * from './client/error.js';
export * from './client/transaction.js';
export * from './client/wallet.js';
export * from './format/index.js';
export * from './posting/base-layer.js';
export * from './posting/bundling-service.js';
export type * from './posting/poster.js';
export * from './reader/index.js';
export type * from './replay/messages.js';
export { BUNDLE_STATES, type BundleState } from './settler/bundle-state.js';
export * from './settler/error.js';
export type { FundsReading } from './settler/funds.js';
export type { Backlog } from './settler/sealer.js';
export * from './settler/settlement-store.js';
export * from './settler/settler.js';
export * from './settler/steps.js';
export * from './state/canonical.js';
