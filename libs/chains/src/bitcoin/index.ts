/** Bitcoin: what its nodes are asked, the headers and blocks that prove it, the scripts that hold the money, and the batches that pay it out. */
export * from './address.js';
export * from './batch.js';
export {
  checkInclusion,
  parseBlock,
  parseHeader,
  parseTx,
  proveInclusion,
  rootOf,
  type Header,
  type InclusionProof,
  type ParsedBlock,
  type Tx,
} from './block.js';
export * from './deposit-request.js';
export * from './deposit-terms.js';
export { hexOf } from './bytes.js';
export * from './errors.js';
export * from './finality.js';
export * from './header-table.js';
export * from './headers.js';
export { publicKeyOf, secretIn } from './keys.js';
export * from './memo.js';
export { MAX_NAMES_BYTES, namesIn, namesScript } from './names.js';
export * from './network.js';
export * from './proposal.js';
export * from './recovery.js';
export * from './refund.js';
export * from './registration.js';
export * from './rpc.js';
export * from './signing.js';
export * from './sweep-cost.js';
export * from './vault-script.js';
export * from './watcher.js';
export { PERIOD } from './work.js';
