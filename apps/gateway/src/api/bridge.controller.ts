/** What the bridge is and how it stands: its routes, chains, assets, books and decisions. */
import { formatAmount, shortfall } from '@isthmus/bridge';
import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { HomeAsset } from '../homes/asset-config.js';
import { Homes } from '../homes/homes.js';
import { BookKeeper, type AssetBooks } from '../transfers/book-keeper.js';
import { DecisionStore } from '../transfers/decision-store.js';
import { decisionView } from './decision-view.js';
import { assetOf, assetQuery, assetsQuery, readQuery } from './input.js';
import { Answers, QueryOf, RouteIndex } from './openapi.js';
import { toProblem } from './problem.js';
import type { AssetAnswer, BookAnswer, BooksAnswer, ChainsAnswer, DecisionView, IndexAnswer } from './schemas.js';
import { AO_ADDRESSES, type AoAddresses } from './tokens.js';

const DECISIONS_SHOWN = 100;

@ApiTags('bridge')
@Controller('v1')
export class BridgeController {
  constructor(
    @Inject(Homes) private readonly homes: Homes,
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
  @Answers('Chains', 'Home chains, their vault and finality, and the AO addresses to pin')
  chains(): ChainsAnswer {
    const { scheduler, messenger } = this.ao;
    const chains = this.homes.all.map(({ chain: { id, name, fields }, pace }) => {
      return { id, name, finalitySeconds: pace.finality, ...fields };
    });
    return { chains, ao: { scheduler, messenger } };
  }

  @Get('assets')
  @Answers('Assets', 'Bridged assets and their token process on AO')
  async assets(): Promise<{ assets: AssetAnswer[] }> {
    const { assets } = this.homes;
    const paused = await this.bookKeeper.pausedAssets(assets);
    return { assets: assets.map((a) => this.assetView(a, paused.has(a.id))) };
  }

  @Get('books')
  @Answers('Books', 'For each asset: what the vault holds against what AO owes')
  @QueryOf(assetsQuery)
  async books(@Query() query: unknown): Promise<BooksAnswer> {
    const { asset: id } = readQuery(assetsQuery, query);
    const assets = id === undefined ? this.homes.assets : [assetOf(this.homes, id)];
    const [paused, ...read] = await Promise.all([
      this.bookKeeper.pausedAssets(assets),
      ...assets.map((asset) => this.book(asset)),
    ]);
    const failed = read.filter((b) => 'error' in b);
    // One chain that cannot be read hides no other's books; when none can be, there is nothing to show.
    if (failed[0] && failed.length === read.length) throw failed[0].error;
    return {
      books: read.flatMap((b) => ('error' in b ? [] : [bookView(b, paused.has(b.asset))])),
      unread: failed.map(({ asset, error }) => ({ asset, detail: toProblem(error).message })),
    };
  }

  private book(asset: HomeAsset): Promise<AssetBooks | { asset: string; error: unknown }> {
    return this.bookKeeper.of(asset).catch((error: unknown) => ({ asset: asset.id, error }));
  }

  @Get('decisions')
  @Answers('Decisions', 'What the guardians have voted on and decided about an asset')
  @QueryOf(assetQuery)
  async decisionList(@Query() query: unknown): Promise<{ decisions: DecisionView[] }> {
    const asset = assetOf(this.homes, readQuery(assetQuery, query).asset);
    const rows = await this.decisions.list(asset.process, DECISIONS_SHOWN);
    return { decisions: rows.map((row) => decisionView(asset.id, row)) };
  }

  private assetView(a: HomeAsset, paused: boolean): AssetAnswer {
    const { id, symbol, name, decimals, process } = a;
    const home = this.homes.of(a);
    return {
      id,
      chain: home.chain.id,
      ...home.assetFields(a),
      symbol,
      name,
      decimals,
      process,
      minDeposit: formatAmount(a.minDeposit),
      minWithdrawal: formatAmount(a.minWithdrawal),
      relayFee: a.relayFee === undefined ? null : formatAmount(a.relayFee),
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
