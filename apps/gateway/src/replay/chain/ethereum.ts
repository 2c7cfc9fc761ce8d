/** A home on Ethereum, or a chain like it, read for a replay: each vault's final logs, by the index of the gateway. */
import { chainIdOf } from '@isthmus/bridge';
import { RpcPool, VaultWatcher, type VaultCursor, type VaultScan } from '@isthmus/chains';
import { getAddress, isAddress, zeroAddress, type Hex } from 'viem';
import { ChainIndex } from '../../homes/ethereum/chain-index.js';
import { TransferStore } from '../../transfers/transfer-store.js';
import { ReplayError } from '../error.js';
import { drawUp, type HomeToRead, type ReplayedBooks, type TokenOfHome } from './asset-books.js';
import { assertDeposited, assertMintedAsSeen } from './mints.js';
import { Payments } from './payments.js';

/** @throws SettlementFinding, what the watcher throws, ReplayError */
export async function readEthereum(home: HomeToRead): Promise<ReplayedBooks[]> {
  const vaults = new Map<Hex, TokenOfHome[]>();
  for (const token of home.tokens) {
    const { process, vault } = token;
    if (!isAddress(vault))
      throw new ReplayError('bad-request', `Process ${process} names no vault: its books cannot be held against one.`);
    vaults.set(getAddress(vault), [...(vaults.get(getAddress(vault)) ?? []), token]);
  }
  const books: ReplayedBooks[] = [];
  for (const [vault, tokens] of vaults) books.push(...(await readVault(home, vault, tokens)));
  return books;
}

async function readVault(
  { database, chain, urls, agreement, fromBlock }: HomeToRead,
  vault: Hex,
  tokens: readonly TokenOfHome[],
): Promise<ReplayedBooks[]> {
  const pool = new RpcPool({ urls, agreement, chainId: chainIdOf(chain), finality: { tag: 'finalized' } });
  const payments = new Map(tokens.map(({ process }) => [process, new Payments(database, process)]));
  const assets = tokens.map((token) => ({ ...token, address: addressOf(token.id) }));
  const config = { chain: { id: chain, vault, deployBlock: fromBlock }, assets };
  const watcher = new Watched(pool, vault, async ({ logs }) => {
    await assertMintedAsSeen(database, index.depositsIn(logs));
    const released = logs.filter((log) => log.type === 'released');
    for (const [process, taken] of payments)
      await taken.take(
        released
          .filter((log) => log.process === process)
          .map(({ number, amount, recipient, txHash }) => ({
            number,
            paid: amount,
            isTo: (to: string) => isAddress(to) && getAddress(to) === getAddress(recipient),
            tx: txHash,
          })),
      );
  });
  const index = new ChainIndex(config, database, watcher, new TransferStore(database));
  await index.step();
  await assertDeposited(database, [...payments.keys()]);
  const books: ReplayedBooks[] = [];
  for (const token of assets) {
    const taken = payments.get(token.process) as Payments; // one of each
    await taken.end();
    const locked = await watcher.read<bigint>('locked', [token.address], index.height);
    books.push(await drawUp(database, token, { locked, height: index.height }, taken));
  }
  return books;
}

/** Contract of an asset; the zero address for the chain's coin. */
function addressOf(id: string): Hex {
  const [, token] = /\/erc20:(0x[0-9a-fA-F]{40})$/.exec(id) ?? [];
  return token === undefined ? zeroAddress : getAddress(token);
}

/** A watcher whose scans somebody looks through before they are in the index. */
class Watched extends VaultWatcher {
  constructor(
    pool: RpcPool,
    vault: Hex,
    private readonly onScan: (scan: VaultScan) => Promise<void>,
  ) {
    super(pool, vault);
  }

  override async step(cursor: VaultCursor): Promise<VaultScan | null> {
    const scan = await super.step(cursor);
    if (scan) await this.onScan(scan);
    return scan;
  }
}
