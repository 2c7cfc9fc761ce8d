/** AO as Isthmus carries it: items, scheduler, compute, messenger. */
export * from './compute/compute-unit.js';
export * from './compute/error.js';
export * from './compute/full-replay.js';
export { MEMORY_BUDGET_BYTES, type HotStatus } from './compute/hot-processes.js';
export * from './compute/fetch-bounded.js';
export * from './compute/image.js';
export * from './compute/lua/lua-vm.js';
export { FORMATS } from './compute/machines.js';
export { CheckpointStore, hashOf, type Checkpoint } from './compute/checkpoint-store.js';
export { LEASE_MS } from './compute/leases.js';
export { environmentOf, messageOf } from './compute/message.js';
export * from './compute/passing-store.js';
export * from './compute/replica.js';
export type * from './compute/result-sink.js';
export * from './compute/rerun.js';
export type { Outcome } from './compute/packed.js';
export * from './compute/worker-pool.js';
export * from './embedded-engine.js';
export * from './engine.js';
export * from './core/answer-signature.js';
export * from './core/http-message.js';
export {
  checkDigest,
  contentDigest,
  HttpSignatureError,
  keyIdOf,
  verifyRequest,
  type Fields,
  type HttpSignatureErrorCode,
  type Signature,
  type SignedAnswer,
  type SignedRequest,
} from './core/http-signature.js';
export * from './core/receipt.js';
export * from './items/index.js';
export * from './key-file.js';
export { TickCheck } from './messenger/cron.js';
export * from './messenger/dead-letters.js';
export { OF_THE_GATEWAY } from './messenger/pruning.js';
export * from './messenger/messenger.js';
export * from './messenger/monitors.js';
export * from './pipeline.js';
export * from './remote/compute-units.js';
export * from './remote/config.js';
export * from './remote/core-network.js';
export * from './remote/elsewhere.module.js';
export * from './remote/isthmus-network.js';
export * from './remote/legacy-network.js';
export * from './remote/network-at.js';
export * from './remote/remote-engine.js';
export * from './scheduler/assignment.js';
export * from './scheduler/scheduler.js';
export * from './stored-slots.js';
export * from './state/patch.js';
export * from './state/public-state.js';
export * from './tail/index.js';
export type * from './types.js';
export * from './steps.js';
export { clientOf } from './units/client.js';
export { describeError, UnitError, UnitErrors } from './units/errors.js';
export { answerDocument, ARWEAVE_TYPES, DocumentError, requestOfUrl } from './units/graphql-answer.js';
export type { DocumentBounds } from './units/graphql-cost.js';
export { Shares } from './units/shares.js';
export { bodyReader, type BodyOptions, type BodyRefusal } from './units/raw-body.js';
export { AoUnitsModule, type AoUnitsOptions } from './units/units.module.js';
