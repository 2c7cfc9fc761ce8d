/** The local stack: a chain to develop against, and what is deployed on it. */
export * from './anvil.js';
