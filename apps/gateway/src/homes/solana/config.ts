/** What is configured of a home on Solana. Mint, decimals and guardians are read from the chain; what is said here must be as there. */
import { isSolanaAddress, solanaAssetId, solanaMintOf } from '@isthmus/bridge';
import { z } from 'zod';
import { amount, MAX_ASSETS, sharedAsset } from '../asset-config.js';

const address = z.string().refine(isSolanaAddress, 'write a Solana address: base58 of 32 bytes');

/** Releases under way at once, each with its rent of 0.0015 SOL; a finality's worth of them is far below. */
const MAX_NONCES = 32;
const LAMPORTS = 'write lamports as decimal digits in quotes';

const chain = z.strictObject({
  /** CAIP-2: `solana:` and the first 32 letters of the genesis hash. */
  id: z
    .string()
    .regex(/^solana:[1-9A-HJ-NP-Za-km-z]{32}$/, 'name the cluster as solana:<32 letters of its genesis hash>'),
  /** As people read it. */
  name: z.string().min(1),
  /** JSON-RPC sources, each once; an address may hold a key and is never shown. */
  rpcUrls: z.array(z.url()).min(1).max(16),
  /** How many of rpcUrls must agree on what is final. */
  agreement: z.int().min(1).max(16).default(1),
  /** Seconds from a transaction to its finality, for estimates. */
  finalitySeconds: z.number().positive(),
  /** File of the key (ed25519) that pays for releases here: 32 secret bytes as hex, mode 0600. */
  relayerKeyFile: z.string().min(1),
  /**
   * Durable nonces the relayer keeps, so many releases can be under way at once. They stand at addresses that follow from the relayer's, and are
   * made when they are missing; GET /v1/chains names them, for guardians to configure.
   */
  nonces: z.int().min(1).max(MAX_NONCES).default(4),
  /** Lamports below which the relayer's purse is an alarm. */
  purseAlarm: amount.refine((lamports) => lamports > 0n, LAMPORTS).default(100_000_000n),
});

const asset = z.strictObject({
  ...sharedAsset,
  /** The token account that guardians hold together. */
  vault: address,
});

export const solanaHomeSchema = z
  .strictObject({ chain, assets: z.array(asset).min(1).max(MAX_ASSETS) })
  .superRefine(({ chain: { id: on, rpcUrls, agreement }, assets }, context) => {
    const wrong = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    if (agreement > rpcUrls.length) wrong(['chain', 'agreement'], 'at most as many can agree as are named');
    const vaults = new Set<string>();
    for (const [i, { id, vault, relayFee }] of assets.entries()) {
      const mint = id.startsWith(`${on}/`) ? solanaMintOf(id) : undefined;
      if (mint === undefined)
        wrong(['assets', i, 'id'], `write ${solanaAssetId(on, null)} for SOL, or ${on}/token:<mint> for a token`);
      else if (mint !== null && relayFee === undefined)
        wrong(['assets', i, 'relayFee'], 'say what a release costs in this token: the relayer pays SOL for it');
      if (vaults.has(vault)) wrong(['assets', i, 'vault'], 'another asset has this vault');
      vaults.add(vault);
    }
  });

export type SolanaHomeConfig = z.output<typeof solanaHomeSchema>;
export type SolanaChainConfig = SolanaHomeConfig['chain'];
export type SolanaAssetConfig = SolanaHomeConfig['assets'][number];

/** What reading an asset's vault takes. */
export type VaultOfAsset = Pick<SolanaAssetConfig, 'id' | 'process' | 'vault' | 'decimals'>;

/** The mint of a configured asset; null for SOL. */
export function mintOf({ id }: Pick<SolanaAssetConfig, 'id'>): string | null {
  return solanaMintOf(id) ?? null;
}
