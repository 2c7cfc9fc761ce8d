/** What a guardian keeps of vaults on Solana: how far each is read, payments by their memos, and what nothing was made of. */
import type { solana } from '@isthmus/chains';
import type { DataSource, EntityManager } from 'typeorm';

/** A vault by the process whose asset it holds. */
export interface VaultName {
  process: string;
  vault: string;
}

/**
 * What came of a payment: `released`, as its withdrawal has it; `wrong`, another amount or account, which M guardians must have signed;
 * `settled`, its withdrawal was attested as released before this guardian saw the payment; null, its withdrawal is not known yet.
 */
export type PaymentOutcome = 'released' | 'wrong' | 'settled' | null;

export interface Payment {
  number: bigint;
  signature: string;
  /** The account that was paid. */
  recipient: string;
  amount: bigint;
}

export type JudgedPayment = Payment & { outcome: PaymentOutcome };

/** What happened at a vault and is nothing to attest. */
export interface Refused {
  signature: string;
  place: string;
  amount: bigint;
  reason: string;
}

export class SolanaStore {
  constructor(private readonly database: DataSource) {}

  async cursor({ process, vault }: VaultName): Promise<solana.SolanaCursor | null> {
    const [row]: { signature: string | null; slot: string; balance: string }[] = await this.database.query(
      'select signature, slot, balance from solana_cursor where process = $1 and vault = $2',
      [process, vault],
    );
    return row ? { signature: row.signature, slot: Number(row.slot), balance: BigInt(row.balance) } : null;
  }

  /** What a scan found besides deposits and releases, and where it ended; within its transaction. */
  async keep(
    manager: EntityManager,
    { process, vault }: VaultName,
    found: { cursor: solana.SolanaCursor; payments: readonly JudgedPayment[]; refused: readonly Refused[] },
  ): Promise<void> {
    const { cursor, payments, refused } = found;
    for (const p of payments)
      await manager.query(
        'insert into solana_payment (process, number, signature, recipient, amount, outcome) values ($1, $2, $3, $4, $5, $6) on conflict do nothing',
        [process, String(p.number), p.signature, p.recipient, String(p.amount), p.outcome],
      );
    for (const r of refused)
      await manager.query(
        'insert into solana_refused (process, signature, place, amount, reason) values ($1, $2, $3, $4, $5) on conflict do nothing',
        [process, r.signature, r.place, String(r.amount), r.reason],
      );
    await manager.query(
      `insert into solana_cursor (process, vault, signature, slot, balance) values ($1, $2, $3, $4, $5)
       on conflict (process, vault) do update set signature = excluded.signature, slot = excluded.slot, balance = excluded.balance`,
      [process, vault, cursor.signature, cursor.slot, String(cursor.balance)],
    );
  }

  /** Notes what came of a payment that waited for its withdrawal. */
  async judge(manager: EntityManager, process: string, { number, signature, outcome }: JudgedPayment): Promise<void> {
    await manager.query(
      'update solana_payment set outcome = $4 where process = $1 and number = $2 and signature = $3 and outcome is null',
      [process, String(number), signature, outcome],
    );
  }

  /** Whether any payment waits for its withdrawal. */
  async isWaiting(process: string): Promise<boolean> {
    const rows: unknown[] = await this.database.query(
      'select 1 from solana_payment where process = $1 and outcome is null limit 1',
      [process],
    );
    return rows.length > 0;
  }

  /** Payments of these withdrawals that wait for them. */
  async waiting(process: string, numbers: readonly bigint[]): Promise<Payment[]> {
    const rows: { number: string; signature: string; recipient: string; amount: string }[] = await this.database.query(
      'select number, signature, recipient, amount from solana_payment where process = $1 and number = any($2::bigint[]) and outcome is null',
      [process, numbers.map(String)],
    );
    return rows.map((r) => ({ ...r, number: BigInt(r.number), amount: BigInt(r.amount) }));
  }

  /** Numbers among these of withdrawals for which anything was paid, rightly or not. */
  async paidAmong(process: string, numbers: readonly bigint[]): Promise<Set<bigint>> {
    const rows: { number: string }[] = await this.database.query(
      'select number from solana_payment where process = $1 and number = any($2::bigint[])',
      [process, numbers.map(String)],
    );
    return new Set(rows.map((r) => BigInt(r.number)));
  }
}
