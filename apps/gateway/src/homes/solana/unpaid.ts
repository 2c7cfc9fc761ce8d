/** Says of withdrawals that nobody proposes to pay why not: who cannot be paid now waits, and holds up nobody. For showing only; guardians look for themselves. */
import { Recently, solana } from '@isthmus/chains';
import type { DataSource } from 'typeorm';
import type { SolanaAssetConfig } from './config.js';
import type { Vaults } from './vaults.js';

const { judgeRecipient, paidAt } = solana;

/** Withdrawals of an asset looked at at once: two accounts each. */
const AT_ONCE = 50;
/** Milliseconds after which others are looked at, or the same again. */
const AGAIN_MS = 2_000;

interface Row {
  id: string;
  recipient: string;
  amount: string;
  max_fee: string;
  waits: string | null;
  position: string;
}

export class Unpaid {
  private readonly looked = new Recently(() => this.lookAtAll(), AGAIN_MS);
  /** By asset: where the last look ended, so that all have their turn. */
  private readonly ended = new Map<string, string>();

  constructor(
    private readonly database: DataSource,
    private readonly assets: readonly SolanaAssetConfig[],
    private readonly pool: Pick<solana.SolanaPool, 'accounts' | 'finalized'>,
    private readonly vaults: Pick<Vaults, 'vaultOf'>,
  ) {}

  /** @throws AgreementLost, and as `Vaults.vaultOf` */
  look(): Promise<void> {
    return this.looked.get();
  }

  private async lookAtAll(): Promise<void> {
    for (const asset of this.assets) await this.lookAt(asset);
  }

  private async lookAt(asset: SolanaAssetConfig): Promise<void> {
    const rows: Row[] = await this.database.query(
      `select id, recipient, amount, max_fee, waits, position from transfer where process = $1 and state = 'queued'
       order by position <= $2, position limit ${AT_ONCE}`,
      [asset.process, this.ended.get(asset.id) ?? '0'],
    );
    this.ended.set(asset.id, rows.at(-1)?.position ?? '0');
    if (rows.length === 0) return;
    const reasons = await this.reasons(asset, rows);
    const changed = rows.flatMap(({ id, waits }, i) => (reasons[i] === waits ? [] : [{ id, why: reasons[i] ?? null }]));
    await this.database.query(
      `update transfer t set waits = c.why from unnest($1::text[], $2::text[]) as c(id, why) where t.id = c.id and t.state = 'queued'`,
      [changed.map((c) => c.id), changed.map((c) => c.why)],
    );
  }

  /** Why each of these cannot be paid; null where it can. */
  private async reasons(asset: SolanaAssetConfig, rows: readonly Row[]): Promise<(string | null)[]> {
    const vault = await this.vaults.vaultOf(asset);
    const fee = asset.relayFee ?? 0n;
    await this.pool.finalized();
    const accounts = await this.pool.accounts(rows.flatMap((r) => [r.recipient, paidAt(vault, r.recipient)]));
    return rows.map((row, i) => {
      if (BigInt(row.max_fee) < fee) return 'fee-too-low';
      const at = { wallet: accounts[2 * i] ?? null, account: accounts[2 * i + 1] ?? null };
      const judged = judgeRecipient(vault, row.recipient, at, BigInt(row.amount) - fee);
      return judged.payable ? null : judged.why;
    });
  }
}
