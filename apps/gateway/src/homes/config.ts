/** Homes as they are configured: each home chain with its vault and what is locked there, by the rules of its family. */
import type { ChainFamily } from '@isthmus/bridge';
import { z } from 'zod';
import { bitcoinHomeSchema, type BitcoinHomeConfig } from './bitcoin/config.js';
import { ethereumHomeSchema, type EthereumHomeConfig } from './ethereum/config.js';
import { solanaHomeSchema, type SolanaHomeConfig } from './solana/config.js';

/** By the namespace of the chain's CAIP-2 id. */
const families = {
  eip155: ethereumHomeSchema,
  bip122: bitcoinHomeSchema,
  solana: solanaHomeSchema,
} as const satisfies Partial<Record<ChainFamily, z.ZodType>>;
type Family = keyof typeof families;
export type HomeConfig = z.output<(typeof families)[Family]>;

export const isEthereum = (home: HomeConfig): home is EthereumHomeConfig => home.chain.id.startsWith('eip155:');
export const isBitcoin = (home: HomeConfig): home is BitcoinHomeConfig => home.chain.id.startsWith('bip122:');
export const isSolana = (home: HomeConfig): home is SolanaHomeConfig => home.chain.id.startsWith('solana:');

/** More chains than there are to bridge; each costs its rounds. */
const MAX_HOMES = 32;

/** The family a home says it is of; null for none there is. */
function familyNamed(home: unknown): Family | null {
  const named = z.object({ chain: z.object({ id: z.string() }) }).safeParse(home);
  const family = named.data?.chain.id.split(':', 1)[0] ?? '';
  return Object.hasOwn(families, family) ? (family as Family) : null;
}

/** One home, checked by its family's schema alone: what is wrong is named as that family has it. */
const home = z.unknown().transform((value, context): HomeConfig => {
  const family = familyNamed(value);
  if (family === null) {
    const known = Object.keys(families).join(', ');
    context.addIssue({
      code: 'custom',
      path: ['chain', 'id'],
      message: `name the chain by its CAIP-2 id; families there are: ${known}`,
    });
    return z.NEVER;
  }
  const read = families[family].safeParse(value);
  if (read.success) return read.data;
  for (const { path, message } of read.error.issues) context.addIssue({ code: 'custom', path, message });
  return z.NEVER;
});

export const homesSchema = z
  .array(home)
  .max(MAX_HOMES)
  .superRefine((homes, context) => {
    const once = (what: string, entries: readonly { value: string; path: (string | number)[] }[]): void => {
      const seen = new Set<string>();
      for (const { value, path } of entries) {
        if (seen.has(value)) context.addIssue({ code: 'custom', path, message: `${what}: ${value} stands here twice` });
        seen.add(value);
      }
    };
    const assets = homes.flatMap((h, i) => h.assets.map((asset, j) => ({ asset, path: [i, 'assets', j] })));
    once(
      'a chain is one home',
      homes.map((h, i) => ({ value: h.chain.id, path: [i, 'chain', 'id'] })),
    );
    once(
      'an asset has exactly one entry',
      assets.map(({ asset, path }) => ({ value: asset.id, path: [...path, 'id'] })),
    );
    once(
      'an asset has a process of its own',
      assets.map(({ asset, path }) => ({ value: asset.process, path: [...path, 'process'] })),
    );
  });
