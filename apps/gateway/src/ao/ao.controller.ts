/** The pipeline as its users and its operator see it: processes, live and listed, and the whole way of each message. */
import { Controller, Get, Headers, Inject, Param, Query, Req, Sse, type MessageEvent } from '@nestjs/common';
import { ApiHeader, ApiParam, ApiTags } from '@nestjs/swagger';
import { tagOf } from '@isthmus/ao';
import type { Request } from 'express';
import type { Observable } from 'rxjs';
import { readQuery } from '../api/input.js';
import { Answers, QueryOf } from '../api/openapi.js';
import { pageOf } from '../api/paging.js';
import { notFound } from '../api/problem.js';
import { shared } from '../api/figures.js';
import { MAX_UNREAD } from '../api/stream-places.js';
import type { Backlog, ProcessRow } from './ao-store.js';
import { idIn, lastSlot, modulesQuery, processesQuery } from './input.js';
import { processView, timeOf } from './process-view.js';
import type { AoHealth, AoJourney, AoModulePage, AoProcess, AoProcessDetail, AoProcessPage } from './schemas.js';
import { AO_PARTS, type AoParts } from './tokens.js';

/** Longer than this nothing should wait for its result. */
const WAITS_TOO_LONG_MS = 60_000;

const PROCESS = { name: 'id', description: 'The process: 43 characters' };
const NO_PROCESS = 'process of this id';

@ApiTags('ao')
@Controller('v1/ao')
export class AoController {
  private readonly backlog: () => Promise<Backlog>;

  constructor(@Inject(AO_PARTS) private readonly ao: AoParts) {
    this.backlog = shared(() => ao.store.backlog());
  }

  @Get('processes')
  @Answers('AoProcessPage', 'AO processes: virtual machine, schedule, lag, memory, messages a second')
  @QueryOf(processesQuery)
  async processes(@Query() query: unknown): Promise<AoProcessPage> {
    const { cursor, limit } = readQuery(processesQuery, query);
    const rows = await this.ao.store.processes(cursor, limit + 1);
    const { page, nextCursor } = pageOf(rows, limit, (last) => last.spawn.id);
    const here = this.here();
    return { processes: page.map((row) => this.view(row, here)), nextCursor };
  }

  @Get('processes/:id')
  @Answers('AoProcessDetail', 'One AO process')
  @ApiParam(PROCESS)
  async process(@Param('id') path: string): Promise<AoProcessDetail> {
    const id = idIn(path, NO_PROCESS);
    const row = await this.ao.store.process(id);
    const spawn = row && (await this.ao.pipeline.scheduler.entryOf(id, id));
    if (!row || !spawn) throw notFound(NO_PROCESS);
    return {
      ...this.view(row, this.here()),
      spawnedAt: timeOf(Number(tagOf(spawn.assignment, 'Timestamp'))),
      scheduler: spawn.assignment.ownerAddress,
      tags: row.spawn.tags,
    };
  }

  @Get('modules')
  @Answers('AoModulePage', 'Modules that processes can be spawned from')
  @QueryOf(modulesQuery)
  async modules(@Query() query: unknown): Promise<AoModulePage> {
    const { cursor, limit } = readQuery(modulesQuery, query);
    const rows = await this.ao.store.modules(cursor, limit + 1);
    const { page, nextCursor } = pageOf(rows, limit, (last) => last.item.id);
    return {
      modules: page.map(({ item, format, bytes }) => ({
        id: item.id,
        vm: format,
        name: tagOf(item, 'Name') || null,
        publisher: item.ownerAddress,
        bytes,
      })),
      nextCursor,
    };
  }

  @Sse('processes/:id/events', { maxPendingDataLength: MAX_UNREAD })
  @Answers('AoSlotEvent', 'Each slot of a process as it is evaluated (server-sent events)', 'text/event-stream')
  @ApiParam(PROCESS)
  @ApiHeader({
    name: 'last-event-id',
    required: false,
    description: 'The slot that was read last, -1 for all from the first; from now on without it',
  })
  async events(
    @Param('id') path: string,
    @Headers('last-event-id') last: string | undefined,
    @Req() request: Request,
  ): Promise<Observable<MessageEvent>> {
    const id = idIn(path, NO_PROCESS);
    const row = await this.ao.store.process(id);
    if (!row) throw notFound(NO_PROCESS);
    return this.ao.feed.stream(row.spawn, lastSlot(last), request);
  }

  @Get('messages/:id')
  @Answers('AoJourney', 'The whole way of a message: item, places, results, and what became of what was sent')
  @ApiParam({ name: 'id', description: 'The message, or its assignment: 43 characters' })
  async message(@Param('id') path: string): Promise<AoJourney> {
    const what = 'message of this id';
    const journey = await this.ao.journeys.of(idIn(path, what));
    if (!journey) throw notFound(what);
    return journey;
  }

  @Get('health')
  @Answers('AoHealth', 'How the pipeline does: what waits, since when, and what was set aside')
  async health(): Promise<AoHealth> {
    const { pipeline } = this.ao;
    const { processes, placed, evaluated, waitingMs, waiting, dead, failed } = await this.backlog();
    const held = pipeline.compute.status().map(({ bytes }) => bytes);
    // A module that nothing here runs is its author's affair.
    const stopped = pipeline.compute.stopped().filter(({ reason }) => reason !== 'unknown-format').length;
    const reasons = [
      ...(waitingMs > WAITS_TOO_LONG_MS
        ? [`A message has waited ${Math.round(waitingMs / 1000)} s for its result.`]
        : []),
      ...(stopped > 0 ? [`${stopped} processes ended their compute threads: see "stopped" in /v1/ao/processes.`] : []),
      // What is set aside for what its sender did is counted and shown, and nothing to mend.
      ...(failed > 0 ? [`${failed} messages could not be delivered: see /v1/ao/dead-letters?reason=failed.`] : []),
    ];
    return {
      ok: waitingMs <= WAITS_TOO_LONG_MS,
      scheduler: pipeline.scheduler.address,
      messenger: pipeline.messenger.address,
      processes,
      open: held.length,
      memory: held.reduce((sum, bytes) => sum + bytes, 0),
      lag: placed - evaluated,
      waitingMs,
      deliveries: { waiting, dead, failed },
      reasons,
    };
  }

  private view(row: ProcessRow, { memory, stopped }: ReturnType<AoController['here']>): AoProcess {
    const { id } = row.spawn;
    return processView(row, { memory: memory.get(id) ?? null, stopped: stopped.get(id) ?? null }, Date.now());
  }

  /** How the processes do in this gateway. */
  private here() {
    const { compute } = this.ao.pipeline;
    return {
      memory: new Map(compute.status().map(({ process, bytes }) => [process, bytes])),
      stopped: new Map(compute.stopped().map((one) => [one.process, one])),
    };
  }
}
