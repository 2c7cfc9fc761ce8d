/** How settlement does: the bundles, and what waits to be in one. */
import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiParam, ApiTags } from '@nestjs/swagger';
import type { BundleRow } from '@isthmus/arweave';
import { z } from 'zod';
import { readQuery } from '../api/input.js';
import { Answers, QueryOf } from '../api/openapi.js';
import { cursor, limit, pageOf } from '../api/paging.js';
import { notFound, Problem, read } from '../api/problem.js';
import type { SettledBundle, SettledBundlePage, SettlementAnswer } from './schemas.js';
import { SETTLEMENT_PARTS, type SettlementParts } from './tokens.js';

const MEBI = 1024n * 1024n;
const repostBody = z.strictObject({ force: z.boolean().default(false) });
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
    'Posts a final bundle again that Arweave was seen to have lost, or with force any final one (operators only): the same seal, which counts once',
  )
  @ApiParam({ name: 'sequence', description: 'Number of the bundle' })
  @ApiBody({
    required: false,
    schema: { type: 'object', properties: { force: { type: 'boolean', default: false } }, additionalProperties: false },
  })
  async repost(
    @Param('sequence') path: string,
    @Headers('authorization') shown: string | undefined,
    @Body() body: unknown,
  ): Promise<SettledBundle> {
    const { operator, settler, store } = this.parts;
    operator.admit(shown);
    const { force } = read(repostBody, body ?? {});
    const find = () => (/^[1-9][0-9]{0,14}$/.test(path) ? store.find(Number(path)) : null);
    const row = await find();
    if (!row) throw notFound('bundle of this number');
    const isReposted = await settler.repost(row.sequence, force);
    const now = (await find()) ?? row;
    if (isReposted) return bundleView(now);
    const { funds } = settler.status;
    if (now.state === 'final') throw new Problem('not-lost', notLost(now, funds && funds.pricePerMiB));
    throw new Problem('on-its-way', onItsWay(now));
  }
}

/** Posting costs money each time: what is watched anyway is not posted a second time. */
function onItsWay({ sequence, state, repostedAt }: BundleRow): string {
  const since = repostedAt === null ? '' : `, posted again at ${repostedAt.toISOString()}`;
  return `Bundle ${sequence} is ${state}${since}: it is on its way until it is final, and posted again by itself if Arweave drops it.`;
}

/** @param pricePerMiB winston */
function notLost({ sequence, bytes }: BundleRow, pricePerMiB: bigint | null): string {
  const price = pricePerMiB === null ? '' : `, about ${(pricePerMiB * BigInt(bytes)) / MEBI} winston`;
  return `Bundle ${sequence} was not seen lost: its ${bytes} bytes would be paid for a second time${price}. Look for it at another gateway of Arweave first; with force it is posted again all the same.`;
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
