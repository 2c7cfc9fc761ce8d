/** Data items (ANS-104): the one form in which anything enters or leaves AO. */
export * from './bundle.js';
export { deepHash } from './deep-hash.js';
export * from './error.js';
export * from './item.js';
export { Lru } from './lru.js';
export { verifyItem } from './verifier.js';
export { addressOfOwner } from './address.js';
export { arweaveSigner, ed25519Signer, ethereumSigner } from './signers.js';
export { tagList, tagOf } from './tags.js';
