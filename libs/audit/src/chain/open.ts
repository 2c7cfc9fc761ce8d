/** Which reader reads a home chain: one case for each family. */
import { AuditError } from '../domain/error.js';
import type { HomeChain } from '../domain/chain.js';
import type { AssetPlace, Hex } from '../domain/facts.js';
import { familyOf } from '../domain/families.js';
import { BitcoinReader } from './bitcoin/bitcoin-reader.js';
import { VaultReader } from './ethereum/vault-reader.js';
import { SolanaReader } from './solana/solana-reader.js';

/** How a chain is read; what a family has no use for is passed over. */
export interface ChainOptions {
  rpcUrls: readonly string[];
  /**
   * When a block counts. Not less than the guardians wait for on Ethereum, `finalized` unless told; on Bitcoin, where they wait longer for more money, so
   * many confirmations as they want for the least, unless told what the home's terms say.
   */
  finality?: { tag: 'finalized' | 'safe' } | { confirmations: number } | undefined;
  /** On Ethereum the block of the vault's deployment, or any before its first money. */
  startHeight?: bigint;
}

/** @param places of the token processes, at least one @throws AuditError `bad-request` when they are not of one home */
export function openChain(options: ChainOptions, places: readonly AssetPlace[]): HomeChain {
  const [first] = places;
  if (!first || places.some((p) => p.chain !== first.chain))
    throw new AuditError('bad-request', 'The processes are of several chains: audit each home by itself.');
  const family = familyOf(first.chain);
  if (family !== 'solana' && places.some((p) => p.vault !== first.vault))
    throw new AuditError('bad-request', 'The processes are of several vaults: audit each vault by itself.');
  const { rpcUrls, finality, startHeight = 0n } = options;
  if (family === 'eip155') {
    const [vault, assets] = [first.vault as Hex, places.map((p) => p.address as Hex)]; // as families.ts reads them
    const until = finality ?? { tag: 'finalized' };
    return new VaultReader({ rpcUrls, finality: until, deployBlock: startHeight, chain: first.chain, vault, assets });
  }
  if (family === 'bip122') {
    const confirmations = finality && ('tag' in finality ? 0 : finality.confirmations);
    if (confirmations !== undefined && confirmations < 1)
      throw new AuditError('bad-request', 'On Bitcoin finality is a number of confirmations.');
    return new BitcoinReader({ rpcUrls, confirmations, place: first });
  }
  return new SolanaReader(rpcUrls, places);
}
