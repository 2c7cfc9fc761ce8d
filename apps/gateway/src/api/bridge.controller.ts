/** The bridge's REST: chains, assets, quotes, transfers, live events, books. */
import { aoAddressToBytes, encodeTags, formatAmount, isAoAddress, isEthereumAddress, shortfall } from '@isthmus/bridge';
import { encodeCoinDeposit, encodeTokenDeposit } from '@isthmus/chains';
import {
  Body,
  Controller,
  Get,
  Headers,
  HttpCode,
  Inject,
  Param,
  Post,
  Query,
  Res,
  Sse,
  type MessageEvent,
} from '@nestjs/common';
import { ApiBody, ApiOperation, ApiParam, ApiQuery, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { Observable } from 'rxjs';
import { zeroAddress } from 'viem';
import { z } from 'zod';
import { BookKeeper } from '../transfers/book-keeper.js';
import { DecisionStore } from '../transfers/decision-store.js';
import { committed, TransferStore, type StateEvent, type TransferRow } from '../transfers/transfer-store.js';
import type { AssetConfig, GatewayConfig } from '../config.js';
import { Relayer } from '../relayer/relayer.js';
import { notFound, Problem, read } from './problem.js';
import { decisionView } from './decision-view.js';
import { timelineView, transferView } from './transfer-view.js';

export const CONFIG = 'gateway-config';

const amount = z
  .string({ error: 'amounts are strings of decimal digits in base units' })
  .regex(/^[1-9][0-9]{0,38}$/, 'an amount is 1 to 39 decimal digits in base units, above 0, as a string');
const tag = z.strictObject({ name: z.string().max(64), value: z.string().max(1024) });
const quoteSchema = z.discriminatedUnion('direction', [
  z.strictObject({
    direction: z.literal('deposit'),
    asset: z.string(),
    amount,
    recipient: z
      .string()
      .refine(isAoAddress, 'an AO recipient is a 43-character Arweave address or a checksummed 0x address'),
    tags: z.array(tag).max(16).default([]),
  }),
  z.strictObject({
    direction: z.literal('withdrawal'),
    asset: z.string(),
    amount,
    recipient: z.string().refine(isEthereumAddress, 'write the Ethereum address with its EIP-55 checksum'),
  }),
]);

/** A mark to look something up by: whatever it is, it is printable and short. */
const text = z.string().regex(/^[\x21-\x7e]{1,200}$/, 'write 1 to 200 printable characters');
const listSchema = z.strictObject({
  address: text.optional(),
  source: text.optional(),
  release: text.optional(),
  message: text.optional(),
  state: z
    .enum([
      'seen',
      'confirming',
      'attesting',
      'minted',
      'orphaned',
      'refused',
      'queued',
      'signing',
      'ready',
      'submitted',
      'released',
      'held',
    ])
    .optional(),
  asset: text.optional(),
  cursor: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,40}$/, 'use the nextCursor of the page before')
    .optional(),
  limit: z
    .string()
    .regex(/^([1-9]|[1-9][0-9]|100)$/, 'a page has 1 to 100 transfers')
    .default('25'),
});

const MAX_STREAMS = 200;
const EVENTS_AT_ONCE = 500;
const HEARTBEAT_MS = 15_000;
const DECISIONS_SHOWN = 100;

@ApiTags('bridge')
@Controller('v1')
export class BridgeController {
  private streams = 0;

  constructor(
    @Inject(CONFIG) private readonly config: GatewayConfig,
    @Inject(TransferStore) private readonly store: TransferStore,
    @Inject(DecisionStore) private readonly decisions: DecisionStore,
    @Inject(BookKeeper) private readonly books: BookKeeper,
    @Inject(Relayer) private readonly relayer: Relayer,
  ) {}

  @Get('chains')
  @ApiOperation({ summary: 'External chains, their vault and finality' })
  chains() {
    const { id, name, vault, finality, finalitySeconds } = this.config.chain;
    return { chains: [{ id, name, vault, finality, finalitySeconds }] };
  }

  @Get('assets')
  @ApiOperation({ summary: 'Bridged assets and their token process on AO' })
  assets() {
    return { assets: this.config.assets.map((a) => this.assetView(a)) };
  }

  @Post('quotes')
  @HttpCode(200)
  @ApiOperation({ summary: 'What a transfer costs, brings and needs: the exact call or message' })
  @ApiBody({
    schema: {
      example: {
        direction: 'deposit',
        asset: 'eip155:31337/slip44:60',
        amount: '1000000000000000000',
        recipient: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
      },
    },
  })
  async quote(@Body() body: unknown) {
    const request = read(quoteSchema, body);
    const asset = this.asset(request.asset);
    const wanted = BigInt(request.amount);
    return request.direction === 'deposit'
      ? this.depositQuote(asset, wanted, request.recipient, request.tags)
      : this.withdrawalQuote(asset, wanted, request.recipient);
  }

