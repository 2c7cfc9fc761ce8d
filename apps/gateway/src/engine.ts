/** The engine that the configuration names, with what of it this gateway serves. */
import { AoPipeline, AoUnitsModule, ed25519Signer, EmbeddedEngine, type AoEngine } from '@isthmus/ao';
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

const seed = (file: string) => ed25519Signer(Buffer.from(readKeyFile(file).slice(2), 'hex'));

/** @param onFailure told of failures of a process that are tried again by themselves */
export function openEngine(
  { ao }: GatewayConfig,
  database: DataSource,
  onFailure: (process: string, error: unknown) => void,
): OpenedEngine {
  const pipeline = new AoPipeline({
    database,
    schedulerSigner: seed(ao.schedulerKeyFile),
    messengerSigner: seed(ao.messengerKeyFile),
    workers: ao.workers,
    onFailure,
  });
  return { engine: new EmbeddedEngine(pipeline, database), pipeline, units: AoUnitsModule.register(pipeline) };
}
