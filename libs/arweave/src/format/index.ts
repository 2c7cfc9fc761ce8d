/** The form in which schedules, messages and checkpoints are on Arweave (protocol, section 6). Pure: no I/O. */
export * from './asset.js';
export * from './bundle.js';
export * from './checkpoint.js';
export * from './error.js';
export * from './results.js';
export * from './seal.js';
export * from './transaction.js';
