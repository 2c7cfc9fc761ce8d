/** AO as Isthmus carries it: items, scheduler, compute, messenger, and the units' HTTP. */
export * from './items/index.js';
export * from './compute/lua/lua-vm.js';
export type * from './types.js';
