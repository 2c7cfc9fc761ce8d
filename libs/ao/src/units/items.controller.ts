/** `/graphql`, `/raw`, `/info` and `/<id>`: what clients and replicas ask an Arweave gateway about the items kept here. */
import { Body, Catch, Controller, Get, HttpCode, Next, Param, Post, Query, Res, UseFilters } from '@nestjs/common';
import type { ExecutionResult } from 'graphql';
import type { NextFunction, Response } from 'express';
import { parseItem } from '../items/index.js';
import { AoPipeline } from '../pipeline.js';
import { UnitError, UnitErrors } from './errors.js';
import { answerGraphql, type ItemSource } from './graphql.js';
import { DocumentError, requestOfUrl } from './graphql-answer.js';
import { jsonOf } from './raw-body.js';
import { tagHeaders } from './views.js';

const ID = /^[A-Za-z0-9_-]{43}$/;

/** What is wrong with a search is said as GraphQL has it. */
@Catch()
class GraphqlErrors extends UnitErrors {
  protected override body(message: string, error: unknown): object {
    return { errors: error instanceof DocumentError ? error.problems : [{ message }] };
  }
}

@Controller()
@UseFilters(UnitErrors)
export class ItemsController {
  private readonly source: ItemSource;

  constructor(private readonly pipeline: AoPipeline) {
    this.source = {
      heads: (ids) => pipeline.scheduler.heads(ids),
      search: (asked) => pipeline.index.search(asked),
    };
  }

  /** Items by id, owner, recipient and tags. */
  @Post('graphql')
  @HttpCode(200)
  @UseFilters(GraphqlErrors)
  async graphql(@Body() body: unknown): Promise<ExecutionResult> {
    return answerGraphql(jsonOf(body), this.source);
  }

  /** The same, asked in the URL. */
  @Get('graphql')
  @UseFilters(GraphqlErrors)
  async graphqlOfUrl(@Query() query: Record<string, unknown>): Promise<ExecutionResult> {
    return answerGraphql(requestOfUrl(query), this.source);
  }

  /** The exact bytes of an item. */
  @Get('raw/:id')
  async raw(@Param('id') id: string, @Res() response: Response): Promise<void> {
    const raw = await this.pipeline.scheduler.item(id);
    if (!raw) throw new UnitError(404, `Item ${id} is not known here.`);
    response.type('application/octet-stream').send(raw);
  }

  /** Where an Arweave gateway says how high its chain is. */
  @Get('info')
  info(): Record<string, unknown> {
    const { blockHeight: height } = this.pipeline.scheduler;
    return { network: 'ao.isthmus', version: 1, release: 1, height, current: '', blocks: height + 1, peers: 0 };
  }

  /** An item's data, with the tags that AO's units look for as headers. What is no id is somebody else's path. */
  @Get(':id')
  async data(@Param('id') id: string, @Res() response: Response, @Next() next: NextFunction): Promise<void> {
    if (!ID.test(id)) return next();
    const raw = await this.pipeline.scheduler.item(id);
    if (!raw) throw new UnitError(404, `Item ${id} is not known here.`);
    const item = parseItem(raw);
    // Anyone may have written it: no browser is to take it for a page of this gateway's.
    response
      .set({ ...tagHeaders(item), 'content-disposition': 'attachment', 'x-content-type-options': 'nosniff' })
      .type('application/octet-stream')
      .send(item.data);
  }
}
