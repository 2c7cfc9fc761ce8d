/** A guardian's configuration: one JSON file (ISTHMUS_CONFIG), checked whole at start. */
import { coreSchema, networkAt, networkSchema, unitUrl, type AoNetwork } from '@isthmus/ao';
import { ArweaveClient, SettledSlots } from '@isthmus/arweave';
import {
  assetId,
  isArweaveAddress,
  isEthereumAddress,
  isSolanaAddress,
  solanaAssetId,
  solanaMintOf,
} from '@isthmus/bridge';
import { MAX_FEE_RATE, networkOf as bitcoinNetwork, PERIOD, solana } from '@isthmus/chains';
import { ConfigError } from '@isthmus/store';
import { zeroAddress } from 'viem';
import { z } from 'zod';

const NETWORK =
  'write schedulerUrl, messengerUrl and gatewayUrl of legacy units, or nodeUrl and gatewayUrl of a node of AO-Core';
const CHECKSUM = 'write the address with its EIP-55 checksum';
const contract = z.custom<`0x${string}`>(isEthereumAddress, CHECKSUM);
/** The zero address stands for the chain's coin. */
const assetAddress = z.custom<`0x${string}`>((v) => v === zeroAddress || isEthereumAddress(v), CHECKSUM);
const aoId = z.string().refine(isArweaveAddress, 'an AO id has 43 characters of base64url');
const webUrl = z.url({ protocol: /^https?$/, error: 'write a http or https URL' });

const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;

/** Where a chain is read, whatever its family. */
const sources = {
  /** One that stood here twice would agree with itself. */
  rpcUrls: z
    .array(webUrl)
    .min(1)
    .max(16)
    .refine(
      (urls) => distinct(urls.map((u) => new URL(u).href)),
      'name each source once: sources are to be independent',
    ),
  /** How many of rpcUrls must agree on everything. */
  agreement: z.int().min(1).max(16),
};
const enoughSources = (c: { agreement: number; rpcUrls: readonly string[] }): boolean =>
  c.agreement <= c.rpcUrls.length;
const TOO_FEW = { path: ['agreement'], error: 'at most as many sources can agree as rpcUrls names' };

const ethereumChain = z
  .strictObject({
    /** CAIP-2 */
    id: z.string().regex(/^eip155:[1-9][0-9]{0,14}$/, 'name the chain as eip155:<chain id>'),
    ...sources,
    /** What counts as final: the chain's own word, or so many blocks on top. Nothing is attested before. */
    finality: z.union([
      z.strictObject({ tag: z.enum(['finalized', 'safe']) }),
      z.strictObject({ confirmations: z.int().min(1).max(10_000) }),
    ]),
    /** The only contract whose events count. */
    vault: contract,
    /** Block the vault was deployed in. */
    deployBlock: z.int().min(0),
  })
  .refine(enoughSources, TOO_FEW);

/** Assets of one home, each with a process of its own. */
const assetsOf = <S extends z.ZodType<{ id: string; process: string }>>(asset: S, max = 256) =>
  z
    .array(asset)
    .min(1)
    .max(max)
    .refine((assets) => distinct(assets.map((a) => a.id)), 'an asset has exactly one entry');

/** A chain of Ethereum's family: the vault is a contract. */
const ethereumHome = z
  .strictObject({
    chain: ethereumChain,
    /** CAIP-19 id, token contract (zero address: the coin), token process on AO. */
    assets: assetsOf(z.strictObject({ id: z.string().min(1), address: assetAddress, process: aoId })),
  })
  .superRefine(({ chain, assets }, context) => {
    for (const [i, { id, address }] of assets.entries())
      if (id !== assetId(chain.id, address))
        context.addIssue({
          code: 'custom',
          path: ['assets', i, 'id'],
          message: `the asset at this address is ${assetId(chain.id, address)}`,
        });
  });

const solanaAddress = z.string().refine(isSolanaAddress, 'write a Solana address: base58 of 32 bytes');
const baseUnits = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,38})$/, 'write an amount in base units as decimal digits in quotes')
  .transform(BigInt);

const solanaChain = z
  .strictObject({
    /** CAIP-2 */
    id: z
      .string()
      .regex(
        /^solana:[1-9A-HJ-NP-Za-km-z]{32}$/,
        'name the chain as solana:<first 32 letters of its genesis hash> (CAIP-2)',
      ),
    ...sources,
    /** Who sends releases and keeps their fees; authority of the nonces. */
    relayer: solanaAddress,
    /** The relayer's nonce accounts, the same and in the same order for every guardian: by them it is told which nonce pays a withdrawal. */
    nonces: z.array(solanaAddress).min(1).max(64).refine(distinct, 'name each nonce account once'),
    /** Most micro-lamports a compute unit may cost. */
    maxPrice: baseUnits
      .refine((price) => price <= solana.MAX_PRICE, `at most ${solana.MAX_PRICE}`)
      .default(solana.MAX_PRICE),
  })
  .refine(enoughSources, TOO_FEW);

