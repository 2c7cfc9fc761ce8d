/**
 * Bitcoin addresses: the five standard kinds, each in its one spelling, of one network. Other witness versions and lengths are refused, and so is a
 * taproot key that is not on the curve: nobody could ever spend what is paid there. contracts/ao/token.lua has the same rule, so that what it burns
 * for can be paid.
 */
import { address as codec } from 'bitcoinjs-lib';
import { isXOnlyPoint } from 'tiny-secp256k1';

export type BitcoinAddressKind = 'p2pkh' | 'p2sh' | 'p2wpkh' | 'p2wsh' | 'p2tr';

/** What an address names: the hash or key in it, 20 or 32 bytes. */
export interface ReadBitcoinAddress {
  kind: BitcoinAddressKind;
  hash: Uint8Array;
}

/** What tells the addresses of a network. */
export interface BitcoinPrefixes {
  /** Before the `1` of a witness address. */
  bech32: string;
  /** First bytes of the older ones: to a key's hash, and to a script's. */
  pubKeyHash: number;
  scriptHash: number;
}

const TEST = { bech32: 'tb', pubKeyHash: 0x6f, scriptHash: 0xc4 } as const;
/** By the network's CAIP-2 name: main network, testnet 3 and 4, signet, regtest. From Bitcoin Core's src/kernel/chainparams.cpp. */
export const BITCOIN_PREFIXES: Readonly<Record<string, BitcoinPrefixes>> = {
  'bip122:000000000019d6689c085ae165831e93': { bech32: 'bc', pubKeyHash: 0x00, scriptHash: 0x05 },
  'bip122:000000000933ea01ad0ee984209779ba': TEST,
  'bip122:00000000da84f2bafbbc53dee25a72ae': TEST,
  'bip122:00000008819873e925422c1ff0f99f7c': TEST,
  'bip122:0f9188f13cb7b2c71f2a335e3a4fc328': { ...TEST, bech32: 'bcrt' },
};

/** Longest address there is: 62 characters on the main network, 64 on regtest. */
const MAX_LENGTH = 64;

/** Reads an address of a network; null for anything else, another network's and another spelling too. */
export function readBitcoinAddress(text: unknown, prefixes: BitcoinPrefixes): ReadBitcoinAddress | null {
  if (typeof text !== 'string' || text.length > MAX_LENGTH) return null;
  const found = witness(text, prefixes) ?? older(text, prefixes);
  return found && writeBitcoinAddress(found, prefixes) === text ? found : null;
}

export function writeBitcoinAddress({ kind, hash }: ReadBitcoinAddress, prefixes: BitcoinPrefixes): string {
  if (kind === 'p2pkh') return codec.toBase58Check(hash, prefixes.pubKeyHash);
  if (kind === 'p2sh') return codec.toBase58Check(hash, prefixes.scriptHash);
  return codec.toBech32(hash, kind === 'p2tr' ? 1 : 0, prefixes.bech32);
}

function witness(text: string, { bech32 }: BitcoinPrefixes): ReadBitcoinAddress | null {
  try {
    const { version, prefix, data: hash } = codec.fromBech32(text);
    if (prefix !== bech32) return null;
    if (version === 0 && hash.length === 20) return { kind: 'p2wpkh', hash };
    if (version === 0 && hash.length === 32) return { kind: 'p2wsh', hash };
    return version === 1 && isXOnlyPoint(hash) ? { kind: 'p2tr', hash } : null;
  } catch {
    return null; // not of this form
  }
}

function older(text: string, { pubKeyHash, scriptHash }: BitcoinPrefixes): ReadBitcoinAddress | null {
  try {
    const { version, hash } = codec.fromBase58Check(text);
    if (version === pubKeyHash) return { kind: 'p2pkh', hash };
    return version === scriptHash ? { kind: 'p2sh', hash } : null;
  } catch {
    return null; // not of this form
  }
}
