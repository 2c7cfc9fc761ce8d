/**
 * A home on Bitcoin read for a replay: every block, by the index of the gateway, with the addresses and keys its process' schedule names. Then each
 * mint is held against the output it is of, and each transaction of the guardians against the withdrawals it names.
 */
import { StoredSlots } from '@isthmus/ao';
import { creditedOf, type BitcoinTerms } from '@isthmus/bridge';
import {
  BitcoinPool,
  confirmationsFor,
  isBitcoinAddress,
  namesIn,
  networkOf,
  parseAddress,
  type ParsedBlock,
} from '@isthmus/chains';
import type { DataSource } from 'typeorm';
import { AddressBook } from '../../homes/bitcoin/address-book.js';
import { BitcoinIndex } from '../../homes/bitcoin/chain-index.js';
import { Coins } from '../../homes/bitcoin/coins.js';
import { VaultSets } from '../../homes/bitcoin/vault-sets.js';
import { TransferStore } from '../../transfers/transfer-store.js';
import { ReplayError } from '../error.js';
import { drawUp, type HomeToRead, type ReplayedBooks, type TokenOfHome } from './asset-books.js';
import { assertSame, MINTED, unfounded, type Minted } from './mints.js';
import { Payments, type SeenPayment } from './payments.js';

type Tx = ParsedBlock['txs'][number];

/** Rows read at once. */
const PAGE = 1_000;
/** Whose a deposit is that is for nobody. */
const NOBODY = '-';

/** @throws SettlementFinding, AgreementLost, BitcoinFinalityViolated, ReplayError */
export async function readBitcoin(home: HomeToRead): Promise<ReplayedBooks[]> {
  const { database, chain, urls, agreement, tokens } = home;
  const [token, another] = tokens;
  if (!token) return [];
  if (another)
    throw new ReplayError(
      'bad-request',
      `There are several processes for the bitcoins of ${chain}: say with --process which one is the bridge’s.`,
    );
  const network = networkOf(chain);
  const pool = new BitcoinPool({ urls, agreement, network });
  const slots = new StoredSlots(database);
  const sets = new VaultSets(database, slots, token.process, network);
  const addresses = new AddressBook(database, slots, token.process, network, sets);
  const config = { chain: {}, assets: [token] };
  const index = new BitcoinIndex(config, database, pool, new TransferStore(database), addresses);
  do await index.step();
  while (index.isBehind && sets.terms);
  const { tip } = index;
  if (tip === null || !sets.terms)
    throw new ReplayError('bad-request', `${chain} does not reach the first block of process ${token.process} yet.`);
  await assertDeposited(database, chain, token, sets.terms, tip);
  const payments = new Payments(database, token.process);
  const isVault = (script: Buffer): boolean => sets.ofScript(script.toString('hex')) !== null;
  const isPaid = (script: Buffer, to: string): boolean =>
    isBitcoinAddress(to, network) && script.equals(parseAddress(to, network).script);
  for await (const tx of guardiansTransactions(database, chain, pool))
    await payments.take(paymentsIn(tx, { isVault, isPaid }, payments));
  await payments.end();
  const locked = await new Coins(database, network, sets, addresses).held();
  return [await drawUp(database, token, { locked, height: BigInt(tip) }, payments)];
}

/** Every mint is of an output on the chain that has its confirmations. @throws SettlementFinding */
async function assertDeposited(
  database: DataSource,
  chain: string,
  { process }: TokenOfHome,
  terms: BitcoinTerms,
  tip: number,
): Promise<void> {
  for (let after = ''; ;) {
    const rows: (Minted & Partial<Coin>)[] = await database.query(
      `select m.*, c.value, c.height, c.together, c.coinbase, c.recipient as "to" from (${MINTED} where t.process = $2 and t.id > $3 order by t.id limit ${PAGE}) m
       join transfer d on d.id = m.id left join bitcoin_coin c on c.chain = $1 and c.claim in ('deposit', 'memo')
         and c.txid = split_part(d.reference, ':', 3) and c.vout::text = split_part(d.reference, ':', 4)
       order by m.id`,
      [chain, process, after],
    );
    for (const row of rows) assertOnChain(row, terms, tip);
    const last = rows.at(-1);
    if (!last) return;
    after = last.id;
  }
}

/** An output that pays the vault; all null when there is none. */
interface Coin {
  value: string | null;
  height: number;
  together: string;
  coinbase: boolean;
  to: string | null;
}

function assertOnChain(row: Minted & Partial<Coin>, terms: BitcoinTerms, tip: number): void {
  const { value, height = 0, together = '0', coinbase = false, to } = row;
  if (value === null || value === undefined) throw unfounded(row, 'and no block of the chain has it');
  const required = confirmationsFor(terms.finality, BigInt(together), coinbase);
  if (tip - height + 1 < required)
    throw unfounded(row, `and has ${tip - height + 1} of the ${required} confirmations it needs`);
  const credited = creditedOf(BigInt(value), terms);
  assertSame(
    row,
    credited === null ? { recipient: NOBODY, amount: 0n } : { recipient: to ?? NOBODY, amount: credited },
  );
}

/** Transactions that spend coins of the vault by the guardians' keys, in the order of their blocks. */
async function* guardiansTransactions(
  database: DataSource,
  chain: string,
  pool: Pick<BitcoinPool, 'block'>,
): AsyncGenerator<Tx> {
  for (let after = -1; ;) {
    const blocks: { height: number; hash: string; txids: string[] }[] = await database.query(
      `select spent_height as height, spent_hash as hash, array_agg(distinct spent_by) as txids from bitcoin_coin
       where chain = $1 and spent_height > $2 and not refunded group by spent_height, spent_hash order by spent_height limit ${PAGE}`,
      [chain, after],
    );
    for (const { hash, txids } of blocks) {
      const { txs } = await pool.block(hash);
      for (const tx of txs) if (txids.includes(tx.txid)) yield tx;
    }
    const last = blocks.at(-1);
    if (!last) return;
    after = last.height;
  }
}

/** What of its outputs is whose. */
interface Payees {
  isVault: (script: Buffer) => boolean;
  isPaid: (script: Buffer, to: string) => boolean;
}

/** Its payments: one for each withdrawal that its last output names, behind the change. @throws SettlementFinding for anything else */
function paymentsIn({ txid: tx, outputs }: Tx, { isVault, isPaid }: Payees, payments: Payments): SeenPayment[] {
  const last = outputs.at(-1);
  const numbers = (last?.value === 0n ? namesIn(last.script) : null) ?? [];
  const [change, ...paying] = numbers.length > 0 ? outputs.slice(0, -1) : outputs;
  if (!change || !isVault(change.script) || paying.length !== numbers.length)
    throw payments.finding(`Transaction ${tx} spends the vault’s coins, and does not name what it pays.`);
  return numbers.map((number, i) => {
    const { value = 0n, script = Buffer.alloc(0) } = paying[i] ?? {}; // as many of both
    return { number, paid: value, isTo: (to: string) => isPaid(script, to), tx };
  });
}