/** A chain of Solana's family: each asset in a token account that a multisig of the guardians owns. */
const solanaHome = z
  .strictObject({
    chain: solanaChain,
    /** File of this guardian's key there: a key file as "isthmus keys" makes them (its 32 bytes are an ed25519 seed). */
    keyFile: z.string().min(1),
    /** CAIP-19 id, token process on AO, the vault (a token account), what the relayer keeps of each release. */
    assets: assetsOf(
      z.strictObject({ id: z.string().min(1), process: aoId, vault: solanaAddress, relayFee: baseUnits }),
    ).refine((assets) => distinct(assets.map((a) => a.vault)), 'an asset has a vault of its own'),
  })
  .superRefine(({ chain, assets }, context) => {
    for (const [i, { id }] of assets.entries()) {
      if (!id.startsWith(`${chain.id}/`) || solanaMintOf(id) === undefined)
        context.addIssue({
          code: 'custom',
          path: ['assets', i, 'id'],
          message: `SOL is ${solanaAssetId(chain.id, null)}, a token ${chain.id}/token:<mint>`,
        });
    }
  });

/** The mint a CAIP-19 id of Solana names; null: SOL. */
export function mintOf(id: string): string | null {
  return solanaMintOf(id) ?? null;
}

/** Whether reading it throws nothing. */
const isGood = (read: () => void): boolean => {
  try {
    read();
    return true;
  } catch {
    return false;
  }
};

const bitcoinChain = z
  .strictObject({
    /** CAIP-2 */
    id: z
      .string()
      .refine(
        (id) => isGood(() => bitcoinNetwork(id)),
        'name a network of Bitcoin as bip122:<first 32 digits of its first block>',
      ),
    ...sources,
    /** A block people have looked up, below the vault's first, to begin the header chain at; without it, the first block. */
    headerAnchor: z
      .strictObject({
        height: z
          .int()
          .min(0)
          .refine((height) => height % PERIOD === 0, `headers begin at a multiple of ${PERIOD}`),
        header: z.string().regex(/^[0-9a-f]{160}$/, 'write the header as 160 small hex digits'),
      })
      .optional(),
    /** Milliseconds a payment waits for others to share its fee. */
    batchMs: z.int().min(0).max(3_600_000).default(30_000),
    /** Satoshis per 1,000 virtual bytes this guardian signs at most. */
    maxFeeRate: baseUnits
      .refine((rate) => rate >= 1_000n && rate <= MAX_FEE_RATE, `a fee rate lies between 1000 and ${MAX_FEE_RATE}`)
      .default(MAX_FEE_RATE),
    /**
     * Satoshis a transaction that pays nobody may cost: paid from what the vault has beyond what AO owes. With 0 no vault could be handed over; the
     * default hands over some coins of two of three guardians at 200 satoshis a virtual byte, and all 100 a transaction takes at 9.
     */
    reserve: baseUnits.default(100_000n),
  })
  .refine(enoughSources, TOO_FEW);

/** A network of Bitcoin: one vault, held by the guardians' keys there. */
const bitcoinHome = z
  .strictObject({
    chain: bitcoinChain,
    /** File of this guardian's key there: a key file as "isthmus keys" makes them. */
    keyFile: z.string().min(1),
    /** The coin, and its token process on AO. */
    assets: assetsOf(z.strictObject({ id: z.string().min(1), process: aoId }), 1),
  })
  .superRefine(({ chain, assets }, context) => {
    for (const [i, { id }] of assets.entries())
      if (id !== `${chain.id}/slip44:0`)
        context.addIssue({
          code: 'custom',
          path: ['assets', i, 'id'],
          message: `the asset of this chain is ${chain.id}/slip44:0`,
        });
  });

export type EthereumHomeConfig = z.output<typeof ethereumHome>;
export type BitcoinHomeConfig = z.output<typeof bitcoinHome>;
export type SolanaHomeConfig = z.output<typeof solanaHome>;
export type HomeConfig = EthereumHomeConfig | BitcoinHomeConfig | SolanaHomeConfig;

const named = z.looseObject({ chain: z.looseObject({ id: z.string() }) });

/** One home chain with its assets; what it must say goes by the namespace of its chain's id. */
const homeSchema = z.unknown().transform((value, context): HomeConfig => {
  const id = named.safeParse(value).data?.chain.id ?? '';
  const schema = id.startsWith('bip122:') ? bitcoinHome : id.startsWith('solana:') ? solanaHome : ethereumHome;
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  for (const { path, message } of read.error.issues) context.addIssue({ code: 'custom', path, message });
  return z.NEVER;
});

