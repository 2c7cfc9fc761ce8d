/** AO's HTTP interfaces over one pipeline: the legacy units' /su, /mu, /cu, /graphql and /raw, and AO-Core's paths, as AO's own clients call them. */
import {
  Module,
  type DynamicModule,
  type FactoryProvider,
  type MiddlewareConsumer,
  type ModuleMetadata,
  type NestModule,
  RequestMethod,
} from '@nestjs/common';
import { CoreMiddleware } from '../core/core.middleware.js';
import { AoPipeline } from '../pipeline.js';
import { ComputeController } from './compute.controller.js';
import { ItemsController } from './items.controller.js';
import { MessengerController } from './messenger.controller.js';
import { rawBody } from './raw-body.js';
import { SchedulerController } from './scheduler.controller.js';

/** Where the module gets its pipeline from: whoever mounts it starts and stops the pipeline. */
export interface AoUnitsOptions {
  imports?: ModuleMetadata['imports'];
  inject?: FactoryProvider['inject'];
  useFactory: (...injected: never[]) => AoPipeline | Promise<AoPipeline>;
}

@Module({})
export class AoUnitsModule implements NestModule {
  /** For a pipeline that exists already. */
  static register(pipeline: AoPipeline): DynamicModule {
    return AoUnitsModule.registerAsync({ useFactory: () => pipeline });
  }

  static registerAsync({ imports = [], inject = [], useFactory }: AoUnitsOptions): DynamicModule {
    return {
      module: AoUnitsModule,
      imports,
      controllers: [SchedulerController, MessengerController, ComputeController, ItemsController],
      providers: [{ provide: AoPipeline, inject, useFactory }],
      exports: [AoPipeline],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(CoreMiddleware).forRoutes({ path: '*path', method: RequestMethod.ALL });
    const paths = ['su', 'mu', 'cu/dry-run', 'graphql'];
    consumer
      .apply(rawBody)
      .forRoutes(
        ...paths.map((path) => ({ path, method: RequestMethod.POST })),
        ...[RequestMethod.POST, RequestMethod.DELETE].map((method) => ({ path: 'mu/monitor/:process', method })),
      );
  }
}
