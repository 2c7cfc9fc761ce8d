/** The gateway put together: AO units, index, REST, page, relayer. It holds no key that can move an asset. */
import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { bodyReader, LEASE_MS, type AoEngine, type AoPipeline, type BodyRefusal } from '@isthmus/ao';
import { SettlementStore } from '@isthmus/arweave';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, projectRoot, readKeyFile, runMigrations, type Logger } from '@isthmus/store';
import { Module, type NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { SwaggerModule } from '@nestjs/swagger';
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import type { DataSource } from 'typeorm';
import { AuditController } from './audit/audit.controller.js';
import { AuditStore } from './audit/audit-store.js';
import { worksOf } from './audit/audit-work.js';
import { Audits } from './audit/audits.js';
import { Operator } from './ao/operator.js';
import { AoOperationsModule } from './ao/ao-operations.module.js';
import { limits } from './ao/limits.js';
import { describeUnits } from './ao/unit-docs.js';
import { BridgeController } from './api/bridge.controller.js';
import { registerMetrics } from './api/metrics.js';
import { DepositAddressesController } from './api/deposit-addresses.controller.js';
import { documentOf, RouteIndex } from './api/openapi.js';
import { OperationsController } from './api/operations.controller.js';
import type { ProblemCode } from './api/problem-codes.js';
import { Problem, ProblemFilter, sendProblem } from './api/problem.js';
import { QrController } from './api/qr.controller.js';
import { QuotesController } from './api/quotes.controller.js';
import { Quoting } from './api/quoting.js';
import { Selling } from './api/selling.js';
import { AO_ADDRESSES, CONFIG, RECEIPT_KEYS, type AoAddresses } from './api/tokens.js';
import { TransfersController } from './api/transfers.controller.js';
import { assetsOf, type GatewayConfig } from './config.js';
import { openEngine } from './engine.js';
import { HttpAdapter } from './http-adapter.js';
import { Health } from './health.js';
import { Homes, partsOf } from './homes/homes.js';
import { openHome } from './homes/open.js';
import { forWallets, SolanaPayController } from './homes/solana/pay.controller.js';
import { SolanaTransactionsController } from './homes/solana/transactions.controller.js';
import { PAY_PATH } from './homes/solana/payment.js';
import { ReceiptsController } from './receipts/receipts.controller.js';
import { receiptKeys, signReceipts } from './receipts/receipts.js';
import { openSettler } from './settlement/settlement.js';
import { SettlementModule } from './settlement/settlement.module.js';
import { assertWhole } from './replay/rebuilt.js';
import { StateController } from './state/state.controller.js';
import { StateStore } from './state/state-store.js';
import { publishAssets } from './state/asset-notices.js';
import { BookKeeper } from './transfers/book-keeper.js';
import { Projector } from './transfers/projector.js';
import { DecisionStore } from './transfers/decision-store.js';
import { TransferStore } from './transfers/transfer-store.js';

const MAX_BODY = 64 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;
/** An idle connection stays open for longer than proxies keep theirs (60 s, most often): who closes first must be the one that would send next, or a request meets a reset. */
const KEEP_ALIVE_MS = 65_000;

/** A gateway that is up. */
export interface Gateway {
  url: string;
  engine: AoEngine;
  health: Health;
  /** The units behind an embedded engine. */
  pipeline: AoPipeline | null;
  database: DataSource;
  projector: Projector;
  homes: Homes;
  /** Ends what is under way and closes everything; once, however often it is called. */
  stop(): Promise<void>;
}

/** Starts a gateway. @throws what keeps it from starting: the database, a key file, the port */
export async function startGateway(config: GatewayConfig, log: Logger): Promise<Gateway> {
  const database = await openDatabase({
    url: config.databaseUrl,
    migrations: gatewayMigrations,
    applicationName: 'isthmus-gateway',
    poolSize: 20,
    // As long as a lease lasts: a gateway that stands still in a transaction holds up the others no longer than one that stands still elsewhere.
    idleInTransactionMs: LEASE_MS,
  });
  if (config.migrate) await runMigrations(database);
  await assertWhole(database);

  const assets = assetsOf(config);
  const health = new Health(log);
  const { engine, pipeline, signer, units } = await openEngine(config, database, {
    // Anyone may spawn a process that cannot be computed: only those of the bridge say how the gateway does.
    onFailure: (process, error) => {
      if (assets.some((a) => a.process === process)) health.bad(`compute ${process}`, error);
      else log.warn({ process, err: error }, 'a process cannot be computed');
    },
    onSound: (process) => health.recovered(`compute ${process}`),
  });
  const store = new TransferStore(database);
  const decisions = new DecisionStore(database);
  const projector = new Projector(
    engine,
    store,
    decisions,
    assets,
    () => health.good('projector'),
    (error) => health.bad('projector', error),
  );
  const { pollMs, stuckMs, publicUrl } = config;
  const parts = { database, store, decisions, engine, log, pollMs, stuckMs, publicUrl };
  const homes = new Homes(config.homes.map((home) => openHome(home, parts)));

  const receipts = receiptKeys(config);
  const selling = new Selling(engine, health);
  const audits = new AuditStore(database);
  const books = new BookKeeper(database, engine, homes);
  const ao: AoAddresses = { scheduler: engine.scheduler, messenger: engine.messenger };
  const { registry } = health;
  const settlement = new SettlementStore(database);
  const { operatorKeyFile } = config;
  const operator = new Operator(operatorKeyFile === undefined ? null : readKeyFile(operatorKeyFile));
  const operations = pipeline
    ? [AoOperationsModule.register(operator, database, pipeline, store, settlement, registry)]
    : [];
  const settler = signer && config.settlement ? openSettler(config.settlement, settlement, signer) : null;
  if (settler && signer && config.settlement)
    operations.push(
      SettlementModule.register(
        { store: settlement, settler, config: config.settlement, scheduler: signer.address, operator },
        registry,
      ),
    );
  registerMetrics({ registry, database, books, engine, homes });

  @Module({
    imports: [units, ...operations],
    controllers: [
      BridgeController,
      QuotesController,
      DepositAddressesController,
      SolanaPayController,
      SolanaTransactionsController,
      TransfersController,
      OperationsController,
      QrController,
      ReceiptsController,
      StateController,
      AuditController,
    ],
    providers: [
      { provide: CONFIG, useValue: config },
      { provide: TransferStore, useValue: store },
      { provide: DecisionStore, useValue: decisions },
      { provide: SettlementStore, useValue: settlement },
      { provide: StateStore, useValue: new StateStore(database) },
      { provide: AO_ADDRESSES, useValue: ao },
      { provide: RECEIPT_KEYS, useValue: receipts },
      { provide: AuditStore, useValue: audits },
      { provide: BookKeeper, useValue: books },
      { provide: Homes, useValue: homes },
      { provide: Health, useValue: health },
      { provide: Selling, useValue: selling },
      { provide: Quoting, useValue: new Quoting(config.publicUrl, homes, books, selling) },
      RouteIndex,
    ],
  })
  class GatewayModule {}

  const options: NestApplicationOptions = { logger: ['error', 'warn'], bodyParser: false };
  const app = await NestFactory.create<NestExpressApplication>(GatewayModule, new HttpAdapter(), options);
  app.disable('x-powered-by');
  app.use(securityHeaders);
  if (config.trustProxy !== undefined) app.set('trust proxy', config.trustProxy);
  app.use(`/${PAY_PATH}`, forWallets);
  app.use(limits(config, registry));
  if (receipts) app.use('/v1', signReceipts(receipts.signer));
  app.use('/v1', jsonOnly, readBody, parseJson);
  app.useGlobalFilters(new ProblemFilter(log));
  app.use(page());
  const document = documentOf(app);
  describeUnits(document, pipeline !== null);
  app.get(RouteIndex).fill(document);
  SwaggerModule.setup('docs', app, document);
  const server = await app.listen(config.port, config.host);
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = 10_000;

  if (pipeline) await publishAssets(pipeline, database, assets);
  await engine.start();
  await projector.start();
  health.good('projector');
  // Loops of their own for each home: one that fails keeps no other back.
  for (const home of homes.all) {
    const { look, relay } = partsOf(home);
    health.loop(look, config.pollMs, () => home.look());
    health.loop(relay, config.pollMs, () => home.relay());
  }
  if (settler && config.settlement)
    health.loop('settlement', config.settlement.pollMs, () => settler.step(), { advisory: true });
  const { port } = server.address() as AddressInfo;
  const url = `http://${config.host}:${port}`;
  const works = config.audit ? worksOf(config, config.audit, url, engine.scheduler) : [];
  const auditing =
    config.audit && works.length > 0
      ? new Audits({
          everyMs: config.audit.everyMs,
          works,
          store: audits,
          settlement,
          signer: receipts?.key ?? null,
          keep: pipeline ? (item) => pipeline.scheduler.keep(item) : null,
          log,
          registry,
        })
      : null;
  auditing?.start();
  log.info(
    {
      port: config.port,
      ...ao,
      relayers: homes.all.map(({ chain, purse }) => ({ chain: chain.id, address: purse?.address })),
    },
    'gateway is up',
  );

  const stop = async (): Promise<void> => {
    await auditing?.stop();
    // Listening ends first: a live stream that reconnects would keep the server open.
    server.close();
    server.closeAllConnections();
    await app.close();
    await settler?.stop();
    await health.stop();
    await projector.stop();
    await engine.stop();
    await database.destroy();
  };
  let stopped: Promise<void> | undefined;
  return { url, engine, health, pipeline, database, projector, homes, stop: () => (stopped ??= stop()) };
}

function securityHeaders(request: Request, response: Response, next: NextFunction): void {
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('referrer-policy', 'no-referrer');
  response.setHeader('x-frame-options', 'DENY');
  // The API's own documentation page brings inline styles and scripts; everything else brings none.
  if (!/^\/docs(\/|$)/i.test(request.path))
    response.setHeader(
      'content-security-policy',
      "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    );
  next();
}

/** Paths where no file of the page is: for these, most of all there are, the disk is not looked at. */
const NO_FILES = /^\/(v1|su|mu|cu|raw|graphql)(\/|$)/;

/** The page's files. */
function page(): RequestHandler {
  const files = express.static(path.join(projectRoot(), 'apps/web/src'), { index: 'index.html', maxAge: 0 });
  return (request, response, next) => (NO_FILES.test(request.path) ? next() : files(request, response, next));
}

/** A body of another kind would be read as none at all. */
function jsonOnly(request: Request, _response: Response, next: NextFunction): void {
  const isJson = /^application\/json *(;|$)/i.test(request.headers['content-type'] ?? '');
  if (request.method !== 'POST' || isJson) next();
  else next(new Problem('unsupported-media-type', 'send content-type: application/json, and a JSON body'));
}

const BODY_PROBLEMS: Readonly<Record<BodyRefusal, ProblemCode>> = {
  'too-large': 'too-large',
  'too-slow': 'too-slow',
  'in-crumbs': 'too-large',
  busy: 'busy',
  encoded: 'unsupported-media-type',
  'cut-short': 'bad-request',
};

const readBody = bodyReader({
  limit: MAX_BODY,
  refuse: (why, reason, request, response) => sendProblem(new Problem(BODY_PROBLEMS[why], reason), request, response),
});

/** What is no body at all is left to the route, which names what it lacks. */
function parseJson(request: Request, _response: Response, next: NextFunction): void {
  const body: unknown = request.body;
  request.body = undefined;
  if (!Buffer.isBuffer(body) || body.length === 0) return next();
  try {
    request.body = JSON.parse(body.toString('utf8'));
  } catch {
    return next(new Problem('bad-request', 'The body is not JSON.'));
  }
  next();
}
