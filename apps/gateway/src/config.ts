/** The gateway's configuration: one JSON file (ISTHMUS_CONFIG) with the environment on top, checked whole at start. */
import { isKeyId, networkShape, unitUrl } from '@isthmus/ao';
import { isArweaveAddress, isEthereumAddress } from '@isthmus/bridge';
import { z } from 'zod';
import { settlementSchema } from './settlement/config.js';

const ZERO = '0x0000000000000000000000000000000000000000';
const address = z.custom<`0x${string}`>(
  (v) => v === ZERO || isEthereumAddress(v),
  'write the address with its EIP-55 checksum',
);
const aoId = z.string().refine(isArweaveAddress, 'an AO id has 43 characters of base64url');
const amount = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,38})$/, 'write an amount in base units as decimal digits in quotes')
  .transform(BigInt);

/** AO carried by this gateway, in its own database. */
const embedded = z.strictObject({
  engine: z.literal('embedded'),
  /** Files of 32 secret bytes as hex, mode 0600. */
  schedulerKeyFile: z.string().min(1),
  messengerKeyFile: z.string().min(1),
  /** Compute threads. */
  workers: z.int().min(1).max(64).default(1),
  /** Memory that open processes may hold together, MiB; idle ones make room. */
  memoryMiB: z.int().min(256).max(1_048_576).default(2048),
});

/** What is told of others' network, whatever its kind: this gateway schedules and computes nothing, and checks what it is shown. */
const elsewhere = {
  /** How many of those that compute must agree on a result. */
  agreement: z.int().min(1).max(8).default(1),
  /** Address of the only scheduler whose assignments count. */
  scheduler: aoId,
  /** Address of the messenger that is the processes' authority. */
  messenger: aoId,
};
const independent = (what: string) =>
  z
    .array(unitUrl)
    .min(1)
    .max(8)
    .refine((urls) => new Set(urls).size === urls.length, `name each ${what} once`);
const TOO_MANY = { path: ['agreement'], error: 'at most as many can agree as are named' };

/** AO as its legacy units carry it. */
const legacy = z
  .strictObject({
    engine: z.literal('remote'),
    ...networkShape,
    computeUrls: independent('compute unit'),
    ...elsewhere,
  })
  .refine((r) => r.agreement <= r.computeUrls.length, TOO_MANY);

/** AO as nodes of AO-Core carry it: the first schedules, all of them compute. */
const core = z
  .strictObject({
    engine: z.literal('core'),
    nodeUrls: independent('node'),
    gatewayUrl: unitUrl,
    ...elsewhere,
  })
  .refine((r) => r.agreement <= r.nodeUrls.length, TOO_MANY);

const shape = z.strictObject({
  /** postgres://…, a database of this gateway's own or shared with others of its kind. */
  databaseUrl: z.string().min(1),
  /** Run missing migrations at start; elsewhere `isthmus migrate` does. */
  migrate: z.boolean().default(false),
  /** Address to listen on; loopback unless a proxy elsewhere stands before it. */
  host: z.string().default('127.0.0.1'),
  /** 0 takes any free one. */
  port: z.int().min(0).max(65_535).default(4600),
  /** Where people reach this gateway, for links in answers. */
  publicUrl: z.url(),
  /** File of 32 secret bytes as hex, mode 0600. */
  relayerKeyFile: z.string().min(1),
  /** Who runs AO: this gateway itself, or a network of others' units. */
  ao: z.discriminatedUnion('engine', [embedded, legacy, core]),
  /** The external chain. */
  chain: z.strictObject({
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
    vault: address,
    /** Block the vault was deployed in: nothing before it is read. */
    deployBlock: z.int().min(0),
  }),
  /** What is bridged; guardians decide what is listed, this is what people are shown. */
  assets: z
    .array(
      z.strictObject({
        /** CAIP-19 */
        id: z.string().min(1),
        /** The token's contract on the chain; the zero address stands for the chain's coin. */
        address,
        /** Ticker, name and denomination, as the token process says them. */
        symbol: z.string().min(1).max(32),
        name: z.string().min(1).max(128),
        decimals: z.int().min(0).max(36),
        /** Token process on AO. */
        process: aoId,
        /** Least amounts in base units, as vault and process have them: quotes below are refused. */
        minDeposit: amount,
        minWithdrawal: amount,
        /** What one release costs in this asset's base units; absent for the chain's coin, whose cost is the gas. */
        relayFee: amount.optional(),
      }),
    )
    .max(256),
  /** Milliseconds between two looks at the chain. */
  pollMs: z.int().min(20).max(60_000).default(1000),
  /** Milliseconds without a receipt after which a transaction is sent again at a higher fee. */
  stuckMs: z.int().min(100).max(3_600_000).default(30_000),
  /** Requests to /v1 one address may make in a minute. */
  rateLimit: z.int().min(1).default(1200),
  /** Requests to the AO units one address may make in a minute, by what they cost. */
  aoLimits: z
    .strictObject({
      /** Signed items and whatever else is written. */
      items: z.int().min(1).default(12_000),
      /** Schedules, results, items, states. */
      reads: z.int().min(1).default(12_000),
      dryRuns: z.int().min(1).default(1200),
      /** GraphQL. */
      searches: z.int().min(1).default(1200),
    })
    .prefault({}),
  /** Count what comes from this machine too. */
  limitLoopback: z.boolean().default(false),
  /** Proxies before this gateway, whose X-Forwarded-For says who the client is: how many, or their addresses. Without it the address of the connection counts. */
  trustProxy: z
    .union([
      z.int().min(1).max(8),
      z
        .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]))
        .min(1)
        .max(32),
    ])
    .optional(),
  /** File of the operator's key (mode 0600); without it what only operators may do is refused. */
  operatorKeyFile: z.string().min(1).optional(),
  /** File of the key that signs receipts and audits (ed25519, 32 secret bytes, mode 0600); without it nothing is signed. */
  receiptKeyFile: z.string().min(1).optional(),
  /** Audits of this bridge, made by a process beside the gateway; without it none are made. */
  audit: z
    .strictObject({
      /** Milliseconds between two audits. */
      everyMs: z.int().min(1000).max(86_400_000).default(3_600_000),
      /** Milliseconds a deposit, a withdrawal, an attestation may take before it is a finding. */
      patienceMs: z.int().min(1000).max(604_800_000).default(3_600_000),
      /** SHA-256 (hex) of token sources, besides the one this version brings, that a process may run. */
      tokenSources: z
        .array(z.string().regex(/^[0-9a-f]{64}$/, 'write a SHA-256 as 64 lower-case hex digits'))
        .max(64)
        .default([]),
    })
    .optional(),
  /** Keys that signed receipts before, so that those go on being good: the public key, and when it went out of use. */
  retiredReceiptKeys: z
    .array(
      z.strictObject({
        key: z.string().refine(isKeyId, 'a key is the base64url of 32 bytes'),
        until: z.iso.datetime(),
      }),
    )
    .max(32)
    .default([]),
  /** Everything of AO put on Arweave; without it this database alone keeps it. */
  settlement: settlementSchema.optional(),
});

export const gatewaySchema = shape.refine((c) => c.settlement === undefined || c.ao.engine === 'embedded', {
  path: ['settlement'],
  error: 'only a gateway that carries AO itself settles: others’ schedulers settle their own',
});

export type GatewayConfig = z.output<typeof gatewaySchema>;
export type AssetConfig = GatewayConfig['assets'][number];
