/**
 * Home chains: the families of chains assets come from, and what their references, transactions and addresses look like, each thing in one
 * spelling. contracts/ao/token.lua has the same rules.
 */
import type { Hex } from 'viem';
import { isEthereumAddress } from './address.js';
import { isBase58 } from './base58.js';
import { BITCOIN_PREFIXES, readBitcoinAddress } from './bitcoin-address.js';
import { BridgeError } from './errors.js';
import { isSolanaAddress, isSolanaRecipient } from './solana.js';

/** CAIP-2 namespaces of the chains there are vaults on. */
export type ChainFamily = 'eip155' | 'bip122' | 'solana';

/** Where a deposit is found on its chain; `chain` is the CAIP-2 name. */
export type DepositPlace = EthereumPlace | BitcoinPlace | SolanaPlace;

export interface EthereumPlace {
  chain: string;
  vault: Hex;
  /** The vault's own sequence number, from 1. */
  sequence: bigint;
}

export interface BitcoinPlace {
  chain: string;
  txid: string;
  vout: number;
}

export interface SolanaPlace {
  chain: string;
  signature: string;
  /** `<instruction>`, or `<instruction>.<inner instruction>`; both count from 0. */
  path: string;
}

/** Sequence and withdrawal numbers are 64-bit unsigned in the vault; here they stop at 2^63 - 1, which fits everywhere (X3). */
export const MAX_NUMBER = 2n ** 63n - 1n;

/** What is known of a family. Texts are whole; `chain` is its CAIP-2 name. */
interface Family {
  chain: RegExp;
  reference: RegExp;
  /** The place a reference's match names, if it is one. */
  place(chain: string, parts: readonly string[]): DepositPlace | null;
  isTx(text: string): boolean;
  isSender(text: string, chain: string): boolean;
  isRecipient(text: string, chain: string): boolean;
  /** What a recipient is, for people. */
  recipient: string;
  /** Where no contract knows the guardians and refuses a second payment, releases are proposed, and guardians have keys on the chain. */
  proposes: { isKey(text: string): boolean; mostGuardians: number } | null;
}

const MAX_OUTPUTS = 2 ** 32;
const MAX_INSTRUCTIONS = 256;
const MAX_INNER = 65_536;

const families: Readonly<Record<ChainFamily, Family>> = {
  eip155: {
    chain: /^eip155:[1-9][0-9]{0,31}$/,
    reference: /^(0x[0-9a-fA-F]{40}):([1-9][0-9]{0,18})$/,
    place: (chain, [vault = '', digits = '0']) => {
      const sequence = BigInt(digits);
      return isEthereumAddress(vault) && sequence <= MAX_NUMBER ? { chain, vault, sequence } : null;
    },
    isTx: (text) => /^0x[0-9a-f]{64}$/.test(text),
    isSender: isEthereumAddress,
    isRecipient: isEthereumAddress,
    recipient: 'an Ethereum address with its EIP-55 checksum',
    proposes: null,
  },
  bip122: {
    chain: /^bip122:[0-9a-f]{32}$/,
    reference: /^([0-9a-f]{64}):(0|[1-9][0-9]{0,9})$/,
    place: (chain, [txid = '', digits = '']) => {
      const vout = Number(digits);
      return vout < MAX_OUTPUTS ? { chain, txid, vout } : null;
    },
    isTx: (text) => /^[0-9a-f]{64}$/.test(text),
    // Coins come from whoever could spend them: of some that is no address.
    isSender: (text, chain) => text === '-' || isBitcoinAddress(text, chain),
    isRecipient: (text, chain) => isBitcoinAddress(text, chain),
    recipient: 'a Bitcoin address of this network: P2PKH, P2SH, P2WPKH, P2WSH or P2TR',
    // Compressed; as many as a script takes with small numbers.
    proposes: { isKey: (text) => /^0[23][0-9a-f]{64}$/.test(text), mostGuardians: 15 },
  },
  solana: {
    chain: /^solana:[1-9A-HJ-NP-Za-km-z]{32}$/,
    reference: /^([1-9A-HJ-NP-Za-km-z]{64,88}):((0|[1-9][0-9]{0,2})(?:\.(0|[1-9][0-9]{0,4}))?)$/,
    place: (chain, [signature = '', path = '', outer = '', inner = '0']) =>
      isBase58(signature, 64) && Number(outer) < MAX_INSTRUCTIONS && Number(inner) < MAX_INNER
        ? { chain, signature, path }
        : null,
    isTx: (text) => isBase58(text, 64),
    isSender: isSolanaAddress,
    isRecipient: isSolanaRecipient,
    recipient: 'a Solana address, and no program or sysvar of the cluster',
    // As many as SPL's multisig takes.
    proposes: { isKey: isSolanaAddress, mostGuardians: 11 },
  },
};

