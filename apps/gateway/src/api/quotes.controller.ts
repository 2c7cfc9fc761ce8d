/** Quotes: what a transfer costs and brings, and the exact call or message. Nothing is offered that the vault or the process would refuse now. */
import { aoAddressToBytes, encodeTags, formatUnits } from '@isthmus/bridge';
import { encodeCoinDeposit, encodeTokenDeposit } from '@isthmus/chains';
import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { ApiBody, ApiTags } from '@nestjs/swagger';
import { zeroAddress } from 'viem';
import type { AssetConfig, GatewayConfig } from '../config.js';
import { Relayer } from '../relayer/relayer.js';
import { BookKeeper, type VaultStanding } from '../transfers/book-keeper.js';
import { depositSeconds, paceOf, withdrawalSeconds } from './estimate.js';
import { assetOf, quoteRequest, type QuoteRequest } from './input.js';
import { Answers, ref } from './openapi.js';
import { Problem, read } from './problem.js';
import type { DepositQuote, WithdrawalQuote } from './schemas.js';
import { Selling } from './selling.js';
import { CONFIG } from './tokens.js';

type Asked<D extends QuoteRequest['direction']> = Extract<QuoteRequest, { direction: D }>;

/** Each asset's locked total stays below this (docs/protocol.md, section 2). */
const CAPACITY = 2n ** 112n;

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
  constructor(
    @Inject(CONFIG) private readonly config: GatewayConfig,
    @Inject(BookKeeper) private readonly books: BookKeeper,
    @Inject(Relayer) private readonly relayer: Relayer,
    @Inject(Selling) private readonly selling: Selling,
  ) {}

  @Post()
  @HttpCode(200)
  @Answers('Quote', 'What a transfer costs, brings and needs: the exact call or message')
  @ApiBody({ schema: ref('QuoteRequest'), examples: EXAMPLES })
  async quote(@Body() body: unknown): Promise<DepositQuote | WithdrawalQuote> {
    const request = read(quoteRequest, body);
    const asset = assetOf(this.config.assets, request.asset);
    this.checkRecipient(asset, request);
    await this.selling.assertCarried(asset);
    const standing = await this.standing(asset);
    return request.direction === 'deposit'
      ? this.depositQuote(asset, request, standing)
      : this.withdrawalQuote(asset, request, standing);
  }

  private depositQuote(asset: AssetConfig, request: Asked<'deposit'>, standing: VaultStanding): DepositQuote {
    const wanted = BigInt(request.amount);
    const { listing, locked } = standing;
    if (!listing.open)
      throw new Problem(
        'asset-closed',
        `The vault takes no deposits of this asset now; ${decisionsOf(asset)} shows what was decided.`,
      );
    const minimum = listing.minDeposit > asset.minDeposit ? listing.minDeposit : asset.minDeposit;
    atLeast('deposit', wanted, minimum, asset);
    const room = CAPACITY - 1n - locked;
    if (wanted > room)
      throw amountProblem(
        'above-capacity',
        `The vault can take at most ${inUnits(room, asset)} more.`,
        `at most ${room} base units`,
      );
    const to = this.config.chain.vault;
    const isCoin = asset.address === zeroAddress;
    return {
      direction: 'deposit',
      asset: asset.id,
      amount: String(wanted),
      fee: '0',
      receive: String(wanted),
      minimum: String(minimum),
      expectedSeconds: depositSeconds(paceOf(this.config)),
      chain: this.config.chain.id,
      approve: isCoin
        ? null
        : {
            token: asset.address,
            spender: to,
            amount: String(wanted),
            note: 'or depositWithPermit with an EIP-2612 signature instead',
          },
      call: this.depositCall(asset, request),
    };
  }

  private depositCall(asset: AssetConfig, { amount, recipient, tags }: Asked<'deposit'>): DepositQuote['call'] {
    const to = this.config.chain.vault;
    const [bytes, tagBytes] = [aoAddressToBytes(recipient), encodeTags(tags)];
    return asset.address === zeroAddress
      ? {
          to,
          value: amount,
          data: encodeCoinDeposit(bytes, tagBytes),
          function: 'deposit(bytes recipient, bytes tags)',
        }
      : {
          to,
          value: '0',
          data: encodeTokenDeposit(asset.address, BigInt(amount), bytes, tagBytes),
          function: 'deposit(address asset, uint256 amount, bytes recipient, bytes tags)',
        };
  }

  private async withdrawalQuote(
    asset: AssetConfig,
    { amount, recipient }: Asked<'withdrawal'>,
    { listing }: VaultStanding,
  ): Promise<WithdrawalQuote> {
    const wanted = BigInt(amount);
    atLeast('withdrawal', wanted, asset.minWithdrawal, asset);
    if (wanted > listing.limit)
      throw amountProblem(
        'above-limit',
        `No more than ${inUnits(listing.limit, asset)} may leave at once: withdraw it in parts.`,
        `at most ${listing.limit} base units`,
      );
    const maxFee = await this.relayer.suggestedMaxFee(asset);
    if (maxFee >= wanted)
      throw amountProblem(
        'below-fee',
        `The fee may now be up to ${inUnits(maxFee, asset)}: withdraw more than that.`,
        `more than ${maxFee} base units`,
      );
    const tags = [
      { name: 'Data-Protocol', value: 'ao' },
      { name: 'Variant', value: 'ao.TN.1' },
      { name: 'Type', value: 'Message' },
      { name: 'Action', value: 'Withdraw' },
      { name: 'Quantity', value: amount },
      { name: 'Recipient', value: recipient },
      { name: 'Max-Fee', value: String(maxFee) },
    ];
    return {
      direction: 'withdrawal',
      asset: asset.id,
      amount,
      maxFee: String(maxFee),
      receiveAtLeast: String(wanted - maxFee),
      minimum: String(asset.minWithdrawal),
      expectedSeconds: withdrawalSeconds(paceOf(this.config)),
      message: { url: `${this.config.publicUrl}/mu`, target: asset.process, tags },
    };
  }

  /** What the vault says of the asset now. @throws Problem `paused`, by either side */
  private async standing(asset: AssetConfig): Promise<VaultStanding> {
    const [standing, paused] = await Promise.all([this.books.standing(asset), this.books.paused()]);
    if (standing.paused || paused.has(asset.process))
      throw new Problem('paused', `The guardians have paused this asset; ${decisionsOf(asset)} shows it.`);
    return standing;
  }

  /** Nobody could send on what the vault or a token's own process or contract holds. */
  private checkRecipient(asset: AssetConfig, { direction, recipient }: QuoteRequest): void {
    const { vault } = this.config.chain;
    const forbidden =
      direction === 'deposit' ? [vault, ...this.config.assets.map((a) => a.process)] : [vault, asset.address];
    if (forbidden.includes(recipient))
      throw new Problem(
        'forbidden-recipient',
        'The vault and the tokens themselves are no recipients: what is sent there is stuck. Name an account of your own.',
        [{ name: 'recipient', reason: 'the vault or a token itself' }],
      );
  }
}

const decisionsOf = (asset: AssetConfig): string => `GET /v1/decisions?asset=${encodeURIComponent(asset.id)}`;

const inUnits = (amount: bigint, { decimals, symbol }: AssetConfig): string =>
  `${formatUnits(amount, decimals)} ${symbol}`;

const amountProblem = (
  code: 'below-minimum' | 'below-fee' | 'above-limit' | 'above-capacity',
  detail: string,
  reason: string,
): Problem => new Problem(code, detail, [{ name: 'amount', reason }]);

function atLeast(what: 'deposit' | 'withdrawal', wanted: bigint, minimum: bigint, asset: AssetConfig): void {
  if (wanted < minimum)
    throw amountProblem(
      'below-minimum',
      `The least ${what} is ${inUnits(minimum, asset)}.`,
      `at least ${minimum} base units`,
    );
}
