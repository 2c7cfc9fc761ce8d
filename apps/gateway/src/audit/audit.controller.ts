/** What the gateway's auditor has found, newest first. */
import { Controller, Get, Inject, Param, Query } from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { readQuery } from '../api/input.js';
import { Answers, QueryOf } from '../api/openapi.js';
import { cursor, limit, pageOf, POSITION, readCursor, writeCursor } from '../api/paging.js';
import { notFound } from '../api/problem.js';
import { AuditStore, type KeptReport } from './audit-store.js';
import type { AuditAnswerBody, AuditFeed } from './schemas.js';

/** As CAIP-2 has it; whether there is a home of that name the reports tell. */
const newestQuery = z.strictObject({
  chain: z
    .string({ error: 'write it once, as a string' })
    .max(64)
    .optional()
    .describe('CAIP-2: the home chain whose newest audit is meant; that of any without it'),
});
const feedQuery = z.strictObject({ cursor: cursor(POSITION), limit: limit('reports') });

@ApiTags('bridge')
@Controller('v1/audit')
export class AuditController {
  constructor(@Inject(AuditStore) private readonly store: AuditStore) {}

  @Get()
  @Answers(
    'Audit',
    'The newest audit of a home chain of this bridge: what was looked at, each asset’s figures, what was found',
  )
  @QueryOf(newestQuery)
  async newest(@Query() query: unknown): Promise<AuditAnswerBody> {
    return view(await this.store.newest(readQuery(newestQuery, query).chain));
  }

  @Get('feed')
  @Answers('AuditFeed', 'Audits, newest first')
  @QueryOf(feedQuery)
  async feed(@Query() query: unknown): Promise<AuditFeed> {
    const { cursor: from, limit: size } = readQuery(feedQuery, query);
    const rows = await this.store.list(from === undefined ? null : readCursor(from), size + 1);
    const { page, nextCursor } = pageOf(rows, size, (last) => writeCursor(last.seq));
    return {
      reports: page.map(({ hash, chain, result, height, madeAt, item }) => {
        return { hash, chain, result, height, at: madeAt.toISOString(), item };
      }),
      nextCursor,
    };
  }

  @Get(':hash')
  @Answers('Audit', 'One audit by its hash')
  @ApiParam({ name: 'hash', description: 'SHA-256 of the report, 64 hex digits' })
  async one(@Param('hash') hash: string): Promise<AuditAnswerBody> {
    return view(/^[0-9a-f]{64}$/.test(hash) ? await this.store.find(hash) : null);
  }
}

function view(kept: KeptReport | null): AuditAnswerBody {
  if (!kept) throw notFound('audit');
  const { report, hash, madeAt, arweave, item } = kept;
  return { report, hash, made: { at: madeAt.toISOString(), arweave }, item };
}
