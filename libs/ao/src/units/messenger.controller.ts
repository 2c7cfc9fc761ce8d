/** `/mu`: a messenger unit. Takes what clients sign; what processes send in answer is delivered by the pipeline itself. */
import { Body, Controller, Get, HttpCode, Post, Query, UseFilters } from '@nestjs/common';
import { AoPipeline } from '../pipeline.js';
import { UnitError, UnitErrors } from './errors.js';
import { bytesOf } from './raw-body.js';

@Controller('mu')
@UseFilters(UnitErrors)
export class MessengerController {
  constructor(private readonly pipeline: AoPipeline) {}

  @Get()
  describe(): Record<string, string> {
    return { address: this.pipeline.messenger.address };
  }

  /** Answers once the scheduler has the item. */
  @Post()
  @HttpCode(202)
  async send(@Body() body: unknown, @Query('assign') assign: string | undefined): Promise<Record<string, string>> {
    if (assign !== undefined)
      throw new UnitError(501, 'Items of other processes are not assigned here: send the message itself.');
    const { id, process } = await this.pipeline.scheduler.schedule(bytesOf(body));
    return { message: 'Processing DataItem', id, processId: process };
  }
}
