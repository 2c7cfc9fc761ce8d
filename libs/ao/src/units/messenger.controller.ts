/** `/mu`: a messenger unit. Takes what clients sign; what processes send in answer is delivered by the pipeline itself. */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, UseFilters } from '@nestjs/common';
import { z } from 'zod';
import { AoPipeline } from '../pipeline.js';
import { UnitErrors } from './errors.js';
import { bytesOf } from './raw-body.js';
import { assignmentAsked } from './scheduler.controller.js';
import { within } from './within.js';

const pushShape = z.object({
  id: z.string().min(1),
  position: z.coerce.number().int().min(0).max(1_000_000),
  process: z.string({ error: 'Name the process: ?process-id=...' }).min(1),
});

@Controller('mu')
@UseFilters(UnitErrors)
export class MessengerController {
  constructor(private readonly pipeline: AoPipeline) {}

  @Get()
  describe(): Record<string, string> {
    return { address: this.pipeline.messenger.address };
  }

  /** Answers once the scheduler has the item; or, with `?process-id=&assign=`, once another process has an item known here. */
  @Post()
  @HttpCode(202)
  async send(@Body() body: unknown, @Query() query: unknown): Promise<Record<string, string>> {
    const asked = assignmentAsked(query);
    if (asked) {
      const { assignmentId } = await this.pipeline.scheduler.assign(asked.process, asked.message);
      return { message: 'Processing Assignment', id: assignmentId };
    }
    const { id, process } = await this.pipeline.scheduler.schedule(bytesOf(body));
    return { message: 'Processing DataItem', id, processId: process };
  }

  /** Has one message of a result delivered that is not yet: also to a process that has come since. */
  @Post('push/:id/:position')
  @HttpCode(202)
  async push(@Param() path: object, @Query('process-id') process: unknown): Promise<Record<string, string>> {
    const asked = pushShape.parse({ ...path, process });
    const { nonce, messageId } = await within(this.pipeline.compute.result(asked.process, asked.id));
    await this.pipeline.messenger.deliverAgain(asked.process, nonce, asked.position);
    return { message: 'Processing Message Result', id: messageId };
  }

  /** Starts the clocks of a process (`Cron-Interval`). The body is an item for it, signed by the wallet it belongs to. */
  @Post('monitor/:process')
  @HttpCode(200)
  async monitor(@Param('process') process: string, @Body() body: unknown): Promise<string> {
    await this.pipeline.monitors.start(process, bytesOf(body));
    return 'Monitoring process';
  }

  /** Stops them; signed likewise. */
  @Delete('monitor/:process')
  async unmonitor(@Param('process') process: string, @Body() body: unknown): Promise<string> {
    await this.pipeline.monitors.end(process, bytesOf(body));
    return 'Process deleted';
  }
}
