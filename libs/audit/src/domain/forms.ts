/** Ids, references and addresses as docs/protocol.md sections 1 and 3 write them, read here by the auditor's own code. */
import { getAddress, isAddress, keccak256, stringToHex, zeroAddress } from 'viem';
import { AuditError } from './error.js';
import type { Hex, Mint } from './facts.js';

export const depositIdOf = (reference: string): Hex => keccak256(stringToHex(`isthmus/deposit/1\n${reference}`));
export const withdrawalIdOf = (process: string, number: bigint): Hex =>
  keccak256(stringToHex(`isthmus/withdrawal/1\n${process}\n${number}`));

/** The AO address that bytes in a deposit name, or null when they are nobody's. */
export function recipientOf(bytes: Hex): string | null {
  const raw = Buffer.from(bytes.slice(2), 'hex');
  if (raw.length === 32) return raw.toString('base64url');
  const address = raw.length === 20 ? getAddress(bytes) : zeroAddress;
  return address === zeroAddress ? null : address;
}

/** The bytes of an AO address in its one form; null for what is none. */
export function recipientBytes(text: string): Buffer | null {
  if (isAddress(text, { strict: true }) && getAddress(text) === text && text !== zeroAddress)
    return Buffer.from(text.slice(2), 'hex');
  const raw = Buffer.from(text, 'base64url');
  return text.length === 43 && raw.length === 32 && raw.toString('base64url') === text ? raw : null;
}

export const tagsOf = (bytes: Hex): string => (bytes === '0x' ? '-' : bytes.slice(2).toLowerCase());

export const processOf = (bytes32: Hex): string => Buffer.from(bytes32.slice(2), 'hex').toString('base64url');

const MAX_TAGS = 16;
const MAX_VALUE = 1024;
const NAME = /^X-[A-Za-z0-9-]{1,61}$/;

/** `X-` tags in a deposit, or null when they break the rules: then the money comes without them. */
export function forwardedTags(hex: string): Map<string, string> | null {
  const tags = new Map<string, string>();
  if (hex === '-') return tags;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(hex, 'hex'));
  } catch {
    return null;
  }
  for (const line of text.split('\n')) {
    const cut = line.indexOf('=');
    const [name, value] = [line.slice(0, Math.max(cut, 0)), line.slice(cut + 1)];
    const size = Buffer.byteLength(value);
    const isPrintable = !Array.from(value).some((c) => c < ' ' || c === '\u007f');
    if (!NAME.test(name) || tags.has(name) || size < 1 || size > MAX_VALUE || !isPrintable) return null;
    tags.set(name, value);
  }
  return tags.size > MAX_TAGS ? null : tags;
}

/** Whether the recipient was told of this mint, and nothing else. */
export function isNoticeOf({ notice, id, recipient, amount, reference, sender, tags }: Mint): boolean {
  if (!notice) return false;
  const said = new Map([...notice].filter(([name]) => name.startsWith('X-') || name === 'Tags-Error'));
  const forwarded = forwardedTags(tags) ?? new Map([['Tags-Error', 'malformed']]);
  return (
    notice.get('Target') === recipient &&
    notice.get('Quantity') === String(amount) &&
    notice.get('Sender') === sender &&
    notice.get('Deposit-Id') === id &&
    notice.get('Deposit-Reference') === reference &&
    said.size === forwarded.size &&
    [...forwarded].every(([name, value]) => said.get(name) === value)
  );
}

const AMOUNT = /^(0|[1-9][0-9]{0,38})$/;

/** @throws AuditError `malformed` */
export function amountOf(text: unknown): bigint {
  if (typeof text === 'string' && AMOUNT.test(text)) return BigInt(text);
  throw new AuditError('malformed', `"${String(text).slice(0, 60)}" is no amount.`);
}
