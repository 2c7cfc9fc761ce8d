/** What a bridge is to be, in one JSON file: who decides about it, and on each home chain what the gateway is told of it, with what its token processes are spawned with. */
import { unitUrl } from '@isthmus/ao';
import { isEthereumAddress, parseAmount } from '@isthmus/bridge';
import { z } from 'zod';
import { jsonIn, readBounded } from '../files.js';
import { plain } from '../ao/text.js';
import { CommandError } from '../said.js';

const MAX_FILE = 1024 * 1024;

const amount = z.string().transform((text, context): bigint => {
  try {
    return parseAmount(text);
  } catch {
    context.addIssue({ code: 'custom', message: 'write an amount in base units as decimal digits in quotes' });
    return z.NEVER;
  }
});

/** Of both `homes` and spawn. */
const asset = z.looseObject({
  /** CAIP-19 */
  id: z.string().min(1),
  symbol: z.string().min(1).max(32),
  name: z.string().min(1).max(128),
  decimals: z.int().min(0).max(36),
  minWithdrawal: amount,
  /** Base units that may be withdrawn within a window, and its milliseconds. */
  limit: amount,
  windowMs: z.int().min(1000),
});
export type PlannedAsset = z.output<typeof asset>;

const home = z.strictObject({
  /** As the gateway's `homes` have it, without what is yet to be: a vault, its block. */
  chain: z.looseObject({
    /** CAIP-2 */
    id: z.string().min(1),
    name: z.string().min(1),
    rpcUrls: z.array(z.url()).min(1).max(16),
    agreement: z.int().min(1).max(16).default(1),
  }),
  /** Bitcoin and Solana: the guardians' keys there, in their order. */
  keys: z.array(z.string().min(1)).max(32).default([]),
  /** Bitcoin: what is credited, in the words of docs/protocol.md, Terms of a home. */
  terms: z.string().optional(),
  assets: z.array(asset).min(1).max(256),
});
export type PlannedHome = z.output<typeof home>;

export const planSchema = z
  .strictObject({
    /** The gateway whose scheduler takes the processes. */
    gatewayUrl: unitUrl,
    /** Key file of "isthmus keys relayer" that signs the spawns; it has no power over them afterwards. */
    founderKeyFile: z.string().min(1),
    /** AO addresses (EIP-55), in the vaults' order. */
    guardians: z
      .array(z.string().refine(isEthereumAddress, 'write the address with its EIP-55 checksum'))
      .min(1)
      .max(32),
    threshold: z.int().min(1),
    pauseThreshold: z.int().min(1),
    homes: z.array(home).min(1).max(32),
  })
  .superRefine(({ guardians, threshold, pauseThreshold, homes }, context) => {
    const wrong = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    if (new Set(guardians).size !== guardians.length) wrong(['guardians'], 'name each guardian once');
    if (threshold > guardians.length) wrong(['threshold'], 'there are fewer guardians');
    if (pauseThreshold > threshold) wrong(['pauseThreshold'], 'at most as many as threshold');
    for (const [i, { chain, keys }] of homes.entries()) {
      const isEthereum = chain.id.startsWith('eip155:');
      if (!isEthereum && keys.length !== guardians.length)
        wrong(['homes', i, 'keys'], 'name one key for each guardian, in their order');
      if (isEthereum && keys.length > 0)
        wrong(['homes', i, 'keys'], 'on Ethereum guardians sign with their own addresses');
    }
  });
export type Plan = z.output<typeof planSchema>;

/** @throws CommandError naming every wrong key */
export function readPlan(file: string): Plan {
  const read = planSchema.safeParse(jsonIn(readBounded(file, MAX_FILE).toString('utf8')));
  if (read.success) return read.data;
  const wrong = read.error.issues.map((one) => `${one.path.join('.') || '(whole file)'}: ${one.message}`);
  throw new CommandError(`The plan ${plain(file)} is wrong:\n  ${wrong.join('\n  ')}`);
}

/** An asset as the gateway's `homes` show it. */
export function shownAsset({ limit: _, windowMs: __, minWithdrawal, ...rest }: PlannedAsset, process: string): object {
  return { ...rest, process, minWithdrawal: String(minWithdrawal) };
}
