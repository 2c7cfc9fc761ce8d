/** The engine that the configuration names, with what of it this gateway serves. */
import {
  AoElsewhereModule,
  AoPipeline,
  AoUnitsModule,
  ComputeUnits,
  ed25519Signer,
  EmbeddedEngine,
  LegacyNetwork,
  RemoteEngine,
  type AoEngine,
} from '@isthmus/ao';
import { readKeyFile } from '@isthmus/store';
import type { DynamicModule } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { GatewayConfig } from './config.js';

export interface OpenedEngine {
  engine: AoEngine;
  /** The units behind an embedded engine. */
  pipeline: AoPipeline | null;
  /** AO's HTTP interface at this gateway. */
  units: DynamicModule;
}

/** Told how a process does. Failures are tried again by themselves. */
export interface Progress {
  onFailure: (process: string, error: unknown) => void;
  onSound: (process: string) => void;
}

type Embedded = Extract<GatewayConfig['ao'], { engine: 'embedded' }>;
type Remote = Extract<GatewayConfig['ao'], { engine: 'remote' }>;

export async function openEngine(
  config: GatewayConfig,
  database: DataSource,
  progress: Progress,
): Promise<OpenedEngine> {
  const { ao } = config;
  return ao.engine === 'embedded' ? embedded(ao, database, progress) : remote(ao, config, database, progress);
}

const seed = (file: string) => ed25519Signer(Buffer.from(readKeyFile(file).slice(2), 'hex'));

function embedded(ao: Embedded, database: DataSource, { onFailure }: Progress): OpenedEngine {
  const pipeline = new AoPipeline({
    database,
    schedulerSigner: seed(ao.schedulerKeyFile),
    messengerSigner: seed(ao.messengerKeyFile),
    workers: ao.workers,
    onFailure,
  });
  return { engine: new EmbeddedEngine(pipeline, database), pipeline, units: AoUnitsModule.register(pipeline) };
}

async function remote(
  ao: Remote,
  { assets, pollMs }: GatewayConfig,
  database: DataSource,
  progress: Progress,
): Promise<OpenedEngine> {
  const { schedulerUrl, messengerUrl, gatewayUrl, computeUrls, agreement, scheduler, messenger } = ao;
  const engine = new RemoteEngine({
    database,
    network: new LegacyNetwork({ schedulerUrl, messengerUrl, gatewayUrl }),
    compute: await ComputeUnits.connect(computeUrls, agreement),
    scheduler,
    messenger,
    processes: assets.map((a) => a.process),
    pollMs,
    ...progress,
  });
  const units = AoElsewhereModule.register({
    su: schedulerUrl,
    mu: messengerUrl,
    cu: computeUrls[0] ?? '',
    graphql: `${gatewayUrl}/graphql`,
    raw: `${gatewayUrl}/raw`,
  });
  return { engine, pipeline: null, units };
}
