/** Reading what was settled, believing nobody: bundles in order, checked, and what is wrong named with its place. */
export * from './finding.js';
export { Follower, type LastSeal } from './follow.js';
export * from './reader.js';
export * from './source.js';