  @Get('transfers')
  @ApiOperation({ summary: 'Transfers, newest first, by any of their marks' })
  @ApiQuery({ name: 'address', required: false, description: 'Sender or recipient, on either side' })
  @ApiQuery({ name: 'source', required: false, description: 'Deposit transaction' })
  @ApiQuery({ name: 'release', required: false, description: 'Release transaction' })
  @ApiQuery({ name: 'message', required: false, description: 'AO message id of any step' })
  @ApiQuery({ name: 'state', required: false })
  @ApiQuery({ name: 'asset', required: false, description: 'CAIP-19' })
  @ApiQuery({ name: 'cursor', required: false, description: 'nextCursor of the page before' })
  @ApiQuery({ name: 'limit', required: false, description: '1 to 100, 25 unless told' })
  async transfers(@Query() query: unknown) {
    const { cursor, limit, ...filter } = read(listSchema, query);
    const size = Number(limit);
    const rows = await this.store.list({
      ...filter,
      before: cursor === undefined ? undefined : readCursor(cursor),
      limit: size + 1,
    });
    const context = await this.context();
    const page = rows.slice(0, size);
    const last = page.at(-1);
    return {
      transfers: page.map((r) => transferView(r, context)),
      nextCursor: rows.length > size && last ? writeCursor(last.position) : null,
    };
  }

  @Get('transfers/:id')
  @ApiOperation({ summary: 'One transfer with its timeline and proofs' })
  @ApiParam({ name: 'id', description: '0x and 64 hex digits' })
  async transfer(@Param('id') id: string) {
    const row = await this.findTransfer(id);
    if (!row) throw notFound('transfer of this id');
    const [steps, context] = await Promise.all([this.store.steps(id), this.context()]);
    return { ...transferView(row, context), timeline: timelineView(steps) };
  }

