/** The vault's signed statements (EIP-712) and the packed form its signatures travel in. */
import { getAddress, hashTypedData, recoverAddress } from 'viem';
import type { Hex, TypedDataDomain } from 'viem';
import type { Decision } from './decision.js';
import { BridgeError } from './errors.js';
import { processToBytes32 } from './address.js';

/** Which vault a statement is for. */
export interface VaultDomain {
  chainId: number;
  vault: Hex;
}

/** A release as the guardians sign it. Amounts in base units; the recipient is paid `amount - fee` for some `fee <= maxFee`. */
export interface ReleaseStatement {
  process: string;
  number: bigint;
  asset: Hex;
  recipient: Hex;
  amount: bigint;
  maxFee: bigint;
  epoch: bigint;
}

export const vaultTypes = {
  Release: [
    { name: 'process', type: 'bytes32' },
    { name: 'number', type: 'uint64' },
    { name: 'asset', type: 'address' },
    { name: 'recipient', type: 'address' },
    { name: 'amount', type: 'uint256' },
    { name: 'maxFee', type: 'uint256' },
    { name: 'epoch', type: 'uint64' },
  ],
  Rotate: [
    { name: 'guardians', type: 'address[]' },
    { name: 'threshold', type: 'uint8' },
    { name: 'pauseThreshold', type: 'uint8' },
    { name: 'epoch', type: 'uint64' },
  ],
  List: [
    { name: 'asset', type: 'address' },
    { name: 'open', type: 'bool' },
    { name: 'limit', type: 'uint104' },
    { name: 'window', type: 'uint32' },
    { name: 'minDeposit', type: 'uint104' },
    { name: 'epoch', type: 'uint64' },
    { name: 'nonce', type: 'uint64' },
  ],
  Pause: [
    { name: 'epoch', type: 'uint64' },
    { name: 'nonce', type: 'uint64' },
  ],
  Unpause: [
    { name: 'epoch', type: 'uint64' },
    { name: 'nonce', type: 'uint64' },
  ],
} as const;

/** EIP-712 domain of a vault. */
export function vaultDomain({ chainId, vault }: VaultDomain): TypedDataDomain {
  return { name: 'Isthmus Vault', version: '1', chainId, verifyingContract: vault };
}

/** Typed data of a release, ready for `signTypedData`. */
export function releaseTypedData(domain: VaultDomain, statement: ReleaseStatement) {
  return {
    domain: vaultDomain(domain),
    types: { Release: vaultTypes.Release },
    primaryType: 'Release' as const,
    message: { ...statement, process: processToBytes32(statement.process) },
  };
}

export function rotateTypedData(
  domain: VaultDomain,
  message: { guardians: readonly Hex[]; threshold: number; pauseThreshold: number; epoch: bigint },
) {
  return { domain: vaultDomain(domain), types: { Rotate: vaultTypes.Rotate }, primaryType: 'Rotate' as const, message };
}

export function listTypedData(
  domain: VaultDomain,
  message: {
    asset: Hex;
    open: boolean;
    limit: bigint;
    window: number;
    minDeposit: bigint;
    epoch: bigint;
    nonce: bigint;
  },
) {
  return { domain: vaultDomain(domain), types: { List: vaultTypes.List }, primaryType: 'List' as const, message };
}

export function pauseTypedData(domain: VaultDomain, message: { epoch: bigint; nonce: bigint }) {
  return { domain: vaultDomain(domain), types: { Pause: vaultTypes.Pause }, primaryType: 'Pause' as const, message };
}

export function unpauseTypedData(domain: VaultDomain, message: { epoch: bigint; nonce: bigint }) {
  return {
    domain: vaultDomain(domain),
    types: { Unpause: vaultTypes.Unpause },
    primaryType: 'Unpause' as const,
    message,
  };
}

/** Where a decision stands at the vault: the asset it is about, the current epoch, and the vault's own count of decisions. */
export interface DecisionPlace {
  asset: Hex;
  epoch: bigint;
  nonce: bigint;
}

