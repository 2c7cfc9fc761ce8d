/** What is configured of a home on Bitcoin. The vault is not, it follows from the guardians' keys, nor are the home's terms: the token process names both. */
import { networkOf } from '@isthmus/chains';
import { z } from 'zod';
import { sharedAsset } from '../asset-config.js';

const isNetwork = (id: string): boolean => passes(() => networkOf(id));

const chain = z.strictObject({
  /** CAIP-2 */
  id: z.string().refine(isNetwork, 'name the network as bip122:<32 digits of its first block’s hash>'),
  /** As people read it. */
  name: z.string().min(1),
  /** JSON-RPC of Bitcoin Core, each once; the login stands before the host and is never shown. */
  rpcUrls: z.array(z.url()).min(1).max(16),
  /** How many of rpcUrls must agree on everything that is shown. */
  agreement: z.int().min(1).max(16).default(1),
  /** Seconds to the confirmations of the most demanding step, for estimates. */
  finalitySeconds: z.number().positive(),
  /** A block people have looked up, at a multiple of 2,016, that headers are read from on; else the first. */
  headerAnchor: z
    .strictObject({
      height: z.int().min(0),
      header: z.string().regex(/^[0-9a-f]{160}$/, '80 bytes in small hex digits'),
    })
    .optional(),
  /** Confirmations after which a deposit may be taken back, unless its depositor asks for another number. */
  refundAfter: z.int().min(1).max(65_535).default(1008),
  /** File of the key that signs registrations of deposit addresses (32 secret bytes as hex, mode 0600); it can move nothing. */
  registrarKeyFile: z.string().min(1),
  /** Deposit addresses one client may ask for in a minute. */
  addressLimit: z.int().min(1).default(30),
});

/** What is credited is in the terms. */
const { minDeposit: _, ...asset } = sharedAsset;

export const bitcoinHomeSchema = z
  .strictObject({ chain, assets: z.array(z.strictObject(asset)).length(1) })
  .superRefine(({ chain: { id: on }, assets }, context) => {
    for (const [i, { id, decimals }] of assets.entries()) {
      if (id !== `${on}/slip44:0`)
        context.addIssue({
          code: 'custom',
          path: ['assets', i, 'id'],
          message: `the asset of this chain is ${on}/slip44:0`,
        });
      if (decimals !== 8)
        context.addIssue({ code: 'custom', path: ['assets', i, 'decimals'], message: 'a bitcoin has 8 decimals' });
    }
  });

export type BitcoinHomeConfig = z.output<typeof bitcoinHomeSchema>;
export type BitcoinChainConfig = BitcoinHomeConfig['chain'];

function passes(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch {
    return false; // what the check refuses
  }
}
