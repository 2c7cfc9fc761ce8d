/**
 * Solana Pay transaction requests: a wallet that opens a quote's link says which account it has, and gets the deposit's transaction to sign. It is
 * made anew each time, by the rules of every quote; the gateway signs nothing of it.
 */
import { formatUnits } from '@isthmus/bridge';
import { Body, Controller, Get, HttpCode, Inject, Post, Query } from '@nestjs/common';
import { ApiBody, ApiTags } from '@nestjs/swagger';
import type { NextFunction, Request, Response } from 'express';
import { assetOf, payQuery, payRequest, readQuery } from '../../api/input.js';
import { Answers, QueryOf, ref } from '../../api/openapi.js';
import { Problem, read, wrongField } from '../../api/problem.js';
import { Quoting } from '../../api/quoting.js';
import { CONFIG } from '../../api/tokens.js';
import type { GatewayConfig } from '../../config.js';
import { Homes } from '../homes.js';
import type { SolanaPayLabel, SolanaPayTransaction } from './pay-answers.js';
import { PAY_PATH } from './payment.js';

/** Seconds a wallet in a browser may remember that it may ask. */
const REMEMBERED = '86400';

@ApiTags('bridge')
@Controller(PAY_PATH)
export class SolanaPayController {
  constructor(
    @Inject(CONFIG) private readonly config: GatewayConfig,
    @Inject(Homes) private readonly homes: Homes,
    @Inject(Quoting) private readonly quoting: Quoting,
  ) {}

  @Get()
  @Answers('SolanaPayLabel', 'Solana Pay: who asks for the transaction of a deposit')
  @QueryOf(payQuery)
  label(@Query() query: unknown): SolanaPayLabel {
    assetOf(this.homes, readQuery(payQuery, query).asset);
    const { publicUrl } = this.config;
    return { label: 'Isthmus', icon: new URL('icon.svg', publicUrl.endsWith('/') ? publicUrl : `${publicUrl}/`).href };
  }

  @Post()
  @HttpCode(200)
  @Answers('SolanaPayTransaction', 'Solana Pay: the transaction of a deposit, for the wallet that asks')
  @QueryOf(payQuery)
  @ApiBody({ schema: ref('SolanaPayRequest') })
  async transaction(@Query() query: unknown, @Body() body: unknown): Promise<SolanaPayTransaction> {
    const { tags = [], ...asked } = readQuery(payQuery, query);
    const { account: sender } = read(payRequest, body);
    const asset = assetOf(this.homes, asked.asset);
    const quote = await this.quoting.quote({ direction: 'deposit', ...asked, tags, sender }).catch((error: unknown) => {
      const isSender = error instanceof Problem && error.errors?.some((e) => e.name === 'sender');
      throw isSender ? wrongField('account', 'not a Solana address: write base58 of 32 bytes') : error;
    });
    if (!('transaction' in quote) || quote.transaction === null)
      throw new Problem('unknown-asset', 'This asset is not on Solana: POST /v1/quotes says how it is deposited.');
    const amount = `${formatUnits(BigInt(quote.amount), asset.decimals)} ${asset.symbol}`;
    return { transaction: quote.transaction, message: `Deposit ${amount} for ${asked.recipient} on AO` };
  }
}

/** Wallets in browsers are pages of other origins: they may read these answers, refusals too. */
export function forWallets(request: Request, response: Response, next: NextFunction): void {
  response.setHeader('access-control-allow-origin', '*');
  if (request.method !== 'OPTIONS') return next();
  response.setHeader('access-control-allow-methods', 'GET, POST, OPTIONS');
  response.setHeader('access-control-allow-headers', 'content-type, accept, accept-encoding');
  response.setHeader('access-control-max-age', REMEMBERED);
  response.status(204).end();
}
