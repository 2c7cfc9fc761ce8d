/** `/graphql` and `/raw`: what clients and replicas ask an Arweave gateway about the items kept here. */
import { Body, Controller, Get, HttpCode, Param, Post, Res, UseFilters } from '@nestjs/common';
import type { Response } from 'express';
import { parseItem } from '../items/index.js';
import { AoPipeline } from '../pipeline.js';
import type { Item } from '../types.js';
import { UnitError, UnitErrors } from './errors.js';
import { readTransactionsQuery, type TransactionFilter } from './graphql.js';
import { jsonOf } from './raw-body.js';
import { transactionView } from './views.js';

/** Most ids one search takes. */
const MAX_IDS = 10;

@Controller()
@UseFilters(UnitErrors)
export class ItemsController {
  constructor(private readonly pipeline: AoPipeline) {}

  /** Items by id. Only modules, processes and messages scheduled here are known; a search by owner or tags alone finds nothing. */
  @Post('graphql')
  @HttpCode(200)
  async graphql(@Body() body: unknown): Promise<Record<string, unknown>> {
    const filter = readTransactionsQuery(jsonOf(body));
    const ids = new Set(filter.ids);
    if (ids.size > MAX_IDS)
      throw new UnitError(400, `At most ${MAX_IDS} ids are answered at once: ask for the rest after.`);
    const edges: Record<string, unknown>[] = [];
    for (const id of ids) {
      // One after another: an item may have 10 MiB, of which only the head is shown.
      const raw = await this.pipeline.scheduler.item(id);
      const item = raw && parseItem(raw);
      if (item && matches(item, filter)) edges.push({ cursor: item.id, node: transactionView(item) });
    }
    return { data: { transactions: { pageInfo: { hasNextPage: false }, edges } } };
  }

  /** The exact bytes of an item. */
  @Get('raw/:id')
  async raw(@Param('id') id: string, @Res() response: Response): Promise<void> {
    const raw = await this.pipeline.scheduler.item(id);
    if (!raw) throw new UnitError(404, `Item ${id} is not known here.`);
    response.type('application/octet-stream').send(raw);
  }
}

function matches(item: Item, { owners, recipients, tags }: TransactionFilter): boolean {
  const { owner, recipient } = transactionView(item) as { owner: { address: string }; recipient: string };
  return (
    (!owners || owners.includes(owner.address) || owners.includes(item.ownerAddress)) &&
    (!recipients || recipients.includes(recipient)) &&
    (tags ?? []).every(({ name, values }) => item.tags.some((t) => t.name === name && values.includes(t.value)))
  );
}
