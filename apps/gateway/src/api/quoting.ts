/** What a transfer costs and brings, and the exact call or message. Nothing is offered that the vault or the process would refuse now. */
import { formatUnits, isSenderOn } from '@isthmus/bridge';
import type { HomeAsset } from '../homes/asset-config.js';
import type { Standing } from '../homes/home.js';
import type { Homes } from '../homes/homes.js';
import type { BookKeeper } from '../transfers/book-keeper.js';
import { recipientNote } from './ao-recipient.js';
import { depositSeconds, withdrawalSeconds } from './estimate.js';
import { assetOf, type QuoteRequest } from './input.js';
import { Problem, wrongField } from './problem.js';
import type { DepositQuote, WithdrawalQuote } from './schemas.js';
import type { Selling } from './selling.js';

type Asked<D extends QuoteRequest['direction']> = Extract<QuoteRequest, { direction: D }>;

export class Quoting {
  constructor(
    private readonly publicUrl: string,
    private readonly homes: Homes,
    private readonly books: BookKeeper,
    private readonly selling: Selling,
  ) {}

  /** @throws Problem */
  quote(request: Asked<'deposit'>): Promise<DepositQuote>;
  quote(request: QuoteRequest): Promise<DepositQuote | WithdrawalQuote>;
  async quote(request: QuoteRequest): Promise<DepositQuote | WithdrawalQuote> {
    const asset = assetOf(this.homes, request.asset);
    await this.checkRecipient(asset, request);
    await this.selling.assertCarried(asset);
    const standing = await this.standing(asset);
    return request.direction === 'deposit'
      ? this.depositQuote(asset, request, standing)
      : this.withdrawalQuote(asset, request, standing);
  }

  private async depositQuote(
    asset: HomeAsset,
    request: Asked<'deposit'>,
    { open, why, minDeposit, depositFee, room }: Standing,
  ): Promise<DepositQuote> {
    const wanted = BigInt(request.amount);
    if (!open)
      throw new Problem(
        'asset-closed',
        why === undefined
          ? `The vault takes no deposits of this asset now; ${decisionsOf(asset)} shows what was decided.`
          : `This asset cannot be deposited now: ${why}`,
      );
    const minimum = minDeposit > asset.minDeposit ? minDeposit : asset.minDeposit;
    atLeast('deposit', wanted, minimum, asset);
    if (wanted > room)
      throw amountProblem(
        'above-capacity',
        `The vault can take at most ${inUnits(room, asset)} more.`,
        `at most ${room} base units`,
      );
    const home = this.homes.of(asset);
    const { sender } = request;
    if (sender !== undefined && !isSenderOn(home.chain.id, sender))
      throw wrongField('sender', 'not an address of this chain');
    const payment = await home.payment(asset, request);
    return {
      direction: 'deposit',
      asset: asset.id,
      amount: String(wanted),
      fee: String(depositFee),
      receive: String(wanted - depositFee),
      minimum: String(minimum),
      expectedSeconds: depositSeconds(home.pace),
      chain: home.chain.id,
      recipientNote: recipientNote(request.recipient),
      ...payment,
    };
  }

  private async withdrawalQuote(
    asset: HomeAsset,
    { amount, recipient }: Asked<'withdrawal'>,
    { limit }: Standing,
  ): Promise<WithdrawalQuote> {
    const wanted = BigInt(amount);
    atLeast('withdrawal', wanted, asset.minWithdrawal, asset);
    if (wanted > limit)
      throw amountProblem(
        'above-limit',
        `No more than ${inUnits(limit, asset)} may leave at once: withdraw it in parts.`,
        `at most ${limit} base units`,
      );
    const home = this.homes.of(asset);
    const maxFee = await home.suggestedMaxFee(asset);
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
      relayFee: asset.relayFee === undefined ? null : String(asset.relayFee),
      receiveAtLeast: String(wanted - maxFee),
      minimum: String(asset.minWithdrawal),
      expectedSeconds: withdrawalSeconds(home.pace),
      message: { url: `${this.publicUrl}/mu`, target: asset.process, tags },
    };
  }

  /** What the vault says of the asset now. @throws Problem `paused`, by either side */
  private async standing(asset: HomeAsset): Promise<Standing> {
    const [standing, paused] = await Promise.all([this.books.standing(asset), this.books.paused()]);
    if (standing.paused || paused.has(asset.process))
      throw new Problem('paused', `The guardians have paused this asset; ${decisionsOf(asset)} shows it.`);
    return standing;
  }

  /** Nobody could send on what the vault or a token's own process or contract holds. @throws Problem */
  private async checkRecipient(asset: HomeAsset, { direction, recipient }: QuoteRequest): Promise<void> {
    const home = this.homes.of(asset);
    const fault = direction === 'withdrawal' ? home.recipientFault(recipient) : null;
    if (fault !== null) throw wrongField('recipient', fault);
    const isProcess = direction === 'deposit' && this.homes.assets.some((a) => a.process === recipient);
    if (isProcess || (await home.isOwn(asset, recipient)))
      throw new Problem(
        'forbidden-recipient',
        'The vault and the tokens themselves are no recipients: what is sent there is stuck. Name an account of your own.',
        [{ name: 'recipient', reason: 'the vault or a token itself' }],
      );
  }
}

const decisionsOf = (asset: HomeAsset): string => `GET /v1/decisions?asset=${encodeURIComponent(asset.id)}`;

const inUnits = (amount: bigint, { decimals, symbol }: HomeAsset): string =>
  `${formatUnits(amount, decimals)} ${symbol}`;

const amountProblem = (
  code: 'below-minimum' | 'below-fee' | 'above-limit' | 'above-capacity',
  detail: string,
  reason: string,
): Problem => new Problem(code, detail, [{ name: 'amount', reason }]);

function atLeast(what: 'deposit' | 'withdrawal', wanted: bigint, minimum: bigint, asset: HomeAsset): void {
  if (wanted < minimum)
    throw amountProblem(
      'below-minimum',
      `The least ${what} is ${inUnits(minimum, asset)}.`,
      `at least ${minimum} base units`,
    );
}
