/** Who signs: a key file of whatever kind its owner has. A key is never an argument, and the well-known keys only sign for the local stack. */
import { arweaveSigner, ed25519Signer, ethereumSigner, signerOfKey, type Signer } from '@isthmus/ao';
import { devKey } from '@isthmus/devnet';
import { z } from 'zod';
import { jsonIn, readPrivate, secretText } from '../files.js';
import { CommandError } from '../said.js';
import type { KeyType } from './options.js';

/** Anvil's account that signs when no key is named. */
const DEV_ACCOUNT = 0;
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]']);

const word = z.string().min(1);
const wallet = z.looseObject({
  kty: z.literal('RSA'),
  n: word,
  e: word,
  d: word,
  p: word,
  q: word,
  dp: word,
  dq: word,
  qi: word,
});
const keypair = z.array(z.int().min(0).max(255)).length(64);
const SECRET = /^(?:0x)?([0-9a-fA-F]{64})$/;

export const isLoopback = (url: string): boolean => LOOPBACK.has(new URL(url).hostname);

/**
 * The signer of a key file: an Arweave wallet (JWK), a Solana keypair (64 numbers), or one of `isthmus keys` or its hex digits, which signs as `type` says.
 * Without a file the local stack's account 0. @throws CommandError
 */
export function signerOf(file: string | undefined, type: KeyType, gateway: string): Signer {
  if (file === undefined) {
    if (isLoopback(gateway)) return ethereumSigner(devKey(DEV_ACCOUNT));
    throw new CommandError(
      'Name your key with --key <file>: the well-known keys of the local stack sign for no other gateway.',
    );
  }
  const text = readPrivate(file, '--key');
  const content = jsonIn(text);
  const jwk = wallet.safeParse(content);
  if (jwk.success) return fromWallet(file, jwk.data);
  const solana = keypair.safeParse(content);
  if (solana.success) return ed25519Signer(Uint8Array.from(solana.data.slice(0, 32)));
  const [, digits] = SECRET.exec(secretText(text)) ?? [];
  if (digits === undefined)
    throw new CommandError(
      `${file} is no key: an Arweave wallet (JWK), a Solana keypair, one of "isthmus keys", or its 64 hex digits alone.`,
    );
  const key = `0x${digits.toLowerCase()}` as const;
  return type === 'ethereum' ? ethereumSigner(key) : signerOfKey(key);
}

function fromWallet(file: string, jwk: z.output<typeof wallet>): Signer {
  if (Buffer.from(jwk.n, 'base64url').length !== 512)
    throw new CommandError(`${file} is not an Arweave wallet: its RSA key does not have 4,096 bits.`);
  try {
    return arweaveSigner(jwk);
  } catch {
    throw new CommandError(`${file} is not an Arweave wallet: its numbers are no RSA key.`);
  }
}
