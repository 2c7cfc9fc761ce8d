/** Mints held against the deposits that a chain shows. */
import { SettlementFinding } from '@isthmus/arweave';
import type { DataSource } from 'typeorm';
import type { Hex } from 'viem';

/** A deposit in a final block. */
export interface SeenDeposit {
  id: Hex;
  /** AO address; `-` where nobody can be credited. */
  recipient: string;
  /** What is credited, base units. */
  amount: bigint;
}

/** A mint, as its process has it. */
export interface Minted {
  id: string;
  process: string;
  recipient: string;
  amount: string;
  slot: string;
  message: string;
}

export const MINTED = `select t.id, t.process, t.recipient, t.amount, s.proof ->> 'slot' as slot, s.proof ->> 'message' as message
  from transfer t join transfer_step s on s.transfer = t.id and s.kind = 'minted'`;

/** What was minted for these deposits was minted for them. @throws SettlementFinding */
export async function assertMintedAsSeen(database: DataSource, deposits: readonly SeenDeposit[]): Promise<void> {
  const rows: Minted[] = await database.query(`${MINTED} where t.id = any($1)`, [deposits.map((d) => d.id)]);
  const minted = new Map(rows.map((row) => [row.id, row]));
  for (const deposit of deposits) {
    const mint = minted.get(deposit.id);
    if (mint) assertSame(mint, deposit);
  }
}

/** @throws SettlementFinding */
export function assertSame(mint: Minted, { recipient, amount }: Omit<SeenDeposit, 'id'>): void {
  if (recipient === mint.recipient && amount === BigInt(mint.amount)) return;
  throw unfounded(mint, `${mint.amount} for ${mint.recipient}, and the chain shows ${amount} for ${recipient}`);
}

/** Every mint is of a deposit that the chain shows, once all final blocks are in the index. @throws SettlementFinding */
export async function assertDeposited(database: DataSource, processes: readonly string[]): Promise<void> {
  const [row]: Minted[] = await database.query(
    `${MINTED} where t.process = any($1) and not exists (select 1 from transfer_step f where f.transfer = t.id and f.kind = 'final') limit 1`,
    [processes],
  );
  if (row) throw unfounded(row, 'and no final block of the chain has it');
}

export const unfounded = (mint: Minted, why: string): SettlementFinding =>
  new SettlementFinding('books-short', `Deposit ${mint.id} was minted, ${why}.`, {
    process: mint.process,
    slot: Number(mint.slot),
    item: mint.message,
  });
