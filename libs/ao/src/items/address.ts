/** Addresses of keys. Apart from what signs and checks: threads that only read items load nothing else. */
import { hash } from 'node:crypto';
import { keccak_256 } from '@noble/hashes/sha3.js';
import type { SignatureType } from './layout.js';
import { Lru } from './lru.js';

/** Addresses of keys seen lately: a hash or two each, and every item names its key. */
const addresses = new Lru<string>(10_000);

/** Canonical AO address of a key: EIP-55 for Ethereum keys, base64url(sha256(key)) for the others. */
export function addressOfOwner(type: SignatureType, owner: Uint8Array): string {
  const key = Buffer.from(owner.buffer, owner.byteOffset, owner.byteLength).toString('latin1');
  return addresses.of(type === 3 ? `3${key}` : key, () =>
    type === 3 ? ethereumAddress(owner) : hash('sha256', owner, 'base64url'),
  );
}

/** EIP-55: a digit above 9 is a capital where the hash of the address has a digit above 7. */
function ethereumAddress(owner: Uint8Array): string {
  const digits = Buffer.from(keccak_256(owner.subarray(1)).subarray(12)).toString('hex');
  const marks = Buffer.from(keccak_256(Buffer.from(digits))).toString('hex');
  const written = Array.from(digits, (digit, i) => (parseInt(marks[i] ?? '0', 16) > 7 ? digit.toUpperCase() : digit));
  return `0x${written.join('')}`;
}
