/** Reports that were made, the newest of them: what is behind is settled on Arweave. */
import type { AuditReport } from '@isthmus/audit';
import type { DataSource } from 'typeorm';

/** Reports kept: more than a year of hourly ones. */
const KEPT = 10_000;

/** The newest bundle that is on Arweave. */
export interface SettledUpTo {
  sequence: number;
  seal: string;
  tx: string;
}

export interface KeptReport {
  seq: string;
  hash: string;
  report: AuditReport;
  madeAt: Date;
  arweave: SettledUpTo | null;
  /** The signed item, when there is a receipt key. */
  item: string | null;
}

export type ReportHead = Pick<KeptReport, 'seq' | 'hash' | 'madeAt' | 'item'> &
  Pick<AuditReport, 'result'> & { chain: string; height: string };

interface Row {
  seq: string;
  hash: string;
  chain: string;
  report: string;
  result: AuditReport['result'];
  height: string;
  made_at: Date;
  bundle: string | null;
  bundle_seal: string | null;
  bundle_carrier: string | null;
  item_id: string | null;
}

export class AuditStore {
  constructor(private readonly database: DataSource) {}

  async add({ hash, report, madeAt, arweave, item }: Omit<KeptReport, 'seq'>): Promise<void> {
    await this.database.query(
      `insert into audit_report (hash, chain, report, result, height, made_at, bundle, bundle_seal, bundle_carrier, item_id)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (hash) do nothing`,
      [
        hash,
        report.inputs.chain,
        JSON.stringify(report),
        report.result,
        report.inputs.height,
        madeAt,
        arweave?.sequence ?? null,
        arweave?.seal ?? null,
        arweave?.tx ?? null,
        item,
      ],
    );
    await this.database.query(
      'delete from audit_report where seq <= (select seq from audit_report order by seq desc offset $1 limit 1)',
      [KEPT],
    );
  }

  /** The newest one of this chain, or of any. */
  newest(chain: string | null = null): Promise<KeptReport | null> {
    return this.one('$1::text is null or chain = $1', chain);
  }

  /** The one of this hash. */
  find(hash: string): Promise<KeptReport | null> {
    return this.one('hash = $1', hash);
  }

  private async one(condition: string, value: string | null): Promise<KeptReport | null> {
    const [row]: Row[] = await this.database.query(
      `select * from audit_report where ${condition} order by seq desc limit 1`,
      [value],
    );
    if (!row) return null;
    const { bundle, bundle_seal: seal, bundle_carrier: tx } = row;
    return {
      seq: row.seq,
      hash: row.hash,
      report: JSON.parse(row.report) as AuditReport,
      madeAt: row.made_at,
      arweave: bundle === null || seal === null || tx === null ? null : { sequence: Number(bundle), seal, tx },
      item: row.item_id,
    };
  }

  /** Newest first, before a place in the list. */
  async list(before: bigint | null, limit: number): Promise<ReportHead[]> {
    const rows: Row[] = await this.database.query(
      `select seq, hash, chain, result, height, made_at, item_id from audit_report
       where $1::bigint is null or seq < $1 order by seq desc limit $2`,
      [before === null ? null : String(before), limit],
    );
    return rows.map(({ seq, hash, chain, result, height, made_at: madeAt, item_id: item }) => {
      return { seq, hash, chain, result, height, madeAt, item };
    });
  }
}
