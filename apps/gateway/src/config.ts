/** The gateway's configuration: one JSON file (ISTHMUS_CONFIG) with the environment on top, checked whole at start. */
import { isKeyId, networkShape, unitUrl } from '@isthmus/ao';
import { z } from 'zod';
import { aoId, type HomeAsset } from './homes/asset-config.js';
import { homesSchema } from './homes/config.js';
import { settlementSchema } from './settlement/config.js';

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
  /** Who runs AO: this gateway itself, or a network of others' units. */
  ao: z.discriminatedUnion('engine', [embedded, legacy, core]),
  /** Home chains, each with its vault and what is locked there; none: AO alone is carried. */
  homes: homesSchema,
  /** Milliseconds between two looks at a chain. */
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
/** What is configured of every bridged asset, whatever its home. */
export const assetsOf = ({ homes }: Pick<GatewayConfig, 'homes'>): Omit<HomeAsset, 'minDeposit'>[] =>
  homes.flatMap((h): Omit<HomeAsset, 'minDeposit'>[] => h.assets);
