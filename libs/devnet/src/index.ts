/** The local stack: a chain to develop against, what is deployed on it, and the processes of Isthmus around it. */
export * from './accounts.js';
export * from './anvil.js';
export * from './arweave/index.js';
export * from './bitcoin/index.js';
export * from './deploy.js';
export * from './deploy-bitcoin.js';
export * from './deploy-solana.js';
export * from './local-bitcoin.js';
export * from './local-home.js';
export * from './receipt.js';
export * from './solana/index.js';
export * from './stack.js';
export * from './supervisor.js';
export * from './watchdog.js';
