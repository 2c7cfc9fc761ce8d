/** The guardian process: one signer with its own key, database, RPC sources and compute. */
import 'reflect-metadata';
import { ethereumSigner, WorkerPool } from '@isthmus/ao';
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
import { assetsIn, guardianSchema, networkOf, settledSlotsOf } from './config.js';
import { Guardian } from './guardian.js';
import { openHome } from './homes/open.js';
import { Ledger } from './ledger.js';
import { Motions } from './motions.js';
import { GuardianMetrics, Runner } from './runner.js';
import { FOLLOWED, TailController } from './tail.controller.js';

/** Compute threads: a process that costs its thread the life takes few others with it. */
const MAX_THREADS = 4;

const ABOUT = 'about';
interface About {
  name: string;
  address: string;
}

const ROUNDS = 'rounds';
/** The work for one home chain. */
interface Round {
  guardian: Guardian;
  runner: Runner;
}

@Controller()
class HealthController {
  constructor(
    @Inject(ROUNDS) private readonly rounds: readonly Round[],
    @Inject(GuardianMetrics) private readonly counted: GuardianMetrics,
    @Inject(ABOUT) private readonly about: About,
  ) {}

  /** Who this is, and for each home chain whether it is in the guardian set of each asset, and how each part of its work goes. */
  @Get('health')
  health() {
    const homes = this.rounds.map(({ guardian, runner }) => ({
      chain: runner.chain,
      ready: runner.isReady(),
      sets: guardian.sets(),
      lostDeposits: guardian.lostDeposits,
      parts: runner.health,
    }));
    return { ...this.about, ready: this.isReady(), homes };
  }

  /** 200 when of every home chain the whole last round went well and is not long ago, 503 otherwise. */
  @Get('ready')
  ready() {
    if (!this.isReady()) throw new ServiceUnavailableException(this.health());
    return this.health();
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4')
  metrics(): Promise<string> {
    return this.counted.registry.metrics();
  }

  private isReady(): boolean {
    return this.rounds.every(({ runner }) => runner.isReady());
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
  const assets = assetsIn(config.homes);
  const workers = new WorkerPool(Math.min(assets.length, MAX_THREADS));
  const ledger = new Ledger(database);
  const motions = new Motions(database);
  const settled = settledSlotsOf(config);
  const metrics = new GuardianMetrics();
  const rounds: Round[] = [];
  for (const own of config.homes) {
    const { id: chain } = own.chain;
    const { home, calls } = await openHome(own, { database, ledger, self: account.address, log });
    metrics.countCalls(chain, calls);
    const guardian = new Guardian({
      config,
      chain,
      assets: own.assets,
      ledger,
      motions,
      home,
      network: networkOf(config),
      workers,
      settled,
      signer: ethereumSigner(key),
      account,
      log,
    });
    rounds.push({ guardian, runner: new Runner(guardian, chain, config.pollMs, metrics, log) });
  }

  @Module({
    controllers: [HealthController, TailController],
    providers: [
      { provide: ROUNDS, useValue: rounds },
      { provide: GuardianMetrics, useValue: metrics },
      { provide: Ledger, useValue: ledger },
      { provide: FOLLOWED, useValue: assets.map((a) => a.process) },
      { provide: ABOUT, useValue: { name: config.name, address: account.address } satisfies About },
    ],
  })
  class GuardianModule {}

  const app = await NestFactory.create(GuardianModule, { logger: ['error'] });
  await app.listen(config.port, config.host);
  for (const { runner } of rounds) runner.start();
  log.info({ address: account.address, port: config.port }, 'guardian is up');

  endWhenTold(async () => {
    await Promise.all(rounds.map(({ runner }) => runner.stop()));
    await app.close();
    await workers.stop();
    await database.destroy();
  });
}

main().catch(exitFailed);
