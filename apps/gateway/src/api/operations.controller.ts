/** What operators ask: is it alive, can it serve, and its figures. */
import { Controller, Get, Header, Inject } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Health } from '../health.js';
import { Problem } from './problem.js';

@ApiTags('operations')
@Controller()
export class OperationsController {
  constructor(@Inject(Health) private readonly health: Health) {}

  @Get('health')
  @ApiOperation({ summary: 'Alive, with the state of each part' })
  alive() {
    return { ok: true, parts: this.health.parts };
  }

  @Get('ready')
  @ApiOperation({ summary: '200 when every part works, 503 with the reason otherwise' })
  ready() {
    const failed = Object.entries(this.health.parts).filter(([, p]) => !p.ok);
    if (failed.length > 0)
      throw new Problem(
        503,
        'not-ready',
        'Not ready',
        failed.map(([name, p]) => `${name}: ${p.detail ?? 'not yet'}`).join('; '),
      );
    return { ready: true, parts: this.health.parts };
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4')
  @ApiOperation({ summary: 'Prometheus metrics' })
  metrics(): Promise<string> {
    return this.health.registry.metrics();
  }
}
