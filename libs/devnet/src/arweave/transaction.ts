/** Transactions of format 2 as Arweave's nodes take them: every field in its one form, and signed by their owner. What they cost, and whether it is there, is the weave's to say. */
import { constants, createPublicKey, hash, verify, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import Arweave from 'arweave';
import { z } from 'zod';
import { Refused } from '../refused.js';
import { unverified } from './error.js';

/** Most bytes of names and values of all tags together, as nodes have it. */
const MAX_TAG_BYTES = 2048;
/** Most data one transaction may have here; the weave itself has no such limit, but its data is read whole to be unbundled. */
export const MAX_DATA_BYTES = 128 * 1024 * 1024;
/** Bytes of an RSA-4096 modulus and of its signatures. */
const RSA_BYTES = 512;

const base64url = (bytes: number | null) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]*$/, 'is base64url')
    .refine((text) => Buffer.from(text, 'base64url').toString('base64url') === text, 'is base64url in its one form')
    .refine((text) => bytes === null || Buffer.byteLength(text, 'base64url') === bytes, `has ${bytes} bytes`);
const none = z.literal('');
const whole = z
  .union([z.string(), z.int().nonnegative().transform(String)])
  .pipe(z.string().regex(/^(0|[1-9][0-9]{0,25})$/, 'is a whole number'));

const shape = z.object({
  format: z.union([z.literal(2), z.literal('2').transform(() => 2 as const)]),
  id: base64url(32),
  last_tx: none.or(base64url(32)).or(base64url(48)),
  owner: base64url(RSA_BYTES),
  tags: z.array(z.object({ name: base64url(null), value: base64url(null) })).max(MAX_TAG_BYTES),
  target: none.or(base64url(32)),
  quantity: whole,
  data: base64url(null).default(''),
  data_size: whole,
  data_root: none.or(base64url(32)),
  reward: whole,
  signature: base64url(RSA_BYTES),
});

/** A transaction as `GET /tx/<id>` shows it; its data is kept apart. Numbers are decimal, everything else base64url. */
export type Transaction = Omit<z.output<typeof shape>, 'data'>;

export interface Tag {
  name: string;
  value: string;
}

/** Reads what was posted. @throws Refused saying which field is wrong */
export function parseTransaction(json: unknown): { tx: Transaction; data: Buffer } {
  const read = shape.safeParse(json);
  if (!read.success) throw new Refused(400, 'Invalid JSON.', z.prettifyError(read.error));
  const { data: text, ...tx } = read.data;
  const data = Buffer.from(text, 'base64url');
  const size = BigInt(tx.data_size);
  if (size > BigInt(MAX_DATA_BYTES))
    throw unverified(`A transaction has at most ${MAX_DATA_BYTES} bytes of data here.`);
  if (data.length > 0 && BigInt(data.length) !== size) throw unverified('data_size is not the length of the data.');
  if ((size === 0n) !== (tx.data_root === ''))
    throw unverified('There is a data_root where there is data, and only there.');
  if (BigInt(tx.quantity) > 0n && tx.target === '') throw unverified('A quantity has a target.');
  if (tx.target === ownerAddress(tx)) throw unverified('Nobody sends to himself.');
  const tagBytes = tx.tags.reduce((sum, t) => sum + Buffer.byteLength(t.name + t.value, 'base64url'), 0);
  if (tagBytes > MAX_TAG_BYTES) throw unverified(`Tags have at most ${MAX_TAG_BYTES} bytes.`);
  return { tx, data };
}

const reader = Arweave.init({}).transactions;
const verifyAsync = promisify<string, Uint8Array, Parameters<typeof verify>[2], Uint8Array, boolean>(verify);

/** @throws Refused unless the id is the hash of the signature and the signature the owner's over all the rest */
export async function assertSigned(tx: Transaction): Promise<void> {
  const signature = Buffer.from(tx.signature, 'base64url');
  if (hash('sha256', signature, 'base64url') !== tx.id)
    throw new Refused(400, 'Invalid hash.', 'The id is not the hash of the signature.');
  const message = await reader.fromRaw({ ...tx, data: new Uint8Array() }).getSignatureData();
  const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
  const good = await verifyAsync('sha256', message, { key: keyOf(tx.owner), ...padding }, signature);
  if (!good) throw unverified('The signature is not the owner’s.');
}

const keyOf = (owner: string): KeyObject =>
  createPublicKey({ key: { kty: 'RSA', n: owner, e: 'AQAB' }, format: 'jwk' });

/** Address of the wallet that pays. */
export function ownerAddress({ owner }: Pick<Transaction, 'owner'>): string {
  return hash('sha256', Buffer.from(owner, 'base64url'), 'base64url');
}

/** Tags as text. */
export function tagsOf(tx: Pick<Transaction, 'tags'>): Tag[] {
  const text = (part: string): string => Buffer.from(part, 'base64url').toString('utf8');
  return tx.tags.map(({ name, value }) => ({ name: text(name), value: text(value) }));
}

/** Where the data of a transaction is kept: under its root and size, whoever pays for it. */
export const dataKey = (tx: Pick<Transaction, 'data_root' | 'data_size'>): string => `${tx.data_root}.${tx.data_size}`;

/** Winstons a node asks for one chunk of 256 KiB begun: about 4 AR a gibibyte, as on the public network. */
const WINSTON_PER_CHUNK = 1_000_000_000n;
export const CHUNK_BYTES = 256 * 1024;
/** A transaction itself is paid for as so many bytes. */
const BASE_BYTES = 3210n;
/** For bringing a wallet into being. */
const NEW_WALLET_WINSTON = 2_000_000_000n;

/** Least reward. `forNewWallet`: the target holds nothing yet. */
export function price(bytes: bigint, forNewWallet: boolean): bigint {
  const chunk = BigInt(CHUNK_BYTES);
  return ((bytes + BASE_BYTES + chunk - 1n) / chunk) * WINSTON_PER_CHUNK + (forNewWallet ? NEW_WALLET_WINSTON : 0n);
}
