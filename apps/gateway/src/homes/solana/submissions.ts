/** What the relayer has sent, and what became of it; kept before anything leaves, so that a restart sends the same bytes again and no others. */
import type { DataSource, EntityManager } from 'typeorm';

export interface Submission {
  /** The transaction's name. */
  signature: string;
  process: string;
  /** Id of the proposal it carries out. */
  proposal: string;
  nonce: { account: string; value: string };
  price: bigint;
  /** Withdrawals it pays; none for a hand-over. */
  numbers: bigint[];
  wire: Buffer;
}

/** Looked at in one round: as many nonces as a relayer may have, with some prices each. */
const OPEN_AT_ONCE = 128;

export class Submissions {
  constructor(
    private readonly database: DataSource,
    private readonly chain: string,
  ) {}

  /** Those that may still happen. */
  async open(): Promise<Submission[]> {
    const rows: {
      signature: string;
      process: string;
      proposal: string;
      nonce_account: string;
      nonce_value: string;
      price: string;
      numbers: string[];
      wire: string;
    }[] = await this.database.query(
      `select * from solana_submission where chain = $1 and state = 'sent' order by sent_at, signature limit ${OPEN_AT_ONCE}`,
      [this.chain],
    );
    return rows.map((r) => ({
      signature: r.signature,
      process: r.process,
      proposal: r.proposal,
      nonce: { account: r.nonce_account, value: r.nonce_value },
      price: BigInt(r.price),
      numbers: r.numbers.map(BigInt),
      wire: Buffer.from(r.wire, 'base64'),
    }));
  }

  /** Which of these proposals were ever sent. */
  async sentAmong(proposals: readonly string[]): Promise<Set<string>> {
    const rows: { proposal: string }[] = await this.database.query(
      'select proposal from solana_submission where chain = $1 and proposal = any($2)',
      [this.chain, proposals],
    );
    return new Set(rows.map((r) => r.proposal));
  }

  /** False when another gateway on this database has kept it. */
  async keep(manager: EntityManager, { nonce, wire, ...one }: Submission, at: Date): Promise<boolean> {
    const kept: unknown[] = await manager.query(
      `insert into solana_submission (chain, signature, process, proposal, nonce_account, nonce_value, price, numbers, wire, state, sent_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'sent', $10) on conflict do nothing returning signature`,
      [
        this.chain,
        one.signature,
        one.process,
        one.proposal,
        nonce.account,
        nonce.value,
        String(one.price),
        one.numbers.map(String),
        wire.toString('base64'),
        at,
      ],
    );
    return kept.length > 0;
  }

  async end(manager: EntityManager, signature: string, state: 'final' | 'failed' | 'superseded'): Promise<void> {
    await manager.query(
      `update solana_submission set state = $3 where chain = $1 and signature = $2 and state = 'sent'`,
      [this.chain, signature, state],
    );
  }

  /** The transactions that paid these withdrawals, in final state, by number. */
  async paymentsOf(process: string, numbers: readonly bigint[]): Promise<Map<bigint, string>> {
    const rows: { number: string; signature: string }[] = await this.database.query(
      'select number, signature from solana_payment where process = $1 and number = any($2::bigint[])',
      [process, numbers.map(String)],
    );
    return new Map(rows.map((r) => [BigInt(r.number), r.signature]));
  }
}
