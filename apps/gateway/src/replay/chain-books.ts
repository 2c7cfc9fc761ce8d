/**
 * The chain's side of a replay: every deposit of the vault into the index, each mint held against one, and for each asset what the vault
 * holds against what AO owes (I3). What the chain is, is in the spawn of the token process.
 */
import { SettlementFinding } from '@isthmus/arweave';
import { chainIdOf, familyOf, shortfall } from '@isthmus/bridge';
import { RpcPool, VaultWatcher, type VaultCursor, type VaultScan } from '@isthmus/chains';
import { StoredSlots, tagOf } from '@isthmus/ao';
import type { DataSource } from 'typeorm';
import { getAddress, isAddress, zeroAddress, type Hex } from 'viem';
import { totalsAt } from '../state/asset-totals.js';
import { ChainIndex } from '../homes/ethereum/chain-index.js';
import { TransferStore } from '../transfers/transfer-store.js';
import { ReplayError } from './error.js';

/** Books of one asset: the vault at a height, the process as of the last seal. Base units. */
export interface ReplayedBooks {
  asset: string;
  process: string;
  height: bigint;
  locked: bigint;
  supply: bigint;
  inFlight: bigint;
  /** Paid by the vault, and not known as released to the process. */
  releasedUnattested: bigint;
}

interface TokenOfVault {
  process: string;
  /** CAIP-19 */
  id: string;
  address: Hex;
}

interface VaultOfTokens {
  chain: string;
  vault: Hex;
  tokens: TokenOfVault[];
}

/** How a chain is read. */
export interface ChainOptions {
  /** CAIP-2: which chain the sources are of; may be left out where there is only one that can be read. */
  chain?: string | undefined;
  /** RPC sources, of which more than half must agree. */
  urls: readonly string[];
  /** The vault is not older than this block. */
  fromBlock: number;
}

/** @throws SettlementFinding `books-short`; AgreementLost and its kin when the chain cannot be read; ReplayError */
export async function checkBooks(
  database: DataSource,
  assets: ReadonlyMap<string, string>,
  { chain, urls, fromBlock }: ChainOptions,
): Promise<ReplayedBooks[]> {
  const books: ReplayedBooks[] = [];
  for (const vault of onOneChain(await vaultsOf(database, assets), chain))
    books.push(...(await booksOf(database, vault, urls, fromBlock)));
  return books;
}

/** Those on the chain the sources are of. @throws ReplayError where it is not clear which that is */
export function onOneChain<V extends { chain: string }>(vaults: readonly V[], chain: string | undefined): V[] {
  const chains = [...new Set(vaults.map((v) => v.chain))];
  if (chain === undefined && chains.length > 1)
    throw new ReplayError(
      'bad-request',
      `There are vaults on several chains: say with --chain which one --rpc is of (${chains.join(', ')}).`,
    );
  if (chain !== undefined && !chains.includes(chain))
    throw new ReplayError(
      'bad-request',
      `--chain: no vault that can be read is on ${chain}; there are ${chains.join(', ') || 'none'}.`,
    );
  return vaults.filter((v) => chain === undefined || v.chain === chain);
}

/** Vaults that can be read here, contracts on chains like Ethereum: those of another family are read once there is a case for it. */
async function vaultsOf(database: DataSource, assets: ReadonlyMap<string, string>): Promise<VaultOfTokens[]> {
  const stored = new StoredSlots(database);
  const vaults = new Map<string, VaultOfTokens>();
  for (const [process, id] of assets) {
    const spawn = await stored.spawn(process);
    if (!spawn) continue;
    const [chain, vault] = [tagOf(spawn, 'Isthmus-Chain'), tagOf(spawn, 'Isthmus-Vault')];
    if (familyOf(chain) !== 'eip155') continue;
    if (!isAddress(vault))
      throw new ReplayError('bad-request', `Process ${process} names no vault: its books cannot be held against one.`);
    const known = vaults.get(`${chain} ${vault}`) ?? { chain, vault: getAddress(vault), tokens: [] };
    known.tokens.push({ process, id, address: addressOf(id) });
    vaults.set(`${chain} ${vault}`, known);
  }
  return [...vaults.values()];
}

