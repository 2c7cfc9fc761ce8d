/** What operators ask: is it alive, can it serve, and its figures. */
import { Controller, Get, Header, Inject } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { Health } from '../health.js';
import { Answers } from './openapi.js';
import { Problem } from './problem.js';
import type { schemas } from './schemas.js';

@ApiTags('operations')
@Controller()
export class OperationsController {
  constructor(@Inject(Health) private readonly health: Health) {}

  @Get('health')
  @Answers('Health', 'Alive, with the state of each part')
  alive(): z.infer<typeof schemas.Health> {
    return { ok: true, parts: this.health.parts };
  }

  @Get('ready')
  @Answers('Ready', '200 when every part the bridge waits for works, 503 with the reason otherwise')
  ready(): z.infer<typeof schemas.Ready> {
    const failed = Object.entries(this.health.parts).filter(([, p]) => !p.ok && !p.advisory);
    if (failed.length > 0)
      throw new Problem('not-ready', failed.map(([name, p]) => `${name}: ${p.detail ?? 'not yet'}`).join('; '));
    return { ready: true, parts: this.health.parts };
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4')
  @ApiOperation({ summary: 'Prometheus metrics, each with its help' })
  @ApiOkResponse({ content: { 'text/plain': { schema: { type: 'string' } } } })
  metrics(): Promise<string> {
    return this.health.registry.metrics();
  }
}
