/** How a gateway puts its schedules on Arweave: the `settlement` part of its configuration. Without it nothing is settled. */
import { unitUrl } from '@isthmus/ao';
import { MAX_PRICE_PER_MIB } from '@isthmus/arweave';
import { z } from 'zod';
import { assetAmounts } from './amounts.js';

const winston = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,30})$/, 'write winston as decimal digits in quotes')
  .transform(BigInt);

export const settlementSchema = z
  .strictObject({
    /** Node or gateway of Arweave with `/tx`, `/chunk`, `/raw` and GraphQL: where bundles are posted, and looked for. */
    arweaveUrl: unitUrl,
    /** A bundling service that takes the bundles as data items (`POST <url>/tx`) and has them paid its own way; else they are transactions of the wallet. */
    bundlerUrl: unitUrl.optional(),
    /** Arweave key file (JWK, mode 0600) of the wallet that pays. It can move nothing of the bridge. */
    walletFile: z.string().min(1),
    /** Bytes of items in a bundle, MiB; one larger item goes alone. */
    bundleMiB: z.number().min(0.01).max(32).default(8),
    /** Seconds an item waits at most for others to fill its bundle. */
    bundleSeconds: z.number().min(0.1).max(86_400).default(60),
    /** Blocks of Arweave after which a bundle can be relied on, and after which it is no longer watched. */
    confirmations: z.int().min(1).max(1000).default(10),
    finalConfirmations: z.int().min(2).max(10_000).default(50),
    /** Seconds a gateway may not know a transaction that was posted, before it is posted again. */
    dropSeconds: z.number().min(0.1).max(86_400).default(1800),
    /**
     * Seconds after which the Arweave gateway's GraphQL shows what was posted, at the latest. After each start nothing is sealed for so long:
     * the database may be an old copy, and what it does not know of not be shown yet.
     */
    indexSeconds: z.number().min(0).max(86_400).default(1800),
    /** Seconds from one look at a final bundle, chosen at random, to the next: is it still there, as it was posted? 0: never. */
    spotCheckSeconds: z.number().min(0).max(86_400).default(600),
    /** Slots of a process from one checkpoint on Arweave to the next. */
    checkpointSlots: z.int().min(1).default(10_000),
    /** Seconds after which what is not confirmed makes `settlement` unwell in /health. */
    behindSeconds: z.number().min(1).default(10_800),
    /** Below this many winston (10^12 are one AR) the wallet counts as short. */
    minBalance: winston.default(0n),
    /** Winston a mebibyte may cost at most: what the node asks for beyond that is not paid. Not with a bundling service. */
    maxPricePerMiB: winston.default(MAX_PRICE_PER_MIB),
    /** So too when it lasts for fewer days at the pace of the last one. */
    minDays: z.number().min(0).default(14),
    /** Milliseconds between two looks at the tables and at Arweave. */
    pollMs: z.int().min(20).max(600_000).default(5000),
    /** What the guardians ask for, to tell holders why a withdrawal waits: above this amount of an asset (CAIP-19, base units) they sign only what is settled. */
    releaseAbove: assetAmounts.default({}),
  })
  .refine((s) => s.confirmations < s.finalConfirmations, {
    path: ['finalConfirmations'],
    error: 'more blocks than confirmations',
  });

export type SettlementConfig = z.output<typeof settlementSchema>;
