/** Bitcoin addresses as output scripts. Which texts are addresses is the bridge's rule alone: each one a withdrawal may name is payable. */
import {
  readBitcoinAddress,
  writeBitcoinAddress,
  type BitcoinAddressKind,
  type ReadBitcoinAddress,
} from '@isthmus/bridge';
import { address as codec } from 'bitcoinjs-lib';
import { BitcoinError } from './errors.js';
import { NETWORKS, type BitcoinNetwork } from './network.js';

export type AddressKind = BitcoinAddressKind;

export interface BitcoinAddress extends ReadBitcoinAddress {
  /** Output script that pays it. */
  script: Uint8Array;
}

const SCRIPTS: { readonly [K in AddressKind]: { head: readonly number[]; length: number; tail: readonly number[] } } = {
  p2pkh: { head: [0x76, 0xa9, 20], length: 20, tail: [0x88, 0xac] },
  p2sh: { head: [0xa9, 20], length: 20, tail: [0x87] },
  p2wpkh: { head: [0x00, 20], length: 20, tail: [] },
  p2wsh: { head: [0x00, 32], length: 32, tail: [] },
  p2tr: { head: [0x51, 32], length: 32, tail: [] },
};
/** Texts of the form of an address, right or wrong. */
const BECH32 = /^(?:bc|tb|bcrt)1[02-9ac-hj-np-z]{11,87}$/;
const BASE58 = /^[1-9A-HJ-NP-Za-km-z]{25,36}$/;
const KINDS = Object.keys(SCRIPTS) as AddressKind[];

/** Reads an address of a network. @throws BitcoinError `bad-address` for another network's, kind or spelling, or a taproot key that nobody can have */
export function parseAddress(text: unknown, network: BitcoinNetwork): BitcoinAddress {
  const read = readBitcoinAddress(text, network);
  if (!read) throw new BitcoinError('bad-address', whyNone(text, network));
  return { ...read, script: addressScript(read.kind, read.hash) };
}

/** What to change of a text that is no address of the network. */
function whyNone(text: unknown, network: BitcoinNetwork): string {
  const form = `Write a ${network.name} address as a wallet shows it: one that begins with ${network.bech32}1 in small letters, or an older one.`;
  const other = Object.values(NETWORKS).find((n) => readBitcoinAddress(text, n));
  if (other) return `This is an address of ${other.name}. ${form}`;
  if (typeof text === 'string' && isMistyped(text))
    return 'The checksum of this address is wrong: a character of it is mistyped or missing. Copy it again from the wallet.';
  return form;
}

/** Whether it looks like an address and its checksum does not hold. */
function isMistyped(text: string): boolean {
  const decode = BECH32.test(text) ? codec.fromBech32 : BASE58.test(text) ? codec.fromBase58Check : null;
  try {
    decode?.(text);
    return false;
  } catch {
    return decode !== null;
  }
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

export const encodeAddress = (address: ReadBitcoinAddress, network: BitcoinNetwork): string =>
  writeBitcoinAddress(address, network);

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
