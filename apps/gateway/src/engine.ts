/** The engine that the configuration names, with what of it this gateway serves. */
import {
  AoElsewhereModule,
  AoPipeline,
  AoUnitsModule,
  ComputeUnits,
  CoreCompute,
  EmbeddedEngine,
  networkAt,
  RemoteEngine,
  signerOfFile,
  type AoEngine,
  type AoNetwork,
  type Signer,
  type UnitPlaces,
} from '@isthmus/ao';
import type { DynamicModule } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { crashPoint } from './crash-point.js';
import { assetsOf, type GatewayConfig } from './config.js';
import { corePlace, legacyPlace, type AoSettings } from './network-place.js';

export interface OpenedEngine {
  engine: AoEngine;
  /** The units behind an embedded engine. */
  pipeline: AoPipeline | null;
  /** The scheduler's key, where this gateway schedules. */
  signer: Signer | null;
  /** AO's HTTP interface at this gateway. */
  units: DynamicModule;
}

/** Told how a process does. Failures are tried again by themselves. */
export interface Progress {
  onFailure: (process: string, error: unknown) => void;
  onSound: (process: string) => void;
}

export async function openEngine(
  config: GatewayConfig,
  database: DataSource,
  progress: Progress,
): Promise<OpenedEngine> {
  const { ao } = config;
  switch (ao.engine) {
    case 'embedded':
      return embedded(config, ao, database, progress);
    case 'remote':
      return elsewhere(config, database, progress, ao, await legacyParts(ao));
    case 'core':
      return elsewhere(config, database, progress, ao, coreParts(ao));
  }
}

function embedded(
  { publicUrl }: GatewayConfig,
  ao: AoSettings<'embedded'>,
  database: DataSource,
  { onFailure, onSound }: Progress,
): OpenedEngine {
  const signer = signerOfFile(ao.schedulerKeyFile);
  const pipeline = new AoPipeline({
    database,
    schedulerSigner: signer,
    messengerSigner: signerOfFile(ao.messengerKeyFile),
    workers: ao.workers,
    memoryBudget: ao.memoryMiB * 1024 * 1024,
    onFailure,
    onSound,
    onStep: (step) => crashPoint(`ao.${step}`),
    publicUrl,
  });
  return { engine: new EmbeddedEngine(pipeline, database), pipeline, signer, units: AoUnitsModule.register(pipeline) };
}

/** What a network of others is reached by. */
interface Parts {
  network: AoNetwork;
  compute: ComputeUnits;
  /** Where its units are, for those who ask here. */
  places: UnitPlaces;
}

async function legacyParts(ao: AoSettings<'remote'>): Promise<Parts> {
  const { computeUrls, agreement } = ao;
  const place = legacyPlace(ao);
  return {
    network: networkAt(place),
    compute: await ComputeUnits.connect(computeUrls, agreement),
    places: { su: place.schedulerUrl, mu: place.messengerUrl, cu: computeUrls[0], ...gatewayPlaces(place.gatewayUrl) },
  };
}

function coreParts(ao: AoSettings<'core'>): Parts {
  const place = corePlace(ao);
  const compute = new ComputeUnits(
    ao.nodeUrls.map((url) => new CoreCompute(url)),
    ao.agreement,
  );
  // A node answers at its processes' own paths; of the units' paths there is only where items are pushed.
  return {
    network: networkAt(place),
    compute,
    places: { mu: `${place.nodeUrl}/push`, ...gatewayPlaces(place.gatewayUrl) },
  };
}

const gatewayPlaces = (gatewayUrl: string) => ({ graphql: `${gatewayUrl}/graphql`, raw: `${gatewayUrl}/raw` });

function elsewhere(
  config: GatewayConfig,
  database: DataSource,
  progress: Progress,
  { scheduler, messenger }: { scheduler: string; messenger: string },
  { network, compute, places }: Parts,
): OpenedEngine {
  const engine = new RemoteEngine({
    database,
    network,
    compute,
    scheduler,
    messenger,
    processes: assetsOf(config).map((a) => a.process),
    pollMs: config.pollMs,
    ...progress,
  });
  return { engine, pipeline: null, signer: null, units: AoElsewhereModule.register(places) };
}
