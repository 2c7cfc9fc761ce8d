/** What the gateway knows of the vault's coins and of withdrawals, as the facts a proposed batch is built from again. */
import {
  depositScript,
  parseAddress,
  type BitcoinNetwork,
  type Payout,
  type VaultCoin,
  type VaultScript,
  chainOf,
} from '@isthmus/chains';
import type { DataSource } from 'typeorm';
import type { AddressBook } from './address-book.js';
import type { VaultSets } from './vault-sets.js';

/** SQL: whether an outpoint `<txid>:<vout>` is the change of a batch. The batch's id stands alone in it, so that an index finds it. */
export const isChange = (outpoint: string, txid: string): string =>
  `${txid} = left(${outpoint}, -2) and right(${outpoint}, 2) = ':0'`;

export class Coins {
  private readonly chain: string;

  constructor(
    private readonly database: DataSource,
    private readonly network: BitcoinNetwork,
    private readonly sets: VaultSets,
    private readonly addresses: AddressBook,
  ) {
    this.chain = chainOf(network);
  }

  /** Satoshis of all coins that are not spent. */
  async held(): Promise<bigint> {
    const [row]: { sum: string }[] = await this.database.query(
      'select coalesce(sum(value), 0) as sum from bitcoin_coin where chain = $1 and spent_by is null',
      [this.chain],
    );
    return BigInt(row?.sum ?? 0);
  }

  /** Coins by `<txid>:<vout>`: outputs in blocks, and the change of batches that are not mined yet; those that are known. */
  async at(outpoints: readonly string[]): Promise<Map<string, VaultCoin>> {
    const rows: { txid: string; vout: number; value: string; script: string }[] = await this.database.query(
      `select c.txid, c.vout, c.value, c.script from bitcoin_coin c join unnest($2::text[]) as o(outpoint)
       on c.txid = split_part(o.outpoint, ':', 1) and c.vout::text = split_part(o.outpoint, ':', 2) where c.chain = $1
       union select b.txid, 0, b.change_value, b.change_script from bitcoin_batch b join unnest($2::text[]) as o(outpoint)
       on ${isChange('o.outpoint', 'b.txid')} where b.chain = $1`,
      [this.chain, outpoints],
    );
    const coins = new Map<string, VaultCoin>();
    for (const { txid, vout, value, script } of rows) {
      const found = await this.lockOf(script);
      if (found) coins.set(`${txid}:${vout}`, { txid, vout, value: BigInt(value), ...found });
    }
    return coins;
  }

  /** Withdrawals of a process, those of these numbers that are known. */
  async payouts(process: string, numbers: readonly bigint[]): Promise<Payout[]> {
    const rows: { number: string; recipient: string; amount: string; max_fee: string }[] = await this.database.query(
      `select number, recipient, amount, max_fee from transfer where process = $1 and number = any($2::bigint[])`,
      [process, numbers.map(String)],
    );
    return rows.map((r) => ({
      number: BigInt(r.number),
      script: parseAddress(r.recipient, this.network).script,
      amount: BigInt(r.amount),
      maxFee: BigInt(r.max_fee),
    }));
  }

  private async lockOf(script: string): Promise<{ lock: VaultScript; deposit: boolean } | null> {
    const vault = this.sets.ofScript(script);
    if (vault) return { lock: vault.lock, deposit: false };
    const registered = await this.addresses.byScript(script);
    return registered && { lock: depositScript(registered.terms), deposit: true };
  }
}
