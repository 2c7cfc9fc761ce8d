/** What the bridge is and how it stands: its routes, chains, assets, books and decisions. */
import { formatAmount, shortfall } from '@isthmus/bridge';
import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { AssetConfig, GatewayConfig } from '../config.js';
import { BookKeeper, type AssetBooks } from '../transfers/book-keeper.js';
import { DecisionStore } from '../transfers/decision-store.js';
import { decisionView } from './decision-view.js';
import { assetOf, assetQuery, assetsQuery, readQuery } from './input.js';
import { Answers, QueryOf, RouteIndex } from './openapi.js';
import type { AssetAnswer, BookAnswer, ChainsAnswer, DecisionView, IndexAnswer } from './schemas.js';
import { AO_ADDRESSES, CONFIG, type AoAddresses } from './tokens.js';

const DECISIONS_SHOWN = 100;

@ApiTags('bridge')
@Controller('v1')
export class BridgeController {
  constructor(
    @Inject(CONFIG) private readonly config: GatewayConfig,
    @Inject(AO_ADDRESSES) private readonly ao: AoAddresses,
    @Inject(DecisionStore) private readonly decisions: DecisionStore,
    @Inject(BookKeeper) private readonly bookKeeper: BookKeeper,
    @Inject(RouteIndex) private readonly index: RouteIndex,
  ) {}

  @Get()
  @Answers('Index', 'The routes of this API')
  routes(): IndexAnswer {
    return { name: 'Isthmus gateway', documentation: '/docs', openapi: '/docs-json', routes: this.index.routes };
  }

  @Get('chains')
  @Answers('Chains', 'External chains, their vault and finality, and the AO addresses to pin')
  chains(): ChainsAnswer {
    const { id, name, vault, deployBlock, finality, finalitySeconds } = this.config.chain;
    const { scheduler, messenger } = this.ao;
    return { chains: [{ id, name, vault, deployBlock, finality, finalitySeconds }], ao: { scheduler, messenger } };
  }

  @Get('assets')
  @Answers('Assets', 'Bridged assets and their token process on AO')
  async assets(): Promise<{ assets: AssetAnswer[] }> {
    const paused = await this.bookKeeper.pausedAssets(this.config.assets);
    return { assets: this.config.assets.map((a) => this.assetView(a, paused.has(a.id))) };
  }

  @Get('books')
  @Answers('Books', 'For each asset: what the vault holds against what AO owes')
  @QueryOf(assetsQuery)
  async books(@Query() query: unknown): Promise<{ books: BookAnswer[] }> {
    const { asset: id } = readQuery(assetsQuery, query);
    const assets = id === undefined ? this.config.assets : [assetOf(this.config.assets, id)];
    const [paused, books] = await Promise.all([
      this.bookKeeper.pausedAssets(assets),
      Promise.all(assets.map((a) => this.bookKeeper.of(a))),
    ]);
    return { books: books.map((b) => bookView(b, paused.has(b.asset))) };
  }

  @Get('decisions')
  @Answers('Decisions', 'What the guardians have voted on and decided about an asset')
  @QueryOf(assetQuery)
  async decisionList(@Query() query: unknown): Promise<{ decisions: DecisionView[] }> {
    const asset = assetOf(this.config.assets, readQuery(assetQuery, query).asset);
    const rows = await this.decisions.list(asset.process, DECISIONS_SHOWN);
    return { decisions: rows.map((row) => decisionView(asset.id, row)) };
  }

  private assetView(a: AssetConfig, paused: boolean): AssetAnswer {
    const { id, address, symbol, name, decimals, process } = a;
    return {
      id,
      chain: this.config.chain.id,
      address,
      symbol,
      name,
      decimals,
      process,
      minDeposit: formatAmount(a.minDeposit),
      minWithdrawal: formatAmount(a.minWithdrawal),
      paused,
    };
  }
}

function bookView(b: AssetBooks, paused: boolean): BookAnswer {
  return {
    asset: b.asset,
    locked: formatAmount(b.locked),
    supply: formatAmount(b.supply),
    inFlight: formatAmount(b.inFlight),
    // Paid on the chain, not yet attested on AO: no more in the vault, still in flight in the process.
    releasedUnattested: formatAmount(b.releasedUnattested),
    ok: shortfall({ locked: b.locked + b.releasedUnattested, supply: b.supply, inFlight: b.inFlight }) === 0n,
    paused,
    height: String(b.height),
    slot: b.slot,
  };
}
