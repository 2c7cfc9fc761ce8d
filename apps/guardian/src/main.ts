/** The guardian process: one signer with its own key, database, RPC sources and compute. */
import 'reflect-metadata';
import { ethereumSigner, WorkerPool } from '@isthmus/ao';
import { chainIdOf } from '@isthmus/bridge';
import { RpcPool, VaultWatcher } from '@isthmus/chains';
import { guardianMigrations } from '@isthmus/migrations';
import {
  createLogger,
  endWhenTold,
  exitFailed,
  loadConfig,
  openDatabase,
  readKeyFile,
  runMigrations,
} from '@isthmus/store';
import { Controller, Get, Header, Inject, Module, ServiceUnavailableException } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { privateKeyToAccount } from 'viem/accounts';
import { guardianSchema, networkOf, settledSlotsOf } from './config.js';
import { EthereumHome } from './ethereum-home.js';
import { Guardian } from './guardian.js';
import { Ledger } from './ledger.js';
import { Motions } from './motions.js';
import { Runner } from './runner.js';
import { FOLLOWED, TailController } from './tail.controller.js';

/** Compute threads: a process that costs its thread the life takes few others with it. */
const MAX_THREADS = 4;

const ABOUT = 'about';
interface About {
  name: string;
  address: string;
}

@Controller()
class HealthController {
  constructor(
    @Inject(Runner) private readonly runner: Runner,
    @Inject(Guardian) private readonly guardian: Guardian,
    @Inject(ABOUT) private readonly about: About,
  ) {}

  /** Who this is, whether it is in the guardian set of each asset, and how each part of its work goes. */
  @Get('health')
  health() {
    return { ...this.about, ready: this.runner.isReady(), sets: this.guardian.sets(), parts: this.runner.health };
  }

  /** 200 when the whole last round went well and is not long ago, 503 otherwise. */
  @Get('ready')
  ready() {
    if (!this.runner.isReady()) throw new ServiceUnavailableException(this.health());
    return this.health();
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4')
  metrics(): Promise<string> {
    return this.runner.registry.metrics();
  }
}

async function main(): Promise<void> {
  const config = loadConfig(guardianSchema, process.env['ISTHMUS_CONFIG'] ?? 'guardian.json');
  const log = createLogger(config.name);
  const key = readKeyFile(config.keyFile);
  const account = privateKeyToAccount(key);
  const database = await openDatabase({
    url: config.databaseUrl,
    migrations: guardianMigrations,
    applicationName: config.name,
    poolSize: 5,
  });
  await runMigrations(database);
  const { chain } = config;
  const pool = new RpcPool({
    urls: chain.rpcUrls,
    agreement: chain.agreement,
    chainId: chainIdOf(chain.id),
    finality: chain.finality,
  });
  const workers = new WorkerPool(Math.min(config.assets.length, MAX_THREADS));
  const ledger = new Ledger(database);
  const guardian = new Guardian({
    config,
    ledger,
    motions: new Motions(database),
    home: new EthereumHome({ config, ledger, watcher: new VaultWatcher(pool, chain.vault), pool, log }),
    network: networkOf(config),
    workers,
    settled: settledSlotsOf(config),
    signer: ethereumSigner(key),
    account,
    log,
  });
  const runner = new Runner(guardian, config.pollMs, log, () => pool.calls);

  @Module({
    controllers: [HealthController, TailController],
    providers: [
      { provide: Runner, useValue: runner },
      { provide: Guardian, useValue: guardian },
      { provide: Ledger, useValue: ledger },
      { provide: FOLLOWED, useValue: config.assets.map((a) => a.process) },
      { provide: ABOUT, useValue: { name: config.name, address: account.address } satisfies About },
    ],
  })
  class GuardianModule {}

  const app = await NestFactory.create(GuardianModule, { logger: ['error'] });
  await app.listen(config.port, config.host);
  runner.start();
  log.info({ address: account.address, port: config.port }, 'guardian is up');

  endWhenTold(async () => {
    await runner.stop();
    await app.close();
    await workers.stop();
    await database.destroy();
  });
}

main().catch(exitFailed);
