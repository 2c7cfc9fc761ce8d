/**
 * The scripts that hold the money. The vault is M of N guardians. A deposit address is the same, and commits to who is credited; and once it has been
 * confirmed for so many blocks, the depositor alone can take the money back, needing nobody:
 *
 *     <commitment> DROP
 *     IF   <m> <key 1> … <key n> <n> CHECKMULTISIG
 *     ELSE <blocks> CHECKSEQUENCEVERIFY DROP <depositor's key> CHECKSIG
 *     ENDIF
 *
 * Where only an address of the depositor is known, the last line is `DUP HASH160 <hash> EQUALVERIFY CHECKSIG`. Both are paid through P2WSH.
 * An address follows from its terms alone: who knows them checks it offline.
 */
import { aoAddressToBytes, encodeTags, isArweaveAddress, type DepositTag } from '@isthmus/bridge';
import { opcodes, script as scripts } from 'bitcoinjs-lib';
import { isPointCompressed } from 'tiny-secp256k1';
import { addressScript, encodeAddress, parseAddress } from './address.js';
import { sha256 } from './bytes.js';
import { BitcoinError } from './errors.js';
import { chainOf, type BitcoinNetwork } from './network.js';

/** The guardians' keys on Bitcoin. */
export interface VaultKeys {
  /** Compressed, in rising order, all different. */
  keys: readonly Uint8Array[];
  threshold: number;
}

/** Who may take a deposit back. */
export type RefundOwner = { kind: 'key'; key: Uint8Array } | { kind: 'key-hash'; hash: Uint8Array };

/** All a deposit address follows from. */
export interface DepositTerms {
  network: BitcoinNetwork;
  vault: VaultKeys;
  /** The token process on AO. */
  process: string;
  /** Whom it credits. */
  recipient: string;
  tags: readonly DepositTag[];
  refund: RefundOwner;
  /** Confirmations after which the depositor may take it back. */
  refundAfter: number;
}

export interface VaultScript {
  address: string;
  /** Output script. */
  script: Uint8Array;
  /** What the output script is the hash of. */
  witnessScript: Uint8Array;
}

/** Numbers up to 16 are one opcode; so many keys stay far below the 3,600 bytes nodes relay. */
const MAX_KEYS = 15;
/** BIP 68 counts blocks in 16 bits. */
export const MAX_REFUND_AFTER = 65_535;
/** A day of blocks: guardians need time to credit and to sweep. On regtest less will do. */
const MIN_REFUND_AFTER = 144;

/** Guardians' keys in their one order. @throws BitcoinError `bad-terms` */
export function vaultKeys(keys: readonly Uint8Array[], threshold: number): VaultKeys {
  const sorted = keys.toSorted((a, b) => Buffer.compare(a, b));
  const good = sorted.every(
    (key, i) => isKey(key) && (i === 0 || Buffer.compare(sorted[i - 1] as Uint8Array, key) !== 0),
  );
  if (!good || sorted.length === 0 || sorted.length > MAX_KEYS)
    throw new BitcoinError('bad-terms', `A vault has 1 to ${MAX_KEYS} different compressed keys.`);
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > sorted.length)
    throw new BitcoinError('bad-terms', 'A threshold lies between 1 and the number of keys.');
  return { keys: sorted, threshold };
}

/** The vault itself: what change and swept deposits go to. */
export function vaultScript(vault: VaultKeys, network: BitcoinNetwork): VaultScript {
  return payTo(scripts.compile(multisig(vault)), network);
}

/** @throws BitcoinError `bad-terms`; BridgeError for a recipient, process or tags that break a rule */
export function depositScript(terms: DepositTerms): VaultScript {
  const { network, vault, refund, refundAfter } = terms;
  const least = network.name === 'regtest' ? 1 : MIN_REFUND_AFTER;
  if (!Number.isInteger(refundAfter) || refundAfter < least || refundAfter > MAX_REFUND_AFTER)
    throw new BitcoinError('bad-terms', `A refund is possible after ${least} to ${MAX_REFUND_AFTER} blocks.`);
  const witnessScript = scripts.compile([
    commitment(terms),
    opcodes.OP_DROP,
    opcodes.OP_IF,
    ...multisig(vault),
    opcodes.OP_ELSE,
    number(refundAfter),
    opcodes.OP_CHECKSEQUENCEVERIFY,
    opcodes.OP_DROP,
    ...ownerCheck(refund),
    opcodes.OP_ENDIF,
  ]);
  return payTo(witnessScript, network);
}

