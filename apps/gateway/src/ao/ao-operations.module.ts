/** Everything under /v1/ao, for a gateway that runs the pipeline itself. */
import type { AoPipeline } from '@isthmus/ao';
import { Module, type DynamicModule } from '@nestjs/common';
import type { Registry } from 'prom-client';
import type { DataSource } from 'typeorm';
import type { SettlementStore } from '@isthmus/arweave';
import type { TransferStore } from '../transfers/transfer-store.js';
import { AoController } from './ao.controller.js';
import { DeadLettersController } from './dead-letters.controller.js';
import { AoStore } from './ao-store.js';
import { Journeys } from './journey.js';
import { registerAoMetrics } from './metrics.js';
import type { Operator } from './operator.js';
import { ProcessFeed } from './process-feed.js';
import { AO_PARTS, type AoParts } from './tokens.js';

@Module({})
export class AoOperationsModule {
  static register(
    operator: Operator,
    database: DataSource,
    pipeline: AoPipeline,
    transfers: TransferStore,
    settlement: SettlementStore,
    registry: Registry,
  ): DynamicModule {
    const store = new AoStore(database);
    const parts: AoParts = {
      pipeline,
      store,
      journeys: new Journeys(pipeline, store, transfers, settlement),
      feed: new ProcessFeed(pipeline, store),
      operator,
    };
    registerAoMetrics(registry, pipeline, store);
    return {
      module: AoOperationsModule,
      controllers: [AoController, DeadLettersController],
      providers: [{ provide: AO_PARTS, useValue: parts }],
    };
  }
}
