/** The auditor: what the bridge owes against what it has, traced deposit by deposit and release by release, with nothing of the gateway's own books. */
export * from './auditor.js';
export type { AssetLine } from './domain/asset-line.js';
export * from './domain/books.js';
export * from './domain/error.js';
export type * from './domain/facts.js';
export * from './domain/findings.js';
export * from './domain/report.js';
export type * from './chain/open.js';
export * from './process/process-reader.js';
export * from './process/settled-network.js';