/** Whether an address is exactly the one of these terms: then it credits that recipient, and only that depositor can take it back. */
export function isDepositAddress(address: string, terms: DepositTerms): boolean {
  return depositScript(terms).address === address;
}

/** What an address commits to: network, process, recipient and tags. */
export function commitment({ network, process, recipient, tags }: DepositTerms): Buffer {
  if (!isArweaveAddress(process)) throw new BitcoinError('bad-terms', 'A process id has 43 characters of base64url.');
  const to = Buffer.from(aoAddressToBytes(recipient));
  return sha256(
    Buffer.concat([
      Buffer.from(`isthmus/bitcoin-deposit/1\n${chainOf(network)}\n${process}\n`),
      Buffer.of(to.length), // 20 or 32: where the recipient ends and the tags begin
      to,
      encodeTags(tags),
    ]),
  );
}

/** Who may take a deposit back: a compressed public key in hex, or an address of one key. @throws BitcoinError `bad-terms`, `bad-address` */
export function refundOwner(text: string, network: BitcoinNetwork): RefundOwner {
  if (HEX.test(text)) return refundKey(text);
  const { kind, hash } = parseAddress(text, network);
  if (kind === 'p2wpkh' || kind === 'p2pkh') return { kind: 'key-hash', hash };
  throw new BitcoinError('bad-terms', 'A refund goes to a public key, or to an address of one key (P2WPKH or P2PKH).');
}

/** Who has the secret of a compressed public key in hex. @throws BitcoinError `bad-terms` */
export function refundKey(text: string): RefundOwner {
  const key = /^[0-9a-f]{66}$/.test(text) ? Buffer.from(text, 'hex') : null;
  if (key && isKey(key)) return { kind: 'key', key };
  throw new BitcoinError(
    'bad-terms',
    'This is no refund key: write the compressed public key, 66 small hex digits that begin with 02 or 03, as "isthmus btc new-refund-key" prints it. Never the secret one: if this was one, make another.',
  );
}

/** The inverse of `refundOwner`. */
export function writeRefundOwner(owner: RefundOwner, network: BitcoinNetwork): string {
  if (owner.kind === 'key') return Buffer.from(owner.key).toString('hex');
  return encodeAddress({ kind: 'p2wpkh', hash: owner.hash }, network);
}

/** What is meant as a key: no address has as many hex digits and nothing else. */
const HEX = /^(?:0x)?[0-9a-fA-F]{40,}$/;
/** Most bytes of a guardian's signature: DER with two numbers of 33 bytes at most and a low s, and the flag. */
export const SIGNATURE_BYTES = 72;

/** Most weight of what spends an output by the guardians, beside the outpoint and sequence. */
export function guardianWitness({ witnessScript }: VaultScript, { threshold }: VaultKeys, deposit: boolean): number {
  const script = witnessScript.length;
  // Count, the empty element CHECKMULTISIG eats, signatures, the selector of a deposit, the script.
  return 1 + 1 + threshold * (1 + SIGNATURE_BYTES) + (deposit ? 2 : 0) + (script < 0xfd ? 1 : 3) + script;
}

function multisig({ keys, threshold }: VaultKeys): (number | Uint8Array)[] {
  return [small(threshold), ...keys, small(keys.length), opcodes.OP_CHECKMULTISIG];
}

function ownerCheck(owner: RefundOwner): (number | Uint8Array)[] {
  if (owner.kind === 'key') return [owner.key, opcodes.OP_CHECKSIG];
  return [opcodes.OP_DUP, opcodes.OP_HASH160, owner.hash, opcodes.OP_EQUALVERIFY, opcodes.OP_CHECKSIG];
}

function payTo(witnessScript: Uint8Array, network: BitcoinNetwork): VaultScript {
  const hash = sha256(witnessScript);
  return {
    address: encodeAddress({ kind: 'p2wsh', hash }, network),
    script: addressScript('p2wsh', hash),
    witnessScript,
  };
}

const small = (n: number): number => opcodes.OP_1 + n - 1;
/** As short as it can be written: nodes demand that. */
const number = (n: number): number | Uint8Array => (n <= 16 ? small(n) : scripts.number.encode(n));
const isKey = (key: Uint8Array): boolean => key.length === 33 && isPointCompressed(key);
