/** A home on Solana read for a replay: the final history of each vault account, by the index of the gateway. */
import { solana } from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import { VaultIndex } from '../../homes/solana/vault-index.js';
import { Vaults } from '../../homes/solana/vaults.js';
import { TransferStore } from '../../transfers/transfer-store.js';
import { drawUp, type HomeToRead, type ReplayedBooks, type TokenOfHome } from './asset-books.js';
import { assertDeposited, assertMintedAsSeen } from './mints.js';
import { Payments, type SeenPayment } from './payments.js';

/** @throws SettlementFinding, what the watcher throws, VaultUnfit, VaultDiffers */
export async function readSolana(home: HomeToRead): Promise<ReplayedBooks[]> {
  const { chain, urls, agreement } = home;
  const pool = new solana.SolanaPool({ urls, agreement, chain });
  const vaults = new Vaults(pool);
  const books: ReplayedBooks[] = [];
  for (const token of home.tokens) books.push(await readVault(home, token, pool, vaults));
  return books;
}

async function readVault(
  { database, chain }: HomeToRead,
  token: TokenOfHome,
  pool: solana.SolanaPool,
  vaults: Vaults,
): Promise<ReplayedBooks> {
  const { vault, rent } = await vaults.read(token);
  const payments = new Payments(database, token.process);
  const index = new VaultIndex(token, {
    chain,
    database,
    pool,
    store: new TransferStore(database),
    vaults,
    log: SILENT,
    onFinal: async (events) => {
      await assertMintedAsSeen(database, index.depositsIn(events));
      await payments.take(events.flatMap((event) => paymentsOf(event, vault, payments)));
    },
  });
  const { balance, slot } = await index.catchUp();
  await assertDeposited(database, [token.process]);
  await payments.end();
  const locked = balance > rent ? balance - rent : 0n;
  return drawUp(database, token, { locked, height: BigInt(slot) }, payments);
}

/** @throws SettlementFinding for what leaves the vault and is no payment of its process */
function paymentsOf(event: solana.VaultEvent, vault: solana.DepositVault, payments: Payments): SeenPayment[] {
  if (event.type === 'deposited') return [];
  const { signature: tx, amount } = event;
  if (event.type === 'unexplained')
    throw payments.finding(`Transaction ${tx} takes ${amount} from the vault, and names no withdrawal.`);
  if (event.process !== payments.process)
    throw payments.finding(
      `Transaction ${tx} takes ${amount} from the vault for process ${event.process}, whose it is not.`,
    );
  const isTo = (recipient: string): boolean => solana.paidAt(vault, recipient) === event.to;
  return [{ number: event.number, paid: amount, isTo, tx }];
}

/** What the index tells is told by findings here. */
const SILENT: Pick<Logger, 'error'> = { error: () => undefined };
