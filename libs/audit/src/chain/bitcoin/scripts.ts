/** The vault's and depositors' output scripts, made anew from keys and terms as docs/bitcoin.md writes them; all in hexadecimal. */
import { createHash } from 'node:crypto';
import { address as addresses, opcodes, script as scripts } from 'bitcoinjs-lib';
import { isPointCompressed } from 'tiny-secp256k1';
import { forwardedTags, recipientBytes } from '../../domain/forms.js';
import type { Network } from './networks.js';

/** The guardians of a set. */
export interface KeySet {
  keys: readonly string[];
  threshold: number;
}

/** What a registered address says. */
export interface RegisteredAddress {
  script: string;
  recipient: string;
  /** As a mint has them: hexadecimal, `-` for none. */
  tags: string;
  refundAfter: number;
}

/** As docs/protocol.md section 3 bounds registrations and section 1 tags. */
const MAX_DATA_BYTES = 8192;
const MAX_TAG_BYTES = 2048;
const MAX_REFUND_AFTER = 65_535;
const KEY_HEX = /^0[23][0-9a-f]{64}$/;

/** Output script of a vault. */
export const vaultScript = (set: KeySet): string => witnessHash(scripts.compile(multisig(set)));

/** The address that a message's data registers with this set; null when it registers none. */
export function registeredAddress(
  data: Uint8Array,
  { network, process, set, leastRefund }: { network: Network; process: string; set: KeySet; leastRefund: number },
): RegisteredAddress | null {
  const terms = data.length > MAX_DATA_BYTES ? null : termsIn(data);
  if (!terms) return null;
  const { recipient, tags, refund, refundAfter } = terms;
  const [to, owner] = [recipientBytes(recipient), ownerOf(refund, network)];
  const text = Buffer.from(tags.map(({ name, value }) => `${name}=${value}`).join('\n'));
  const areTags =
    text.length <= MAX_TAG_BYTES && (tags.length === 0 || forwardedTags(text.toString('hex'))?.size === tags.length);
  const isTime = refundAfter >= Math.max(network.leastRefund, leastRefund) && refundAfter <= MAX_REFUND_AFTER;
  if (!to || !owner || !areTags || !isTime) return null;
  const said = Buffer.from(`isthmus/bitcoin-deposit/1\n${network.chain}\n${process}\n`);
  const commitment = sha256(Buffer.concat([said, Buffer.of(to.length), to, text]));
  const script = scripts.compile([
    commitment,
    opcodes.OP_DROP,
    opcodes.OP_IF,
    ...multisig(set),
    opcodes.OP_ELSE,
    refundAfter <= 16 ? small(refundAfter) : scripts.number.encode(refundAfter),
    opcodes.OP_CHECKSEQUENCEVERIFY,
    opcodes.OP_DROP,
    ...owner,
    opcodes.OP_ENDIF,
  ]);
  return { script: witnessHash(script), recipient, tags: tags.length === 0 ? '-' : text.toString('hex'), refundAfter };
}

interface Terms {
  recipient: string;
  tags: { name: string; value: string }[];
  refund: string;
  refundAfter: number;
}

/** The terms in exactly their form. */
function termsIn(data: Uint8Array): Terms | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data));
  } catch {
    return null; // nothing that anybody could have meant
  }
  if (!hasExactly(value, ['recipient', 'refund', 'refundAfter', 'tags'])) return null;
  const { recipient, tags, refund, refundAfter } = value;
  if (typeof recipient !== 'string' || typeof refund !== 'string' || !Number.isSafeInteger(refundAfter)) return null;
  if (!Array.isArray(tags) || !tags.every(isTag)) return null;
  return { recipient, tags, refund, refundAfter: refundAfter as number }; // a safe integer
}

function isTag(tag: unknown): tag is { name: string; value: string } {
  return hasExactly(tag, ['name', 'value']) && typeof tag['name'] === 'string' && typeof tag['value'] === 'string';
}

function hasExactly(value: unknown, names: readonly string[]): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.keys(value).toSorted().join() === names.join();
}

/** What only the depositor can answer: a key, or the hash of one. */
function ownerOf(text: string, network: Network): (number | Uint8Array)[] | null {
  if (/^[0-9a-f]{66}$/.test(text)) {
    const key = Buffer.from(text, 'hex');
    return isPointCompressed(key) ? [key, opcodes.OP_CHECKSIG] : null;
  }
  const hash = keyHashIn(text, network);
  return hash && [opcodes.OP_DUP, opcodes.OP_HASH160, hash, opcodes.OP_EQUALVERIFY, opcodes.OP_CHECKSIG];
}

/** Of an address of one key, in small letters where letters have two sizes. */
function keyHashIn(text: string, { bech32, keyHash }: Network): Uint8Array | null {
  try {
    if (text.startsWith(`${bech32}1`)) {
      const { version, prefix, data } = addresses.fromBech32(text);
      return version === 0 && prefix === bech32 && data.length === 20 && text === text.toLowerCase() ? data : null;
    }
    const { version, hash } = addresses.fromBase58Check(text);
    return version === keyHash ? hash : null;
  } catch {
    return null; // no address
  }
}

/** Keys in rising order. */
const multisig = ({ keys, threshold }: KeySet): (number | Uint8Array)[] => [
  small(threshold),
  ...keys.toSorted().map((key) => Buffer.from(key, 'hex')),
  small(keys.length),
  opcodes.OP_CHECKMULTISIG,
];

/** Whether keys and threshold make a vault. */
export const isKeySet = ({ keys, threshold }: KeySet): boolean =>
  keys.length >= 1 &&
  keys.length <= 15 &&
  keys.every((key) => KEY_HEX.test(key) && isPointCompressed(Buffer.from(key, 'hex'))) &&
  Number.isInteger(threshold) &&
  threshold >= 1 &&
  threshold <= keys.length;

const witnessHash = (script: Uint8Array): string => `0020${sha256(script).toString('hex')}`;
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const small = (n: number): number => opcodes.OP_1 + n - 1;
