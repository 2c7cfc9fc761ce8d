/** What is configured of a home on Ethereum, or on a chain like it. */
import { assetId, isEthereumAddress } from '@isthmus/bridge';
import { zeroAddress } from 'viem';
import { z } from 'zod';
import { MAX_ASSETS, sharedAsset } from '../asset-config.js';

const CHECKSUM = 'write the address with its EIP-55 checksum';
const contract = z.custom<`0x${string}`>(isEthereumAddress, CHECKSUM);
const address = z.custom<`0x${string}`>((v) => v === zeroAddress || isEthereumAddress(v), CHECKSUM);

const chain = z.strictObject({
  /** CAIP-2 */
  id: z.string().regex(/^eip155:[1-9][0-9]{0,14}$/, 'name the chain as eip155:<chain id>'),
  /** As people read it. */
  name: z.string().min(1),
  /** JSON-RPC sources, each once; an address may hold a key and is never shown. */
  rpcUrls: z.array(z.url()).min(1).max(16),
  /** How many of rpcUrls must agree on everything that is shown. */
  agreement: z.int().min(1).max(16).default(1),
  /** What counts as final: the chain's own word, or so many blocks on top. */
  finality: z.union([
    z.strictObject({ tag: z.enum(['finalized', 'safe']) }),
    z.strictObject({ confirmations: z.int().min(1).max(10_000) }),
  ]),
  /** Seconds from a transaction to its finality, for estimates. */
  finalitySeconds: z.number().positive(),
  /** The only contract whose events count. */
  vault: contract,
  /** Block the vault was deployed in: nothing before it is read. */
  deployBlock: z.int().min(0),
  /** File of the key that pays for releases here (32 secret bytes as hex, mode 0600); chains may share one. */
  relayerKeyFile: z.string().min(1),
});

const asset = z.strictObject({
  ...sharedAsset,
  /** The token's contract on the chain; the zero address stands for the chain's coin, whose release costs the gas. */
  address,
});

export const ethereumHomeSchema = z
  .strictObject({ chain, assets: z.array(asset).min(1).max(MAX_ASSETS) })
  .superRefine(({ chain: { id: on }, assets }, context) => {
    for (const [i, { id, address: token }] of assets.entries())
      if (id !== assetId(on, token))
        context.addIssue({
          code: 'custom',
          path: ['assets', i, 'id'],
          message: `the asset at this address is ${assetId(on, token)}`,
        });
  });

export type EthereumHomeConfig = z.output<typeof ethereumHomeSchema>;
export type EthereumChainConfig = EthereumHomeConfig['chain'];
export type EthereumAssetConfig = EthereumHomeConfig['assets'][number];
