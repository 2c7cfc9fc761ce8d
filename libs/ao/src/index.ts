/** AO as Isthmus carries it: items, scheduler, compute, messenger. */
export * from './compute/compute-unit.js';
export * from './compute/fetch-bounded.js';
export * from './compute/image.js';
export * from './compute/lua/lua-vm.js';
export * from './compute/replica.js';
export type * from './compute/result-sink.js';
export * from './compute/worker-pool.js';
export * from './embedded-engine.js';
export * from './engine.js';
export * from './items/index.js';
export * from './messenger/messenger.js';
export * from './pipeline.js';
export * from './scheduler/assignment.js';
export * from './scheduler/scheduler.js';
export type * from './types.js';
export { UnitError, UnitErrors } from './units/errors.js';
export { AoUnitsModule, type AoUnitsOptions } from './units/units.module.js';