export function isBitcoinHome(home: HomeConfig): home is BitcoinHomeConfig {
  return home.chain.id.startsWith('bip122:');
}

export function isSolanaHome(home: HomeConfig): home is SolanaHomeConfig {
  return home.chain.id.startsWith('solana:');
}

/** Large releases wait until they can be read on Arweave, which this guardian looks up for itself. */
export const settlementSchema = z.strictObject({
  /** An Arweave gateway of this guardian's own choice. */
  arweaveUrl: unitUrl,
  /** Blocks of Arweave that make a bundle good. */
  confirmations: z.int().min(1).max(1000).default(10),
  /** CAIP-19 id: above this amount (base units, in quotes) a withdrawal is signed only when its message and assignment are settled. */
  releaseAbove: z.record(z.string(), baseUnits),
});

export const guardianSchema = z
  .strictObject({
    /** Shown in logs and health. */
    name: z.string().min(1).max(64),
    /** File with the guardian's key, mode 0600. */
    keyFile: z.string().min(1),
    /** A database of this guardian's own, shared with nobody. */
    databaseUrl: z.string().regex(/^postgres(ql)?:\/\//, 'write a postgres:// URL'),
    /** Loopback unless metrics are collected from elsewhere. */
    host: z.string().default('127.0.0.1'),
    /** Port of health and metrics. */
    port: z.int().min(0).max(65_535),
    /** The Isthmus gateway whose schedule is followed and to which messages are sent; or else `network`. */
    gatewayUrl: unitUrl.optional(),
    /** The units, or the node, of AO's public network that the processes live on. */
    network: z.union([networkSchema, coreSchema], { error: NETWORK }).optional(),
    /** Address of the only scheduler whose assignments count. */
    scheduler: aoId,
    /** Modules, by id, that processes may run besides a known source on the lean machine: the aos module of a process on aos. */
    modules: z.array(aoId).max(64).default([]),
    /** SHA-256 (hex) of token sources, besides the one this version brings, that may be live in a process. */
    tokenSources: z
      .array(z.string().regex(/^[0-9a-f]{64}$/, 'write a SHA-256 as 64 lower-case hex digits'))
      .max(64)
      .default([]),
    /** Processes whose spawn no unit of this network shows (on the base layer, for one), and that the operator has looked at. */
    knownSenders: z.array(aoId).max(1000).default([]),
    /** The chains it attests and signs for, each as this guardian sees it for itself, with the assets locked there. */
    homes: z
      .array(homeSchema)
      .min(1)
      .max(16)
      .refine((homes) => distinct(homes.map((h) => h.chain.id)), 'a chain has exactly one entry')
      .refine((homes) => distinct(assetsIn(homes).map((a) => a.process)), 'an asset has a process of its own'),
    /** Which releases wait for settlement; none without it. */
    settlement: settlementSchema.optional(),
    /** Transfers in one message. */
    batch: z.int().min(1).max(500).default(200),
    /** Milliseconds a guardian has to propose a transaction before it is the next one's turn. */
    turnMs: z.int().min(100).max(3_600_000).default(30_000),
    /** Milliseconds between two rounds. */
    pollMs: z.int().min(20).max(60_000).default(1000),
  })
  .superRefine(({ homes, gatewayUrl, network, settlement }, context) => {
    for (const id of Object.keys(settlement?.releaseAbove ?? {}))
      if (!assetsIn(homes).some((a) => a.id === id))
        context.addIssue({
          code: 'custom',
          path: ['settlement', 'releaseAbove', id],
          message: 'name an asset of this guardian, as homes have it',
        });
    if ((gatewayUrl === undefined) === (network === undefined))
      context.addIssue({ code: 'custom', path: ['gatewayUrl'], message: 'name either gatewayUrl or network' });
  });

export type GuardianConfig = z.output<typeof guardianSchema>;

/** The assets of all homes. */
export function assetsIn<H extends { assets: readonly { id: string; process: string }[] }>(
  homes: readonly H[],
): H['assets'][number][] {
  return homes.flatMap((h): H['assets'][number][] => [...h.assets]);
}

/** The network a guardian's processes live on. */
export function networkOf({ gatewayUrl, network }: Pick<GuardianConfig, 'gatewayUrl' | 'network'>): AoNetwork {
  if (network) return networkAt(network);
  if (gatewayUrl !== undefined) return networkAt({ isthmusUrl: gatewayUrl });
  throw new ConfigError('A guardian needs gatewayUrl or network.');
}

/** Where large releases are looked for; null without such a policy. */
export function settledSlotsOf({ settlement, scheduler }: GuardianConfig): SettledSlots | null {
  return settlement
    ? new SettledSlots(new ArweaveClient(settlement.arweaveUrl), scheduler, settlement.confirmations)
    : null;
}
