/** Settlement: everything of AO on Arweave, in a form from which the whole bridge can be rebuilt. */
export * from './format/index.js';
export * from './reader/index.js';
