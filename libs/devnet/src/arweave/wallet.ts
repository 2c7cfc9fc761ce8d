/** Arweave wallets: RSA-4096 keys as JWK, in files only their owner reads. */
import { generateKeyPair, hash } from 'node:crypto';
import fs from 'node:fs';
import { promisify } from 'node:util';
import { ConfigError } from '@isthmus/store';
import { z } from 'zod';

const part = z.string().regex(/^[A-Za-z0-9_-]+$/);
const shape = z.object({
  kty: z.literal('RSA'),
  n: part.length(683),
  e: z.literal('AQAB'),
  d: part,
  p: part,
  q: part,
  dp: part,
  dq: part,
  qi: part,
});

/** A private key as the `arweave` package takes it. */
export type Jwk = z.output<typeof shape>;

/** Makes a key: takes a second or two, in a thread of its own. */
export async function makeWallet(): Promise<Jwk> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 4096 });
  return shape.parse(privateKey.export({ format: 'jwk' }));
}

/** The wallet in a file, made the first time. @throws ConfigError when the file holds something else, or is open to others */
export async function walletOf(file: string): Promise<Jwk> {
  if (!fs.existsSync(file)) {
    await fs.promises.writeFile(`${file}.new`, `${JSON.stringify(await makeWallet())}\n`, { mode: 0o600 });
    await fs.promises.rename(`${file}.new`, file);
  }
  if (((await fs.promises.stat(file)).mode & 0o077) !== 0)
    throw new ConfigError(`Wallet ${file} is open to others: chmod 600 it.`);
  const read = shape.safeParse(jsonOf(await fs.promises.readFile(file, 'utf8')));
  if (!read.success) throw new ConfigError(`Wallet ${file} is no RSA-4096 key as JWK.`);
  return read.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // no wallet, as is said for other things that are none
  }
}

/** Address of a wallet: base64url of the hash of its modulus. */
export const addressOfWallet = ({ n }: Pick<Jwk, 'n'>): string =>
  hash('sha256', Buffer.from(n, 'base64url'), 'base64url');
