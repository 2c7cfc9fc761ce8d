/** A home chain of the local stack besides Ethereum: its node as a child process, what is deployed on it, and what is told of it. */
import fs from 'node:fs';
import path from 'node:path';
import { ethereumSigner, type Item } from '@isthmus/ao';
import { tokenSpawn, type TokenPlan, type TokenSet } from '@isthmus/founding';
import { ConfigError, projectRoot } from '@isthmus/store';
import { devKey } from './accounts.js';
import { SupervisedChild } from './supervisor.js';

/** An asset of a local home, as people meet it. */
export interface LocalAsset {
  /** CAIP-19 */
  id: string;
  symbol: string;
  name: string;
  decimals: number;
  process: string;
}

export interface LocalHome {
  /** As people read it. */
  name: string;
  /** CAIP-2 */
  chain: string;
  /** JSON-RPC, with its login where it has one. */
  rpcUrl: string;
  /** The vault's address on the chain, of its first asset. */
  vault: string;
  child: SupervisedChild;
  assets: LocalAsset[];
  /** Spawns of its token processes, base64. */
  items: string[];
  /** Entry of the gateway's `homes`. */
  gateway: object;
  /** Entry of each guardian's `homes`, by its index. */
  guardian: (index: number) => object;
}

/** What all local homes are given. */
export interface LocalHomeParts {
  /** Folder of the stack's state. */
  home: string;
  port: number;
  /** Key files of the guardians on this chain, in their order. */
  keyFiles: readonly string[];
  threshold: number;
  set: Omit<TokenSet, 'keys'>;
  /** Module of the token processes. */
  module: Item;
  /** Milliseconds between two looks. */
  pollMs: number;
}

/** What a local home decides about an asset; amounts in base units. */
export type LocalPlan = TokenPlan & { minDeposit: bigint };

/** Of the limits: an hour. */
export const WINDOW_MS = 3_600_000;

/** A child of the stack whose program is in this folder of libs/devnet. */
export function childOf(home: string, name: string, config: object, healthUrl: string): SupervisedChild {
  const file = path.join(home, `${name}.json`);
  fs.writeFileSync(file, JSON.stringify(config, null, 2), { mode: 0o600 });
  return new SupervisedChild({
    name,
    entry: path.join(projectRoot(), 'dist/libs/devnet/src', name, 'main.js'),
    config: file,
    logFile: path.join(home, 'logs', `${name}.log`),
    healthUrl,
  });
}

/** What was deployed before, when the chain still has it; else it is deployed, and kept. @throws ConfigError when the chain has lost it */
export async function deployOnce<D>(
  file: string,
  chain: string,
  isThere: (kept: D) => Promise<boolean>,
  deploy: () => Promise<D>,
): Promise<D> {
  if (fs.existsSync(file)) {
    const kept = JSON.parse(fs.readFileSync(file, 'utf8')) as D; // written below
    if (await isThere(kept)) return kept;
    throw new ConfigError(
      `The local ${chain} has lost what was deployed on it: "npm run reset" clears the local state, then start again.`,
    );
  }
  const made = await deploy();
  fs.writeFileSync(`${file}.new`, JSON.stringify(made, null, 2));
  fs.renameSync(`${file}.new`, file);
  return made;
}

/** The token processes of a local home, the same items whenever they are made. */
export async function processesOf(
  module: Item,
  set: TokenSet,
  plans: readonly TokenPlan[],
): Promise<{ assets: LocalAsset[]; items: string[] }> {
  const spawns = await Promise.all(plans.map((plan) => tokenSpawn(ethereumSigner(devKey(0)), module, plan, set)));
  return {
    items: spawns.map((spawn) => spawn.raw.toString('base64')),
    assets: plans.map(({ id, symbol, name, decimals }, i) => ({
      id,
      symbol,
      name,
      decimals,
      process: spawns[i]?.id ?? '',
    })),
  };
}
