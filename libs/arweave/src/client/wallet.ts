/** The wallet that pays for settlement: an Arweave key in a file only its owner reads. It can move nothing of the bridge. */
import fs from 'node:fs';
import { arweaveSigner, type Signer } from '@isthmus/ao';
import { ConfigError } from '@isthmus/store';
import { z } from 'zod';

const part = z.string().regex(/^[A-Za-z0-9_-]+$/);
const jwk = z.looseObject({
  kty: z.literal('RSA'),
  e: z.literal('AQAB'),
  // 4,096 bits: Arweave has no shorter keys
  n: part.length(683),
  d: part,
  p: part,
  q: part,
  dp: part,
  dq: part,
  qi: part,
});

/**
 * Reads an Arweave key file (JWK).
 * @throws ConfigError when it is missing, malformed, or readable by others; its content is never repeated
 */
export function readWallet(file: string): Signer {
  let mode: number;
  try {
    mode = fs.statSync(file).mode;
  } catch {
    throw new ConfigError(`Wallet file ${file} is missing: put the Arweave key file (JWK) there.`);
  }
  if ((mode & 0o077) !== 0) throw new ConfigError(`Wallet file ${file} is open to others: chmod 600 it.`);
  const read = jwk.safeParse(jsonOf(file));
  if (!read.success) throw new ConfigError(`Wallet file ${file} is no Arweave key file (JWK of RSA, 4,096 bits).`);
  try {
    return arweaveSigner(read.data);
  } catch {
    throw new ConfigError(`Wallet file ${file} holds no key that can be used.`);
  }
}

function jsonOf(file: string): unknown {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as unknown;
  } catch {
    return null; // said by who reads it, the same as for another kind of content
  }
}
