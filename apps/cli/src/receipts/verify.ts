/** `isthmus verify`: checks a kept receipt against published keys, offline, and says in plain words what was signed by whom, when. */
import fs from 'node:fs';
import path from 'node:path';
import {
  fetchBounded,
  HttpSignatureError,
  isKeyId,
  keyIdOf,
  keysOf,
  parseHttpMessage,
  signerOfFile,
  verifyReceipt,
  type HttpMessage,
  type Receipt,
  type ReceiptKey,
} from '@isthmus/ao';
import { stateFolder } from '@isthmus/store';
import { plain } from '../ao/text.js';
import { readBounded } from '../files.js';
import { CommandError } from '../said.js';

/** Exit code for what could not be checked at all; 1 is for what was, and is not good. */
const NOT_CHECKED = 2;
const MAX_RECEIPT = 16 * 1024 * 1024;
const MAX_KEYS_BYTES = 64 * 1024;
const DIRECTORY = '/.well-known/http-message-signatures-directory';

export interface VerifyOptions {
  key?: string;
  json?: boolean;
}

/** @throws CommandError with exit code 1 when the receipt is not good, 2 when it could not be checked */
export async function verify(file: string, { key, json }: VerifyOptions): Promise<void> {
  const raw = readBounded(file, MAX_RECEIPT, NOT_CHECKED);
  const keys = await trustedKeys(key);
  const { message, receipt } = check(raw, keys);
  console.log(json ? JSON.stringify(asJson(message, receipt)) : inWords(message, receipt));
}

function check(raw: Buffer, keys: readonly ReceiptKey[]): { message: HttpMessage; receipt: Receipt } {
  try {
    const message = parseHttpMessage(raw);
    return { message, receipt: verifyReceipt(message, keys) };
  } catch (error) {
    if (!(error instanceof HttpSignatureError)) throw error;
    throw new CommandError(`NOT GOOD (${error.code}): ${plain(error.message)}`);
  }
}

/** Whose receipts are taken: a key, a published set in a file or at an address, or the local stack's own. */
async function trustedKeys(named: string | undefined): Promise<ReceiptKey[]> {
  if (named === undefined) return [ownKey()];
  if (isKeyId(named)) return [{ keyId: named, until: null }];
  const text = /^https?:\/\//.test(named) ? await fetched(named) : readBounded(named, MAX_KEYS_BYTES, NOT_CHECKED);
  try {
    const set: unknown = JSON.parse(text.toString('utf8'));
    return keysOf(typeof set === 'object' && set !== null && 'kty' in set ? { keys: [set] } : set);
  } catch (error) {
    const why = error instanceof HttpSignatureError ? ` ${error.message}` : '';
    throw new CommandError(`${named} is no set of published keys (JWKS).${why}`, NOT_CHECKED);
  }
}

function ownKey(): ReceiptKey {
  const file = path.join(stateFolder(), 'keys', 'receipt.key');
  if (!fs.existsSync(file))
    throw new CommandError('Whose receipt is it? Name the key, or the published keys, with --key.', NOT_CHECKED);
  return { keyId: keyIdOf(signerOfFile(file)), until: null };
}

async function fetched(url: string): Promise<Buffer> {
  const at = new URL(url);
  if (at.pathname === '/') at.pathname = DIRECTORY;
  const headers = { accept: 'application/json' };
  const { status, body } = await fetchBounded(at.href, MAX_KEYS_BYTES, { headers }).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandError(`${at.origin} does not answer with its keys (${why}): is it running?`, NOT_CHECKED);
  });
  if (status === 200) return body;
  throw new CommandError(`${at.href} answered HTTP ${status} instead of its keys.`, NOT_CHECKED);
}

function asJson({ status, body }: HttpMessage, { keyId, createdAt, covers, place }: Receipt): object {
  const signed = new Date(createdAt).toISOString();
  return { good: true, key: keyId, signed, place, status, covers, bytes: body.length };
}

function inWords({ status, body }: HttpMessage, { keyId, createdAt, fields, place }: Receipt): string {
  const what = `${fields['content-type'] ?? ''}, ${body.length} bytes, dated ${fields['date'] ?? ''}`;
  return [
    `good: signed by ${keyId}`,
    `      at ${new Date(createdAt).toISOString()}`,
    `of:   ${place === null ? 'what was asked is not signed' : plain(place)}`,
    `says: status ${status}, ${plain(what)}`,
    ...aboutTransfer(body).map((line) => `      ${plain(line)}`),
  ].join('\n');
}

/** What a transfer's answer says of it, in a few words; nothing for other answers. */
function aboutTransfer(body: Buffer): string[] {
  let said: unknown;
  try {
    said = JSON.parse(body.toString('utf8'));
  } catch {
    return [];
  }
  if (typeof said !== 'object' || said === null) return [];
  const { id, direction, state, asset, amount, sender, recipient } = said as Record<string, unknown>;
  if (typeof id !== 'string' || typeof direction !== 'string') return [];
  return [
    `${direction} ${id} is ${String(state)}`,
    `${String(amount)} of ${String(asset)} from ${String(sender)} to ${String(recipient)}`,
  ];
}
