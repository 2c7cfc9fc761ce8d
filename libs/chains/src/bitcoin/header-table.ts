/** Headers in a table of PostgreSQL, as guardians and gateways keep them: of each chain in the order they were accepted. */
import { chainOf, type BitcoinNetwork } from './network.js';
import type { HeaderStore } from './headers.js';

/** What a table is asked through: TypeORM's data sources and managers are such. */
export interface Queries {
  query(sql: string, values?: unknown[]): Promise<unknown>;
}

/** The table, for a migration. 80 bytes a block: a year of blocks takes some megabytes. */
export const HEADER_TABLE = `
  create table bitcoin_header (
    position bigint generated always as identity,
    chain text not null,
    header bytea not null,
    primary key (chain, position)
  )`;

/** Headers read at once when a chain is opened. */
const PAGE = 5_000;

export class HeaderTable implements HeaderStore {
  private readonly chain: string;

  constructor(
    private readonly database: Queries,
    network: BitcoinNetwork,
  ) {
    this.chain = chainOf(network);
  }

  async *load(): AsyncIterable<Uint8Array> {
    for (let after = '0'; ;) {
      const rows = (await this.database.query(
        'select position, header from bitcoin_header where chain = $1 and position > $2 order by position limit $3',
        [this.chain, after, PAGE],
      )) as { position: string; header: Buffer }[];
      for (const { header } of rows) yield header;
      const last = rows.at(-1);
      if (!last) return;
      after = last.position;
    }
  }

  async append(headers: readonly Uint8Array[]): Promise<void> {
    // In the order given: each follows one before it.
    await this.database.query(
      'insert into bitcoin_header (chain, header) select $1, header from unnest($2::bytea[]) with ordinality as given(header, place) order by place',
      [this.chain, headers.map((header) => Buffer.from(header))],
    );
  }
}