/** What a guardian signs for the vault to carry out a decision taken on AO. A rotation goes by its epoch and needs no count. */
export function decisionDigest(domain: VaultDomain, decision: Decision, { asset, epoch, nonce }: DecisionPlace): Hex {
  switch (decision.kind) {
    case 'pause':
      return hashTypedData(pauseTypedData(domain, { epoch, nonce }));
    case 'unpause':
      return hashTypedData(unpauseTypedData(domain, { epoch, nonce }));
    case 'list': {
      const { open, limit, minDeposit, windowMs } = decision;
      const window = Number(windowMs / 1000n);
      return hashTypedData(listTypedData(domain, { asset, open, limit, window, minDeposit, epoch, nonce }));
    }
    case 'rotate': {
      const { guardians, threshold, pauseThreshold } = decision;
      return hashTypedData(rotateTypedData(domain, { guardians, threshold, pauseThreshold, epoch: decision.epoch }));
    }
  }
}

/** The digest a release signature is over; equal digests mean equal content. */
export function releaseDigest(domain: VaultDomain, statement: ReleaseStatement): Hex {
  return hashTypedData(releaseTypedData(domain, statement));
}

const SECP256K1_HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;

/** Packs a 65-byte signature (r, s, v) with its guardian's index: `index || r || yParityAndS`. @throws BridgeError `bad-signature` */
export function packSignature(index: number, signature: Hex): Hex {
  const bytes = Buffer.from(signature.slice(2), 'hex');
  const v = bytes[64];
  const s = BigInt(`0x${bytes.subarray(32, 64).toString('hex') || '0'}`);
  if (
    bytes.length !== 65 ||
    (v !== 27 && v !== 28) ||
    s > SECP256K1_HALF_ORDER ||
    !Number.isInteger(index) ||
    index < 0 ||
    index > 255
  ) {
    throw new BridgeError(
      'bad-signature',
      'A guardian signature is 65 bytes (r, low s, v 27 or 28) with an index below 256.',
    );
  }
  if (v === 28) bytes[32] = (bytes[32] as number) | 0x80;
  return `0x${index.toString(16).padStart(2, '0')}${bytes.subarray(0, 64).toString('hex')}`;
}

/** The inverse of `packSignature`. @throws BridgeError `bad-signature` also for a high s (E22). */
export function unpackSignature(packed: Hex): { index: number; signature: Hex } {
  if (!/^0x[0-9a-f]{130}$/.test(packed))
    throw new BridgeError('bad-signature', 'A packed signature is 65 bytes of lower-case hex.');
  const bytes = Buffer.from(packed.slice(2), 'hex');
  const top = bytes[33] as number;
  bytes[33] = top & 0x7f;
  if (BigInt(`0x${bytes.subarray(33).toString('hex')}`) > SECP256K1_HALF_ORDER)
    throw new BridgeError('bad-signature', 'A high s is refused.');
  const v = top & 0x80 ? '1c' : '1b';
  return { index: bytes[0] as number, signature: `0x${bytes.subarray(1).toString('hex')}${v}` };
}

/** Who signed this release, or `null` when the packed signature is malformed or its index is not that guardian's in `guardians`. */
export function verifyReleaseSignature(
  domain: VaultDomain,
  statement: ReleaseStatement,
  packed: Hex,
  guardians: readonly Hex[],
): Promise<Hex | null> {
  return verifySignature(releaseDigest(domain, statement), packed, guardians);
}

/** Which of `guardians` made this packed signature over a digest; `null` when it is not by the one it names. */
export async function verifySignature(digest: Hex, packed: Hex, guardians: readonly Hex[]): Promise<Hex | null> {
  try {
    const { index, signature } = unpackSignature(packed);
    const signer = await recoverAddress({ hash: digest, signature });
    const expected = guardians[index];
    return expected && getAddress(expected) === signer ? signer : null;
  } catch {
    return null; // not a signature at all: the same as a signature by nobody
  }
}
