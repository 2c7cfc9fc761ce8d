/** How settlement does: the bundles, and what waits to be in one. */
import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { BundleRow } from '@isthmus/arweave';
import { z } from 'zod';
import { limit } from '../ao/input.js';
import { readQuery } from '../api/input.js';
import { Answers, QueryOf } from '../api/openapi.js';
import type { SettledBundlePage, SettlementAnswer } from './schemas.js';
import { SETTLEMENT_PARTS, type SettlementParts } from './tokens.js';

const LATER = 'use the nextCursor of the page before';
const bundlesQuery = z.strictObject({
  cursor: z
    .string({ error: LATER })
    .regex(/^[1-9][0-9]{0,14}$/, LATER)
    .optional()
    .describe('nextCursor of the page before'),
  limit: limit(100, 'bundles'),
});

@ApiTags('settlement')
@Controller('v1/settlement')
export class SettlementController {
  constructor(@Inject(SETTLEMENT_PARTS) private readonly parts: SettlementParts) {}

  @Get()
  @Answers('Settlement', 'How settlement on Arweave does')
  async status(): Promise<SettlementAnswer> {
    const { store, settler, config, scheduler } = this.parts;
    const [newest, bundles] = await Promise.all([store.newest(), store.totals()]);
    const { leads, sealsFrom, backlog, funds } = settler.status;
    return {
      scheduler,
      arweaveUrl: config.arweaveUrl,
      settles: leads,
      sealsFrom: sealsFrom === null ? null : new Date(sealsFrom).toISOString(),
      waiting: {
        slots: backlog.slots,
        items: backlog.others,
        since: backlog.since === null ? null : new Date(backlog.since).toISOString(),
      },
      newest: newest.sequence,
      bundles,
      confirmations: config.confirmations,
      wallet: funds && {
        address: funds.wallet,
        balance: String(funds.balance),
        pricePerMiB: String(funds.pricePerMiB),
        bytesPerDay: funds.bytesPerDay,
        days: funds.days,
        at: funds.at.toISOString(),
      },
    };
  }

  @Get('bundles')
  @Answers('SettledBundlePage', 'Bundles of settlement, newest first')
  @QueryOf(bundlesQuery)
  async bundles(@Query() query: unknown): Promise<SettledBundlePage> {
    const { cursor, limit: size } = readQuery(bundlesQuery, query);
    const rows = await this.parts.store.page(cursor === undefined ? null : Number(cursor), size + 1);
    const page = rows.slice(0, size);
    const last = page.at(-1);
    return { bundles: page.map(bundleView), nextCursor: rows.length > size && last ? String(last.sequence) : null };
  }
}

function bundleView(row: BundleRow): SettledBundlePage['bundles'][number] {
  const time = (at: Date | null) => at?.toISOString() ?? null;
  return {
    sequence: row.sequence,
    seal: row.seal,
    state: row.state,
    transaction: row.carrier,
    height: row.height,
    items: row.items,
    slots: row.slots,
    bytes: row.bytes,
    sha256: row.sha256,
    carriers: row.signed,
    error: row.error,
    sealedAt: row.sealedAt.toISOString(),
    postedAt: time(row.postedAt),
    confirmedAt: time(row.confirmedAt),
    finalAt: time(row.finalAt),
  };
}
