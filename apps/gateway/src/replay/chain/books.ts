/**
 * The chains' side of a replay: every deposit into the index and each mint held against one, every payment held against its burn, and for each asset what
 * the vault holds against what AO owes (I3). What a home is, is in the spawns of its token processes.
 */
import { StoredSlots, tagOf } from '@isthmus/ao';
import { familyOf, type ChainFamily } from '@isthmus/bridge';
import type { DataSource } from 'typeorm';
import { ReplayError } from '../error.js';
import type { HomeToRead, ReplayedBooks, TokenOfHome } from './asset-books.js';
import { readBitcoin } from './bitcoin.js';
import { readEthereum } from './ethereum.js';
import { readSolana } from './solana.js';

/** Sources of one chain, of which more than half must agree. */
export interface ChainSources {
  /** CAIP-2; may be left out where there is only one chain. */
  chain?: string | undefined;
  urls: readonly string[];
}

/** How the chains are read; one whose sources are not named is not. */
export interface ChainOptions {
  sources: readonly ChainSources[];
  /** On Ethereum no vault is older than this block. */
  fromBlock: number;
}

/** One case for each family of home chains. */
const READERS: { readonly [F in ChainFamily]: (home: HomeToRead) => Promise<ReplayedBooks[]> } = {
  eip155: readEthereum,
  bip122: readBitcoin,
  solana: readSolana,
};

/** @throws SettlementFinding `books-short`; AgreementLost and its kin when a chain cannot be read; ReplayError */
export async function checkBooks(
  database: DataSource,
  assets: ReadonlyMap<string, string>,
  { sources, fromBlock }: ChainOptions,
): Promise<ReplayedBooks[]> {
  const homes = await homesOf(database, assets);
  const books: ReplayedBooks[] = [];
  for (const [chain, urls] of sourcesByChain([...homes.keys()], sources)) {
    const agreement = Math.floor(urls.length / 2) + 1;
    const tokens = homes.get(chain) ?? [];
    books.push(...(await READERS[familyOf(chain)]({ database, chain, urls, agreement, fromBlock, tokens })));
  }
  return books;
}

/** Which sources each chain is read from. @throws ReplayError where that is not clear, or nothing is on a chain that is named */
export function sourcesByChain(
  chains: readonly string[],
  sources: readonly ChainSources[],
): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  const all = chains.join(', ') || 'none';
  for (const { chain: named, urls } of sources) {
    if (named === undefined && chains.length > 1)
      throw new ReplayError(
        'bad-request',
        `There are assets on several chains: say which one each source is of, --rpc <chain>=<url> (${all}).`,
      );
    const chain = named ?? chains[0];
    if (chain === undefined) continue; // there is nothing yet that a vault would hold
    if (!chains.includes(chain))
      throw new ReplayError('bad-request', `--rpc: no asset is on ${chain}; there are ${all}.`);
    found.set(chain, [...(found.get(chain) ?? []), ...urls]);
  }
  return found;
}

/** By chain: the assets whose processes are settled by now, as these were spawned. */
async function homesOf(
  database: DataSource,
  assets: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<string, TokenOfHome[]>> {
  const stored = new StoredSlots(database);
  const homes = new Map<string, TokenOfHome[]>();
  for (const [process, id] of assets) {
    const spawn = await stored.spawn(process);
    if (!spawn) continue;
    const chain = tagOf(spawn, 'Isthmus-Chain');
    const token = {
      process,
      id,
      vault: tagOf(spawn, 'Isthmus-Vault'),
      decimals: Number(tagOf(spawn, 'Denomination')),
    };
    homes.set(chain, [...(homes.get(chain) ?? []), token]);
  }
  return homes;
}
