/** How settlement does: the bundles, and what waits to be in one. */
import { Controller, Get, Headers, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiParam, ApiTags } from '@nestjs/swagger';
import type { BundleRow } from '@isthmus/arweave';
import { z } from 'zod';
import { readQuery } from '../api/input.js';
import { Answers, QueryOf } from '../api/openapi.js';
import { cursor, limit, pageOf } from '../api/paging.js';
import { notFound, Problem } from '../api/problem.js';
import type { SettledBundle, SettledBundlePage, SettlementAnswer } from './schemas.js';
import { SETTLEMENT_PARTS, type SettlementParts } from './tokens.js';

const bundlesQuery = z.strictObject({ cursor: cursor(/^[1-9][0-9]{0,14}$/), limit: limit('bundles') });

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
    const { cursor: from, limit: size } = readQuery(bundlesQuery, query);
    const rows = await this.parts.store.page(from === undefined ? null : Number(from), size + 1);
    const { page, nextCursor } = pageOf(rows, size, (last) => String(last.sequence));
    return { bundles: page.map(bundleView), nextCursor };
  }

  @Post('bundles/:sequence/repost')
  @HttpCode(200)
  @ApiBearerAuth()
  @Answers(
    'SettledBundle',
    'Posts a final bundle again that Arweave has lost (operators only): the same seal, which counts once',
  )
  @ApiParam({ name: 'sequence', description: 'Number of the bundle' })
  async repost(
    @Param('sequence') path: string,
    @Headers('authorization') shown: string | undefined,
  ): Promise<SettledBundle> {
    const { operator, settler, store } = this.parts;
    operator.admit(shown);
    const find = () => (/^[1-9][0-9]{0,14}$/.test(path) ? store.find(Number(path)) : null);
    const row = await find();
    if (!row) throw notFound('bundle of this number');
    if (!(await settler.repost(row.sequence))) throw new Problem('on-its-way', onItsWay((await find()) ?? row));
    return bundleView((await find()) ?? row);
  }
}

/** Posting costs money each time: what is watched anyway is not posted a second time. */
function onItsWay({ sequence, state, repostedAt }: BundleRow): string {
  const since = repostedAt === null ? '' : `, posted again at ${repostedAt.toISOString()}`;
  return `Bundle ${sequence} is ${state}${since}: it is on its way until it is final, and posted again by itself if Arweave drops it.`;
}

function bundleView(row: BundleRow): SettledBundle {
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
    lost: row.lost,
    error: row.error,
    sealedAt: row.sealedAt.toISOString(),
    postedAt: time(row.postedAt),
    confirmedAt: time(row.confirmedAt),
    finalAt: time(row.finalAt),
  };
}
