/** For tests: a pipeline on a database of its own, its units served over HTTP. */
import type { AddressInfo } from 'node:net';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { AoPipeline, AoUnitsModule } from './src/index.js';
import type { PipelineOptions } from './src/pipeline.js';

type Chosen = Pick<PipelineOptions, 'schedulerSigner' | 'messengerSigner'> &
  Partial<Pick<PipelineOptions, 'publicUrl' | 'now'>>;

export class UnitsStage {
  private constructor(
    readonly database: DataSource,
    readonly pipeline: AoPipeline,
    readonly url: string,
    private readonly app: INestApplication,
    private readonly cluster: TestCluster,
  ) {}

  /** What fails in the pipeline fails the test. */
  static async open(chosen: Chosen): Promise<UnitsStage> {
    const cluster = await testCluster();
    const url = await cluster.fresh();
    const database = await openDatabase({ url, migrations: gatewayMigrations, applicationName: 'test' });
    await runMigrations(database);
    const pipeline = new AoPipeline({
      database,
      workers: 1,
      onFailure: (_, error) => {
        throw error;
      },
      ...chosen,
    });
    await pipeline.start();
    const app = await NestFactory.create(AoUnitsModule.register(pipeline), { logger: false });
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    return new UnitsStage(database, pipeline, `http://127.0.0.1:${port}`, app, cluster);
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.pipeline.stop();
    await this.database.destroy();
    await this.cluster.close();
  }
}
