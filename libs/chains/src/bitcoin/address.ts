/** Bitcoin addresses: the five standard kinds, each in its one spelling, of one network. What another network would pay is refused (X1). */
import { address as codec } from 'bitcoinjs-lib';
import { isXOnlyPoint } from 'tiny-secp256k1';
import { BitcoinError } from './errors.js';
import type { BitcoinNetwork } from './network.js';

export type AddressKind = 'p2pkh' | 'p2sh' | 'p2wpkh' | 'p2wsh' | 'p2tr';

export interface BitcoinAddress {
  kind: AddressKind;
  /** Hash or key in it: 20 or 32 bytes. */
  hash: Uint8Array;
  /** Output script that pays it. */
  script: Uint8Array;
}

/** Longest address there is: 62 characters on mainnet, 64 on regtest. */
const MAX_LENGTH = 64;

const SCRIPTS: { readonly [K in AddressKind]: { head: readonly number[]; length: number; tail: readonly number[] } } = {
  p2pkh: { head: [0x76, 0xa9, 20], length: 20, tail: [0x88, 0xac] },
  p2sh: { head: [0xa9, 20], length: 20, tail: [0x87] },
  p2wpkh: { head: [0x00, 20], length: 20, tail: [] },
  p2wsh: { head: [0x00, 32], length: 32, tail: [] },
  p2tr: { head: [0x51, 32], length: 32, tail: [] },
};
const KINDS = Object.keys(SCRIPTS) as AddressKind[];

/** Reads an address of a network. @throws BitcoinError `bad-address` for another network's, another kind, another spelling, or a taproot key nobody can have */
export function parseAddress(text: unknown, network: BitcoinNetwork): BitcoinAddress {
  const found =
    typeof text === 'string' && text.length <= MAX_LENGTH ? (witness(text, network) ?? older(text, network)) : null;
  if (!found || encodeAddress(found, network) !== text)
    throw new BitcoinError(
      'bad-address',
      `Write a ${network.name} address as a wallet shows it: one that begins with ${network.bech32}1 in small letters, or an older one.`,
    );
  if (found.kind === 'p2tr' && !isXOnlyPoint(found.hash))
    throw new BitcoinError(
      'bad-address',
      'The key in this taproot address is not on the curve: nobody could spend it.',
    );
  return found;
}

/** Whether it is an address of the network. */
export function isBitcoinAddress(text: unknown, network: BitcoinNetwork): text is string {
  try {
    parseAddress(text, network);
    return true;
  } catch {
    return false;
  }
}

export function encodeAddress({ kind, hash }: Pick<BitcoinAddress, 'kind' | 'hash'>, network: BitcoinNetwork): string {
  if (kind === 'p2pkh') return codec.toBase58Check(hash, network.pubKeyHash);
  if (kind === 'p2sh') return codec.toBase58Check(hash, network.scriptHash);
  return codec.toBech32(hash, kind === 'p2tr' ? 1 : 0, network.bech32);
}

export function addressScript(kind: AddressKind, hash: Uint8Array): Uint8Array {
  const { head, tail } = SCRIPTS[kind];
  return Buffer.concat([Buffer.from(head), hash, Buffer.from(tail)]);
}

/** What an output script pays; null when it is none of the standard kinds. */
export function addressOfScript(script: Uint8Array): BitcoinAddress | null {
  for (const kind of KINDS) {
    const { head, length, tail } = SCRIPTS[kind];
    if (script.length !== head.length + length + tail.length) continue;
    const hash = script.subarray(head.length, head.length + length);
    if (Buffer.compare(addressScript(kind, hash), script) === 0) return { kind, hash, script };
  }
  return null;
}

function witness(text: string, network: BitcoinNetwork): BitcoinAddress | null {
  try {
    const { version, prefix, data } = codec.fromBech32(text);
    if (prefix !== network.bech32) return null;
    if (version === 0 && data.length === 20) return made('p2wpkh', data);
    if (version === 0 && data.length === 32) return made('p2wsh', data);
    return version === 1 && data.length === 32 ? made('p2tr', data) : null;
  } catch {
    return null; // not of this form
  }
}

function older(text: string, network: BitcoinNetwork): BitcoinAddress | null {
  try {
    const { version, hash } = codec.fromBase58Check(text);
    if (version === network.pubKeyHash) return made('p2pkh', hash);
    return version === network.scriptHash ? made('p2sh', hash) : null;
  } catch {
    return null; // not of this form
  }
}

const made = (kind: AddressKind, hash: Uint8Array): BitcoinAddress => ({
  kind,
  hash,
  script: addressScript(kind, hash),
});