/** Contract of an asset; the zero address for the chain's coin. */
function addressOf(id: string): Hex {
  const [, token] = /\/erc20:(0x[0-9a-fA-F]{40})$/.exec(id) ?? [];
  return token === undefined ? zeroAddress : getAddress(token);
}

async function booksOf(
  database: DataSource,
  { chain, vault, tokens }: VaultOfTokens,
  urls: readonly string[],
  deployBlock: number,
): Promise<ReplayedBooks[]> {
  const agreement = Math.floor(urls.length / 2) + 1;
  const pool = new RpcPool({ urls, agreement, chainId: chainIdOf(chain), finality: { tag: 'finalized' } });
  const watcher = new Watched(pool, vault);
  const config = { chain: { id: chain, vault, deployBlock }, assets: tokens };
  const index = new ChainIndex(config, database, watcher, new TransferStore(database));
  await index.step();
  await assertDeposited(database, tokens);
  return Promise.all(tokens.map((token) => bookOf(database, watcher, token, index.height)));
}

/** A watcher that remembers what was paid. */
class Watched extends VaultWatcher {
  /** Amounts paid, by process and number: as many as there are withdrawals that the process may not know as released. */
  readonly paid: { process: string; number: bigint; amount: bigint }[] = [];

  override async step(cursor: VaultCursor): Promise<VaultScan | null> {
    const scan = await super.step(cursor);
    for (const log of scan?.logs ?? [])
      if (log.type === 'released') this.paid.push({ process: log.process, number: log.number, amount: log.amount });
    return scan;
  }
}

/** Every mint is of a deposit that the chain shows. @throws SettlementFinding */
async function assertDeposited(database: DataSource, tokens: readonly TokenOfVault[]): Promise<void> {
  const rows: { id: string; process: string; slot: string; message: string }[] = await database.query(
    `select t.id, t.process, s.proof ->> 'slot' as slot, s.proof ->> 'message' as message
     from transfer t join transfer_step s on s.transfer = t.id and s.kind = 'minted'
     where t.process = any($1) and not exists (select 1 from transfer_step f where f.transfer = t.id and f.kind = 'final') limit 1`,
    [tokens.map((t) => t.process)],
  );
  const [row] = rows;
  if (row)
    throw new SettlementFinding(
      'books-short',
      `Deposit ${row.id} was minted, and no final block of the chain has it.`,
      {
        process: row.process,
        slot: Number(row.slot),
        item: row.message,
      },
    );
}

async function bookOf(
  database: DataSource,
  watcher: Watched,
  { process, id: asset, address }: TokenOfVault,
  height: bigint,
): Promise<ReplayedBooks> {
  const { minted, burned, released } = await totalsAt(database, process);
  const locked = await watcher.read<bigint>('locked', [address], height);
  const known: { number: string }[] = await database.query(
    `select number from transfer where process = $1 and direction = 'withdrawal' and state in ('released', 'held')`,
    [process],
  );
  const attested = new Set(known.map((k) => BigInt(k.number)));
  const releasedUnattested = watcher.paid
    .filter((paid) => paid.process === process && !attested.has(paid.number))
    .reduce((sum, { amount }) => sum + amount, 0n);
  const books = {
    asset,
    process,
    height,
    locked,
    supply: minted - burned,
    inFlight: burned - released,
    releasedUnattested,
  };
  const short = shortfall({ ...books, locked: locked + releasedUnattested });
  if (short > 0n)
    throw new SettlementFinding(
      'books-short',
      `The vault holds ${locked} of ${asset} at block ${height} (and has paid ${releasedUnattested} that AO does not know of); AO owes ${books.supply} and ${books.inFlight} in flight: ${short} too little.`,
      { process },
    );
  return books;
}
