/** The bridge's rules: what a deposit, a withdrawal, an attestation and a release are. Imports no framework and does no I/O. */
export * from './address.js';
export * from './amount.js';
export * from './asset.js';
export * from './attestation.js';
export * from './base58.js';
export * from './conservation.js';
export * from './decision.js';
export * from './errors.js';
export * from './event.js';
export * from './home-chain.js';
export * from './ids.js';
export * from './proposal.js';
export * from './release.js';
export * from './solana.js';
export * from './tags.js';
export * from './transfer.js';
export * from './view.js';
