/** `/cu`: a compute unit. Results as stored, and dry-runs on the newest state. */
import { Body, Controller, Get, HttpCode, Param, Post, Query, UseFilters } from '@nestjs/common';
import { z } from 'zod';
import { ComputeError } from '../compute/error.js';
import type { TickResult } from '../messenger/monitors.js';
import { AoPipeline } from '../pipeline.js';
import type { EvaluationResult } from '../types.js';
import { UnitError, UnitErrors } from './errors.js';
import { jsonOf } from './raw-body.js';
import { within } from './within.js';

const MAX_RESULTS = 1000;
/** Longest a list of results waits for what is not evaluated yet. */
const CATCH_UP_MS = 2000;

const resultsShape = z.object({
  from: z.string().optional(),
  to: z.string().optional(),
  sort: z.enum(['ASC', 'DESC']).default('ASC'),
  limit: z.coerce.number().int().min(1).max(MAX_RESULTS).default(25),
});
const cronShape = z.object({
  from: z.string().optional(),
  to: z.string().optional(),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .default(500)
    .transform((n) => Math.min(n, MAX_RESULTS)),
});
const text = z.union([z.string(), z.number().transform(String)]);
const dryRunShape = z.object({
  Id: text.default('0'),
  Target: text.optional(),
  Owner: text.default('0'),
  From: text.optional(),
  Anchor: text.default('0'),
  Data: text.default(''),
  Tags: z
    .array(z.object({ name: z.string(), value: text }))
    .max(128)
    .default([]),
});

@Controller('cu')
@UseFilters(UnitErrors)
export class ComputeController {
  constructor(private readonly pipeline: AoPipeline) {}

  @Get()
  describe(): Record<string, string> {
    return { address: this.pipeline.scheduler.address, timestamp: String(Date.now()) };
  }

  @Get('result/:message')
  async result(@Param('message') message: string, @Query('process-id') process: string): Promise<EvaluationResult> {
    const { result } = await within(this.pipeline.compute.result(required(process), message));
    return result;
  }

  /** `from` is exclusive, `to` inclusive: cursors of this route, or slot numbers. */
  @Get('results/:process')
  async results(@Param('process') process: string, @Query() query: unknown): Promise<Record<string, unknown>> {
    const { from, to, sort, limit } = resultsShape.parse(query);
    if (!(await this.pipeline.scheduler.hasProcess(process)))
      throw new UnitError(404, `There is no process ${process} here.`);
    await this.caughtUp(process);
    const [first, last] = [from ? nonceOf(from) + 1 : 0, to ? nonceOf(to) : Number.MAX_SAFE_INTEGER];
    const descending = sort === 'DESC';
    const found = await this.pipeline.compute.results(process, descending ? last : first, limit + 1, descending);
    const inRange = found.filter(({ nonce }) => nonce >= first && nonce <= last);
    // A page of large results is shorter than was asked for.
    const cut = found.length <= limit ? await this.after(process, found.at(-1)?.nonce, descending) : undefined;
    const more = inRange.length > limit || (cut !== undefined && cut >= first && cut <= last);
    return {
      pageInfo: { hasNextPage: more },
      edges: inRange.slice(0, limit).map(({ nonce, result }) => ({ node: result, cursor: cursorOf(nonce, sort) })),
    };
  }

  /** Results of what was sent before are there, as with AO's units, unless they take long: then they are not in this page yet. */
  private async caughtUp(process: string): Promise<void> {
    await within(this.pipeline.compute.advance(process), CATCH_UP_MS).catch((error: unknown) => {
      if (!(error instanceof ComputeError)) throw error;
    });
  }

  /** Slot of the result after this one. */
  private async after(process: string, nonce: number | undefined, descending: boolean): Promise<number | undefined> {
    if (nonce === undefined) return undefined;
    const next = await this.pipeline.compute.results(process, descending ? nonce - 1 : nonce + 1, 1, descending);
    return next[0]?.nonce;
  }

  /** Results of ticks of the process' clocks, in the order of their times; `from` exclusive, `to` inclusive, as cursors of this route or times. */
  @Get('cron/:process')
  async cron(@Param('process') process: string, @Query() query: unknown): Promise<Record<string, unknown>> {
    const { from, to, limit } = cronShape.parse(query);
    if (!(await this.pipeline.scheduler.hasProcess(process)))
      throw new UnitError(404, `There is no process ${process} here.`);
    await this.caughtUp(process);
    const range = { after: from === undefined ? null : tickOf(from), until: to === undefined ? null : tickOf(to) };
    const ticks = await this.pipeline.monitors.results(process, range, limit + 1);
    // A page of large results is shorter than was asked for.
    const last = ticks.length <= limit ? ticks.at(-1) : undefined;
    const more =
      ticks.length > limit ||
      (last !== undefined && (await this.pipeline.monitors.results(process, { ...range, after: last }, 1)).length > 0);
    return {
      pageInfo: { hasNextPage: more },
      edges: ticks.slice(0, limit).map((tick) => ({ node: tick.result, cursor: cursorOfTick(tick) })),
    };
  }

  @Post('dry-run')
  @HttpCode(200)
  async dryRun(@Query('process-id') process: string, @Body() body: unknown): Promise<EvaluationResult> {
    const { From, Target, ...message } = dryRunShape.parse(jsonOf(body));
    return within(
      this.pipeline.compute.dryRun(required(process), {
        ...message,
        From: From ?? message.Owner,
        Target: Target ?? process,
        Timestamp: Date.now(),
        'Block-Height': String(this.pipeline.scheduler.blockHeight),
      }),
    );
  }
}

function required(process: string | undefined): string {
  if (process) return process;
  throw new UnitError(400, 'Name the process: ?process-id=...');
}

function cursorOf(nonce: number, sort: string): string {
  return Buffer.from(JSON.stringify({ ordinate: String(nonce), cron: null, sort })).toString('base64');
}

/** @throws UnitError when it is neither a cursor nor a slot number */
function nonceOf(cursor: string): number {
  const ordinate = /^[0-9]{1,15}$/.test(cursor)
    ? cursor
    : /"ordinate":"([0-9]{1,15})"/.exec(Buffer.from(cursor, 'base64').toString())?.[1];
  if (ordinate === undefined) throw new UnitError(400, `${cursor} is not a cursor of these results.`);
  return Number(ordinate);
}

function cursorOfTick({ time, cron, nonce }: TickResult): string {
  return Buffer.from(
    JSON.stringify({ timestamp: String(time), ordinate: String(nonce), cron: String(cron), sort: 'ASC' }),
  ).toString('base64');
}

/** The tick a cursor names; of a bare time, the last one up to it. @throws UnitError when it is neither */
function tickOf(cursor: string): { time: number; cron: number } {
  if (/^[0-9]{1,15}$/.test(cursor)) return { time: Number(cursor), cron: MAX_CRON };
  const read = Buffer.from(cursor, 'base64').toString();
  const [time, cron] = [/"timestamp":"([0-9]{1,15})"/.exec(read)?.[1], /"cron":"([0-9]{1,3})/.exec(read)?.[1]];
  if (time === undefined || cron === undefined) throw new UnitError(400, `${cursor} is not a cursor of these results.`);
  return { time: Number(time), cron: Number(cron) };
}

/** Above the number of any clock: a spawn has not so many tags. */
const MAX_CRON = 999;
