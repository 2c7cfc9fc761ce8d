/** Transfers as they are and as they move. */
import { Controller, Get, Headers, Inject, Param, Query, Req, Sse, type MessageEvent } from '@nestjs/common';
import { ApiHeader, ApiParam, ApiTags } from '@nestjs/swagger';
import { SettlementStore } from '@isthmus/arweave';
import type { Request } from 'express';
import type { Observable } from 'rxjs';
import type { GatewayConfig } from '../config.js';
import { Health } from '../health.js';
import { Homes, partsOf } from '../homes/homes.js';
import { unsettledAmong } from '../settlement/policy.js';
import { BookKeeper } from '../transfers/book-keeper.js';
import { TransferStore, type TransferRow } from '../transfers/transfer-store.js';
import { assetOf, readQuery, transferId, transfersQuery } from './input.js';
import { LiveEvents } from './live-events.js';
import { Answers, QueryOf } from './openapi.js';
import { pageOf, readCursor, writeCursor } from './paging.js';
import { notFound } from './problem.js';
import type { TransferDetail, TransferPage } from './schemas.js';
import { MAX_UNREAD } from './stream-places.js';
import { CONFIG } from './tokens.js';
import { slotOf, timelineView, transferView, type Place, type ViewContext } from './transfer-view.js';

const ID = { name: 'id', description: '0x and 64 hex digits' };
const LAST_EVENT = { name: 'last-event-id', required: false, description: 'The id of the last event that was seen' };

@ApiTags('bridge')
@Controller('v1')
export class TransfersController {
  private readonly live: LiveEvents;

  constructor(
    @Inject(CONFIG) private readonly config: GatewayConfig,
    @Inject(Homes) private readonly homes: Homes,
    @Inject(TransferStore) private readonly store: TransferStore,
    @Inject(BookKeeper) private readonly books: BookKeeper,
    @Inject(Health) private readonly health: Health,
    @Inject(SettlementStore) private readonly settlement: SettlementStore,
  ) {
    this.live = new LiveEvents(store);
  }

  @Get('transfers')
  @Answers('TransferPage', 'Transfers, newest first, by any of their marks')
  @QueryOf(transfersQuery)
  async transfers(@Query() query: unknown): Promise<TransferPage> {
    const { cursor, limit, asset, ...filter } = readQuery(transfersQuery, query);
    const rows = await this.store.list({
      ...filter,
      asset: asset === undefined ? undefined : assetOf(this.homes, asset).id,
      before: cursor === undefined ? undefined : readCursor(cursor),
      limit: limit + 1,
    });
    const { page, nextCursor } = pageOf(rows, limit, (last) => writeCursor(last.position));
    const context = await this.context(page);
    return { transfers: page.map((r) => transferView(r, context)), nextCursor };
  }

  @Get('transfers/:id')
  @Answers('TransferDetail', 'One transfer with its timeline and proofs')
  @ApiParam(ID)
  async transfer(@Param('id') id: string): Promise<TransferDetail> {
    const row = await this.find(id);
    const [steps, context] = await Promise.all([this.store.steps(row.id), this.context([row])]);
    const slots = [...new Set(steps.flatMap((step) => slotOf(step) ?? []))];
    const settled = await this.settlement.ofSlots(slots.map((slot) => ({ process: row.process, slot })));
    return { ...transferView(row, context), timeline: timelineView(row.process, steps, settled) };
  }

  @Sse('transfers/:id/events', { maxPendingDataLength: MAX_UNREAD })
  @Answers('LiveEvent', 'Live state changes of one transfer (server-sent events)', 'text/event-stream')
  @ApiParam(ID)
  @ApiHeader(LAST_EVENT)
  async transferEvents(
    @Param('id') id: string,
    @Headers('last-event-id') last: string | undefined,
    @Req() request: Request,
  ): Promise<Observable<MessageEvent>> {
    const row = await this.find(id);
    return this.live.stream(row.id, readEventId(last) ?? 0n, request);
  }

  @Sse('events', { maxPendingDataLength: MAX_UNREAD })
  @Answers('LiveEvent', 'Live state changes of all transfers; goes on from Last-Event-ID', 'text/event-stream')
  @ApiHeader(LAST_EVENT)
  events(@Headers('last-event-id') last: string | undefined, @Req() request: Request): Observable<MessageEvent> {
    return this.live.stream(null, readEventId(last), request);
  }

  /** What no transfer's id can be is as unknown as an id nobody has. @throws Problem `not-found` */
  private async find(text: string): Promise<TransferRow> {
    const id = transferId(text);
    const row = id === null ? null : await this.store.find(id);
    if (!row) throw notFound('transfer of this id');
    return row;
  }

  private async context(rows: readonly TransferRow[]): Promise<ViewContext> {
    const [paused, unsettled] = await Promise.all([
      this.books.paused(),
      unsettledAmong(this.settlement, rows, this.config.settlement?.releaseAbove ?? {}),
    ]);
    return { placeOf: (asset) => this.placeOf(asset), paused, unsettled };
  }

  private placeOf(asset: string): Place | null {
    const home = this.homes.homeOf(asset);
    if (!home) return null;
    const agreement = this.health.parts[partsOf(home).look]?.code !== 'agreement-lost';
    return { name: home.chain.name, pace: home.pace, agreement, tip: home.tip ?? null };
  }
}

function readEventId(header: string | undefined): bigint | null {
  return header !== undefined && /^[0-9]{1,18}$/.test(header) ? BigInt(header) : null;
}
