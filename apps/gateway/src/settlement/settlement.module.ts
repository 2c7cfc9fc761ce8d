/** Settlement of a gateway that runs the pipeline itself: what it answers, and its figures. */
import { Module, type DynamicModule } from '@nestjs/common';
import type { Registry } from 'prom-client';
import { registerSettlementMetrics } from './metrics.js';
import { SettlementController } from './settlement.controller.js';
import { SETTLEMENT_PARTS, type SettlementParts } from './tokens.js';

@Module({})
export class SettlementModule {
  static register(parts: SettlementParts, registry: Registry): DynamicModule {
    registerSettlementMetrics(registry, parts);
    return {
      module: SettlementModule,
      controllers: [SettlementController],
      providers: [{ provide: SETTLEMENT_PARTS, useValue: parts }],
    };
  }
}