/** @throws BridgeError `bad-reference` for a chain of no family there is */
export function familyOf(chain: string): ChainFamily {
  const family = chain.slice(0, Math.max(chain.indexOf(':'), 0)) as ChainFamily;
  if (Object.hasOwn(families, family) && families[family].chain.test(chain)) return family;
  throw new BridgeError(
    'bad-reference',
    'A home chain is named eip155:<id>, bip122:<genesis> or solana:<genesis> (CAIP-2).',
  );
}

/** Reads where a deposit is found. @throws BridgeError `bad-reference` */
export function parseDepositReference(reference: string): DepositPlace {
  const [namespace = '', name = '', ...rest] = reference.split(':');
  const chain = `${namespace}:${name}`;
  const family = families[familyOf(chain)];
  const [, ...parts] = family.reference.exec(rest.join(':')) ?? [];
  const place = parts.length > 0 ? family.place(chain, parts) : null;
  if (place) return place;
  throw new BridgeError(
    'bad-reference',
    'A deposit reference is <caip2>:<vault, checksummed>:<sequence from 1>, <caip2>:<txid>:<output> or <caip2>:<signature>:<instruction path>.',
  );
}

/** Writes where a deposit is found. @throws BridgeError `bad-reference` */
export function depositReference(place: DepositPlace): string {
  const reference = [place.chain, ...partsOf(place)].join(':');
  parseDepositReference(reference);
  return reference;
}

function partsOf(place: DepositPlace): (string | number | bigint)[] {
  if ('sequence' in place) return [place.vault, place.sequence];
  return 'vout' in place ? [place.txid, place.vout] : [place.signature, place.path];
}

/** Whether this names a transaction of the chain: 0x and 64 hex digits, 64 hex digits, or a signature in base58. */
export function isTransactionOf(chain: string, text: string): boolean {
  return families[familyOf(chain)].isTx(text);
}

/** Whether this names a transaction of any chain. */
export function isTransaction(text: string): boolean {
  return Object.values(families).some((family) => family.isTx(text));
}

/** Whether a deposit on the chain may come from this: an address, on Bitcoin also `-` for nobody who has one. */
export function isSenderOn(chain: string, text: string): boolean {
  return families[familyOf(chain)].isSender(text, chain);
}

/** Whether a withdrawal to the chain may go to this, in its one spelling. */
export function isRecipientOn(chain: string, text: string): boolean {
  return families[familyOf(chain)].isRecipient(text, chain);
}

/** Whether releases on the chain are proposed (docs/protocol.md, section 3), and not signed one by one for a contract. */
export function isProposing(chain: string): boolean {
  return families[familyOf(chain)].proposes !== null;
}

/** Whether a set's guardians have the keys the chain needs: one each, or none where a contract knows their addresses. */
export function areKeysOn(chain: string, set: { guardians: readonly string[]; keys: readonly string[] }): boolean {
  const { guardians, keys } = set;
  const { proposes } = families[familyOf(chain)];
  if (!proposes) return keys.length === 0;
  const enough = keys.length === guardians.length && keys.length <= proposes.mostGuardians;
  return enough && keys.every((key) => proposes.isKey(key));
}

/** What a recipient on the chain is, for people. */
export function recipientOn(chain: string): string {
  return families[familyOf(chain)].recipient;
}

/** Whether this is a standard address of the Bitcoin network. */
function isBitcoinAddress(text: string, chain: string): boolean {
  const prefixes = BITCOIN_PREFIXES[chain];
  return prefixes !== undefined && readBitcoinAddress(text, prefixes) !== null;
}