  @Sse('transfers/:id/events')
  @ApiOperation({ summary: 'Live state changes of one transfer (server-sent events)' })
  async transferEvents(
    @Param('id') id: string,
    @Headers('last-event-id') last: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Observable<MessageEvent>> {
    if (!(await this.findTransfer(id))) throw notFound('transfer of this id');
    return this.stream(id, readEventId(last) ?? 0n, response);
  }

  @Sse('events')
  @ApiOperation({ summary: 'Live state changes of all transfers; goes on from Last-Event-ID' })
  events(
    @Headers('last-event-id') last: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Observable<MessageEvent> {
    return this.stream(null, readEventId(last), response);
  }

  @Get('books')
  @ApiOperation({ summary: 'For each asset: what the vault holds against what AO owes' })
  @ApiQuery({ name: 'asset', required: false, description: 'CAIP-19' })
  async bookList(@Query('asset') id: unknown) {
    const assets = id === undefined ? this.config.assets : [this.asset(read(text, id))];
    const books = await Promise.all(assets.map((a) => this.books.of(a)));
    return {
      books: books.map((b) => ({
        asset: b.asset,
        locked: formatAmount(b.locked),
        supply: formatAmount(b.supply),
        inFlight: formatAmount(b.inFlight),
        // Paid on the chain, not yet attested on AO: no more in the vault, still in flight in the process.
        releasedUnattested: formatAmount(b.releasedUnattested),
        ok: shortfall({ locked: b.locked + b.releasedUnattested, supply: b.supply, inFlight: b.inFlight }) === 0n,
        height: String(b.height),
        slot: b.slot,
      })),
    };
  }

  @Get('decisions')
  @ApiOperation({ summary: 'What the guardians have voted on and decided about an asset: newest first, at most 100' })
  @ApiQuery({ name: 'asset', description: 'CAIP-19' })
  async decisionList(@Query('asset') id: unknown) {
    const asset = this.asset(read(text, id));
    const rows = await this.decisions.list(asset.process, DECISIONS_SHOWN);
    return { decisions: rows.map((row) => decisionView(asset.id, row)) };
  }

  /** What no transfer's id can be is as unknown as an id nobody has. */
  private findTransfer(id: string): Promise<TransferRow | null> {
    return /^0x[0-9a-f]{64}$/.test(id) ? this.store.find(id) : Promise.resolve(null);
  }

  private asset(id: string): AssetConfig {
    const asset = this.config.assets.find((a) => a.id === id);
    if (!asset)
      throw new Problem(
        404,
        'unknown-asset',
        'Unknown asset',
        'This asset is not bridged here; GET /v1/assets lists those that are.',
      );
    return asset;
  }

  private assetView(a: AssetConfig) {
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
    };
  }

  private depositQuote(asset: AssetConfig, wanted: bigint, recipient: string, tags: { name: string; value: string }[]) {
    if (wanted < asset.minDeposit)
      throw new Problem(400, 'below-minimum', 'Too little', `The least deposit is ${asset.minDeposit} base units.`);
    const to = this.config.chain.vault;
    const [bytes, tagBytes] = [aoAddressToBytes(recipient), encodeTags(tags)];
    const isCoin = asset.address === zeroAddress;
    const call = isCoin
      ? {
          to,
          value: String(wanted),
          data: encodeCoinDeposit(bytes, tagBytes),
          function: 'deposit(bytes recipient, bytes tags)',
        }
      : {
          to,
          value: '0',
          data: encodeTokenDeposit(asset.address, wanted, bytes, tagBytes),
          function: 'deposit(address asset, uint256 amount, bytes recipient, bytes tags)',
        };
    return {
      direction: 'deposit',
      asset: asset.id,
      amount: String(wanted),
      fee: '0',
      receive: String(wanted),
      minimum: formatAmount(asset.minDeposit),
      expectedSeconds: Math.ceil(this.config.chain.finalitySeconds + 10),
      chain: this.config.chain.id,
      approve: isCoin
        ? null
        : {
            token: asset.address,
            spender: to,
            amount: String(wanted),
            note: 'or depositWithPermit with an EIP-2612 signature instead',
          },
      call,
    };
  }

  private async withdrawalQuote(asset: AssetConfig, wanted: bigint, recipient: string) {
    if (wanted < asset.minWithdrawal)
      throw new Problem(
        400,
        'below-minimum',
        'Too little',
        `The least withdrawal is ${asset.minWithdrawal} base units.`,
      );
    const { vault } = this.config.chain;
    if ([vault, asset.address].some((a) => a.toLowerCase() === recipient.toLowerCase()))
      throw new Problem(
        400,
        'bad-recipient',
        'The recipient cannot be paid',
        'The vault and the token itself are no recipients; name an account of your own.',
      );
    const maxFee = await this.relayer.suggestedMaxFee(asset);
    if (maxFee >= wanted)
      throw new Problem(
        400,
        'below-fee',
        'Too little',
        `The fee may now be up to ${maxFee} base units: withdraw more than that.`,
      );
    const tags = [
      { name: 'Data-Protocol', value: 'ao' },
      { name: 'Variant', value: 'ao.TN.1' },
      { name: 'Type', value: 'Message' },
      { name: 'Action', value: 'Withdraw' },
      { name: 'Quantity', value: String(wanted) },
      { name: 'Recipient', value: recipient },
      { name: 'Max-Fee', value: String(maxFee) },
    ];
    return {
      direction: 'withdrawal',
      asset: asset.id,
      amount: String(wanted),
      maxFee: String(maxFee),
      receiveAtLeast: String(wanted - maxFee),
      minimum: formatAmount(asset.minWithdrawal),
      expectedSeconds: Math.ceil(this.config.chain.finalitySeconds + 20),
      message: { url: `${this.config.publicUrl}/mu`, target: asset.process, tags },
    };
  }

  private async context() {
    return { config: this.config, paused: await this.books.paused() };
  }

  /** Durable events from a point on, then live ones; a client that reads too slowly is cut off and resumes by its last id. */
  private stream(transfer: string | null, from: bigint | null, response: Response): Observable<MessageEvent> {
    if (this.streams >= MAX_STREAMS)
      throw new Problem(
        503,
        'too-many-streams',
        'Too many live streams',
        'Try again in a moment, or read /v1/transfers.',
      );
    return new Observable<MessageEvent>((subscriber) => {
      this.streams += 1;
      let at = from;
      let busy = false;
      let again = false;
      const pump = async (): Promise<void> => {
        again = true;
        if (busy) return;
        busy = true;
        try {
          while (again) {
            again = false;
            at ??= await this.store.lastEvent();
            const events = await this.store.events(at, transfer, EVENTS_AT_ONCE);
            for (const event of events) subscriber.next(messageOf(event));
            at = events.length > 0 ? BigInt((events.at(-1) as StateEvent).id) : at;
            again ||= events.length === EVENTS_AT_ONCE;
            if (response.writableLength > 1024 * 1024) subscriber.complete();
          }
        } catch (error) {
          subscriber.error(error);
        } finally {
          busy = false;
        }
      };
      const onEvents = () => void pump();
      const heartbeat = setInterval(() => {
        subscriber.next({ type: 'heartbeat', data: new Date().toISOString() });
        onEvents(); // another gateway on this database may have written some
      }, HEARTBEAT_MS);
      committed.on('events', onEvents);
      onEvents();
      return () => {
        this.streams -= 1;
        clearInterval(heartbeat);
        committed.off('events', onEvents);
      };
    });
  }
}

function messageOf({ id, transfer, state, at }: StateEvent): MessageEvent {
  return { id, type: 'transfer', data: { transfer, state, at: at.toISOString() } };
}

const writeCursor = (position: string): string => Buffer.from(position).toString('base64url');

function readCursor(cursor: string): bigint {
  const position = Buffer.from(cursor, 'base64url').toString();
  if (!/^[1-9][0-9]{0,17}$/.test(position))
    throw new Problem(400, 'bad-cursor', 'The request is not valid', 'cursor: use the nextCursor of the page before');
  return BigInt(position);
}

function readEventId(header: string | undefined): bigint | null {
  return header !== undefined && /^[0-9]{1,18}$/.test(header) ? BigInt(header) : null;
}
