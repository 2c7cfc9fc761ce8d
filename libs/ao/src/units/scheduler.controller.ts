/** `/su`: a scheduler unit. Places items and shows schedules, as JSON or as the bundle a replica checks. */
import { Body, Controller, Get, Headers, HttpCode, Param, Post, Query, Res, UseFilters } from '@nestjs/common';
import type { Response } from 'express';
import { z } from 'zod';
import { encodeBundle } from '../items/index.js';
import { AoPipeline } from '../pipeline.js';
import { tagOf } from '../items/tags.js';
import { MAX_ENTRIES } from '../scheduler/scheduler.js';
import type { ScheduleEntry } from '../types.js';
import { UnitError, UnitErrors } from './errors.js';
import { bytesOf } from './raw-body.js';
import { entryView, processView } from './views.js';

const whole = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const listShape = z.object({
  'process-id': z.string().min(1),
  from: whole.optional(),
  to: whole.optional(),
  'from-nonce': whole.optional(),
  'to-nonce': whole.optional(),
  limit: whole.min(1).default(100),
});

@Controller('su')
@UseFilters(UnitErrors)
export class SchedulerController {
  constructor(private readonly pipeline: AoPipeline) {}

  @Get()
  describe(): Record<string, string> {
    return { timestamp: String(Date.now()), address: this.pipeline.scheduler.address };
  }

  /** An item; or, with `?process-id=&assign=`, an item known here that another process is to have as well. */
  @Post()
  @HttpCode(200)
  async place(@Body() body: unknown, @Query() query: unknown): Promise<Record<string, unknown>> {
    const asked = assignmentAsked(query);
    if (asked) {
      const { assignmentId, timestamp } = await this.pipeline.scheduler.assign(asked.process, asked.message);
      return { id: assignmentId, timestamp };
    }
    const { id, timestamp } = await this.pipeline.scheduler.schedule(bytesOf(body));
    return { id, timestamp };
  }

  @Get('health')
  health(): Record<string, string> {
    return { status: 'ok' };
  }

  @Get('timestamp')
  timestamp(): Record<string, string> {
    return {
      timestamp: String(Date.now()),
      block_height: String(this.pipeline.scheduler.blockHeight).padStart(12, '0'),
    };
  }

  @Get('processes/:process')
  async process(@Param('process') process: string): Promise<Record<string, unknown>> {
    const [spawn] = await this.pipeline.scheduler.entries(process, 0, 1);
    if (!spawn) throw unknownProcess(process);
    return processView(spawn);
  }

  @Get(':process/latest')
  async latest(@Param('process') process: string): Promise<Record<string, unknown>> {
    const entry = await this.pipeline.scheduler.latest(process);
    if (!entry) throw unknownProcess(process);
    return entryView(entry);
  }

  /** A schedule when `id` is the process, else the entry of one message or assignment. */
  @Get(':id')
  async read(
    @Param('id') id: string,
    @Query() query: unknown,
    @Headers('accept') accept: string | undefined,
    @Res() response: Response,
  ): Promise<void> {
    const asked = listShape.parse(query);
    const process = asked['process-id'];
    if (id !== process) {
      const entry = await this.pipeline.scheduler.entryOf(process, id);
      if (!entry) throw new UnitError(404, `Process ${process} has no message or assignment ${id}.`);
      response.json(entryView(entry));
      return;
    }
    if (!(await this.pipeline.scheduler.hasProcess(process))) throw unknownProcess(process);
    const limit = Math.min(asked.limit, MAX_ENTRIES);
    const page = await this.pipeline.scheduler.page(process, {
      fromNonce: asked['from-nonce'] ?? 0,
      toNonce: asked['to-nonce'],
      after: asked.from,
      until: asked.to,
      limit,
    });
    if (accept?.includes('application/octet-stream'))
      response
        .type('application/octet-stream')
        .send(encodeBundle(page.entries.flatMap((e) => [e.assignment, e.message])));
    else response.json(pageView(page.entries, page.more));
  }
}

const assignShape = z.object({
  'process-id': z.string().min(1),
  assign: z.string().min(1),
  'base-layer': z.unknown().optional(),
  exclude: z.string().optional(),
});

/** Which message a request wants assigned to which process, or null when it brings an item. @throws UnitError, ZodError */
export function assignmentAsked(query: unknown): { process: string; message: string } | null {
  if (typeof query !== 'object' || query === null || !('process-id' in query || 'assign' in query)) return null;
  const { 'process-id': process, assign, 'base-layer': baseLayer, exclude } = assignShape.parse(query);
  if (baseLayer !== undefined)
    throw new UnitError(
      501,
      'Transactions of Arweave’s base layer are not assigned here: no chain is watched for them.',
    );
  if (exclude !== undefined && exclude !== '')
    throw new UnitError(501, 'Exclude is not done here: whoever checks a schedule needs whole messages.');
  return { process, message: assign };
}

function pageView(entries: readonly ScheduleEntry[], more: boolean): Record<string, unknown> {
  return {
    page_info: { has_next_page: more },
    edges: entries.map((e) => ({ node: entryView(e), cursor: tagOf(e.assignment, 'Timestamp') })),
  };
}

const unknownProcess = (process: string): UnitError => new UnitError(404, `There is no process ${process} here.`);
