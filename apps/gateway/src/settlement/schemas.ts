/** What is answered under /v1/settlement, and what other answers say of where something is on Arweave. */
import { BUNDLE_STATES } from '@isthmus/arweave';
import { z } from 'zod';
import { aoId, time } from '../api/fields.js';

const winston = (what: string) =>
  z
    .string()
    .regex(/^(0|[1-9][0-9]*)$/)
    .describe(`${what}, in winston: 10^12 are one AR`);
const bundleState = z
  .enum(BUNDLE_STATES)
  .describe(
    'sealed: signed, and on its way to Arweave. posted: taken, and waits for blocks. confirmed: deep enough to be relied on. final: no longer watched',
  );

/** Where an item is on Arweave. */
export const settled = z.strictObject({
  bundle: z.int().describe('Number of its bundle'),
  seal: aoId('The bundle’s seal'),
  transaction: aoId('What carries the bundle: the Arweave transaction, or the item of a bundling service')
    .nullable()
    .describe('null before it is signed'),
  state: bundleState,
});

const bundle = z.strictObject({
  sequence: z.int(),
  seal: aoId('Its first item, by which the scheduler vouches for the others'),
  state: bundleState,
  transaction: aoId('What carries it').nullable(),
  height: z.int().nullable().describe('Block of Arweave it is in'),
  items: z.int(),
  slots: z.int().describe('Of these, places in schedules, of two items each'),
  bytes: z.int(),
  sha256: z.string().describe('Of all its bytes'),
  carriers: z.int().describe('Times something was signed to carry it'),
  lost: z
    .enum(['gone', 'other'])
    .nullable()
    .describe('Final, and no longer given as it was posted when it was looked at last: no data, or other bytes'),
  error: z.string().nullable().describe('What went wrong last, if it has not gone well since'),
  sealedAt: time('When'),
  postedAt: time('When').nullable(),
  confirmedAt: time('When').nullable(),
  finalAt: time('When').nullable(),
});
const bundlePage = z.strictObject({
  bundles: z.array(bundle).describe('Newest first'),
  nextCursor: z.string().nullable().describe('The cursor of the next page; null on the last'),
});

const settlement = z.strictObject({
  scheduler: aoId('Who seals: readers of Arweave pin it'),
  arweaveUrl: z.string(),
  settles: z.boolean().describe('Whether it is this gateway that settles, of those on one database'),
  sealsFrom: time(
    'After a start nothing is sealed before this: the database may be an old copy, and Arweave’s index lags. null: nothing is waited for',
  ).nullable(),
  waiting: z
    .strictObject({
      slots: z.int(),
      items: z.int().describe('Items of no schedule'),
      since: time('When the oldest of them was placed').nullable(),
    })
    .describe('What is in no bundle yet, as this gateway saw it last'),
  newest: z.int().describe('Number of the newest bundle; 0 before the first'),
  bundles: z.array(z.strictObject({ state: bundleState, bundles: z.int(), bytes: z.int() })),
  confirmations: z.int().describe('Blocks on Arweave that make a bundle confirmed'),
  wallet: z
    .strictObject({
      address: aoId('Who pays'),
      balance: winston('What it has'),
      pricePerMiB: winston('What a MiB costs now'),
      bytesPerDay: z.int().describe('Settled in the last 24 hours'),
      days: z.number().nullable().describe('It lasts for so long at that pace; null when nothing was settled'),
      at: time('When this was looked up'),
    })
    .nullable()
    .describe('null before it was looked up, and where a bundling service is paid'),
});

export const settlementSchemas = {
  Settlement: settlement,
  SettledBundle: bundle,
  SettledBundlePage: bundlePage,
  Settled: settled,
};

export type SettledView = z.infer<typeof settled>;
export type SettlementAnswer = z.infer<typeof settlement>;
export type SettledBundle = z.infer<typeof bundle>;
export type SettledBundlePage = z.infer<typeof bundlePage>;
