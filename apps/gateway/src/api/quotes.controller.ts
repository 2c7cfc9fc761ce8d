/** Quotes over HTTP. */
import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { ApiBody, ApiTags } from '@nestjs/swagger';
import { quoteRequest } from './input.js';
import { Answers, ref } from './openapi.js';
import { read } from './problem.js';
import { Quoting } from './quoting.js';
import type { DepositQuote, WithdrawalQuote } from './schemas.js';

const COIN = 'eip155:31337/slip44:60';
const RECIPIENT = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';
const EXAMPLES = {
  deposit: {
    summary: 'From the chain to AO',
    value: { direction: 'deposit', asset: COIN, amount: '1000000000000000000', recipient: RECIPIENT },
  },
  withdrawal: {
    summary: 'From AO to the chain',
    value: { direction: 'withdrawal', asset: COIN, amount: '500000000000000000', recipient: RECIPIENT },
  },
};

@ApiTags('bridge')
@Controller('v1/quotes')
export class QuotesController {
  constructor(@Inject(Quoting) private readonly quoting: Quoting) {}

  @Post()
  @HttpCode(200)
  @Answers('Quote', 'What a transfer costs, brings and needs: the exact call or message')
  @ApiBody({ schema: ref('QuoteRequest'), examples: EXAMPLES })
  async quote(@Body() body: unknown): Promise<DepositQuote | WithdrawalQuote> {
    return this.quoting.quote(read(quoteRequest, body));
  }
}
