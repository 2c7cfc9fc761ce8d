/** Guardians' parts of a transaction: made apart, each checked alone, put together by whoever sends it. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { toBase58 } from '@isthmus/bridge';
import { Message } from '@solana/web3.js';
import { hasSigned } from './keys.js';
import { BadPlan, type TransactionPlan } from './release.js';

/** `0x`, the guardian's index, the signature: 65 bytes, as on Ethereum. */
export type SignedPart = `0x${string}`;

/** DER of an ed25519 key before its 32 bytes (RFC 8410). */
const PRIVATE = Buffer.from('302e020100300506032b657004220420', 'hex');
const PUBLIC = Buffer.from('302a300506032b6570032100', 'hex');

/** Who pays for releases. */
export interface RelayerKey {
  address: string;
  /** The 32 bytes of its secret key. */
  seed: Uint8Array;
}

/** The address of a key by its 32 secret bytes. */
export function publicKeyOf(seed: Uint8Array): string {
  const secret = createPrivateKey({ key: Buffer.concat([PRIVATE, seed]), format: 'der', type: 'pkcs8' });
  return toBase58(createPublicKey(secret).export({ format: 'der', type: 'spki' }).subarray(PUBLIC.length));
}

/** A guardian's part. `seed` is the 32 bytes of its secret key. */
export function signPart(message: Uint8Array, index: number, seed: Uint8Array): SignedPart {
  if (seed.length !== 32 || !Number.isInteger(index) || index < 0 || index > 255)
    throw new BadPlan('A part is signed with 32 bytes of key by a guardian’s index.');
  const signature = sign(
    null,
    message,
    createPrivateKey({ key: Buffer.concat([PRIVATE, seed]), format: 'der', type: 'pkcs8' }),
  );
  return `0x${index.toString(16).padStart(2, '0')}${signature.toString('hex')}`;
}

/** Whose part it is; null when it is not one of the plan's signers' over this message. */
export function verifyPart(plan: TransactionPlan, message: Uint8Array, part: string): number | null {
  if (!/^0x[0-9a-f]{130}$/.test(part)) return null;
  const bytes = Buffer.from(part.slice(2), 'hex');
  const index = bytes[0] ?? 0;
  const guardian = plan.custody.guardians[index];
  if (guardian === undefined || !plan.signers.includes(index)) return null;
  return hasSigned(guardian, message, bytes.subarray(1)) ? index : null;
}

/**
 * The transaction as it is sent: the relayer's signature and one of each signer. @throws BadPlan naming who is missing
 */
export function assemble(
  plan: TransactionPlan,
  message: Uint8Array,
  parts: readonly string[],
  relayerSeed: Uint8Array,
): Uint8Array {
  const byIndex = new Map(
    parts.flatMap((part) => {
      const index = verifyPart(plan, message, part);
      return index === null ? [] : [[index, Buffer.from(part.slice(4), 'hex')] as const];
    }),
  );
  const missing = plan.signers.filter((i) => !byIndex.has(i));
  if (missing.length > 0) throw new BadPlan(`Guardians ${missing.join(', ')} have not signed this transaction.`);
  const own = Buffer.from(signPart(message, 0, relayerSeed).slice(4), 'hex');
  if (!hasSigned(plan.relayer, message, own)) throw new BadPlan('The key is not the relayer’s.');
  const { accountKeys, header } = Message.from(message);
  const signatures = accountKeys.slice(0, header.numRequiredSignatures).map((account) => {
    const address = account.toBase58();
    const index = plan.custody.guardians.indexOf(address);
    const signature = address === plan.relayer ? own : byIndex.get(index);
    if (signature === undefined) throw new BadPlan(`Nobody of the plan signs for ${address}.`);
    return signature;
  });
  return Buffer.concat([Buffer.of(signatures.length), ...signatures, message]);
}
