/** Deposit addresses: where a chain has them, one is asked for, and what was paid to it is shown. Each costs a message on AO for ever, so they are counted. */
import { clientOf } from '@isthmus/ao';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { ApiBody, ApiParam, ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';
import type { DepositAddressAnswer, DepositAddressDetail } from '../homes/bitcoin/answers.js';
import type { DepositAddresses } from '../homes/home.js';
import { Homes } from '../homes/homes.js';
import { BookKeeper } from '../transfers/book-keeper.js';
import { addressRequest, assetOf } from './input.js';
import { Answers, ref } from './openapi.js';
import { PerMinute } from './per-minute.js';
import { notFound, Problem, read } from './problem.js';
import { Selling } from './selling.js';

/** Addresses all clients together may ask for in a minute: each is a slot of a schedule that everybody follows. */
const ALL_PER_MINUTE = 600;
/** An address of any chain is shorter. */
const MAX_ADDRESS = 128;
const ADDRESS = { name: 'address', description: 'The address as it was given' };
const EXAMPLE = {
  value: {
    asset: 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:0',
    recipient: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
    refund: { key: '02'.padEnd(66, '7') },
  },
};

@ApiTags('bridge')
@Controller('v1/deposit-addresses')
export class DepositAddressesController {
  private readonly all = new PerMinute(ALL_PER_MINUTE, 'deposit addresses a minute for all together');
  private readonly own: ReadonlyMap<DepositAddresses, PerMinute>;

  constructor(
    @Inject(Homes) private readonly homes: Homes,
    @Inject(BookKeeper) private readonly books: BookKeeper,
    @Inject(Selling) private readonly selling: Selling,
  ) {
    const places = homes.all.flatMap(({ addresses }) => addresses ?? []);
    this.own = new Map(
      places.map((one) => [one, new PerMinute(one.perMinute, 'deposit addresses a minute for one client')]),
    );
  }

  @Post()
  @HttpCode(200)
  @Answers('DepositAddress', 'A deposit address of one’s own; the same for the same terms')
  @ApiBody({ schema: ref('AddressRequest'), examples: { bitcoin: EXAMPLE } })
  async give(@Body() body: unknown, @Req() request: Request): Promise<DepositAddressAnswer> {
    const { asset: id, ...asked } = read(addressRequest, body);
    const asset = assetOf(this.homes, id);
    const { addresses } = this.homes.of(asset);
    if (!addresses)
      throw new Problem('bad-request', 'The chain of this asset has no deposit addresses: ask for a quote.', [
        { name: 'asset', reason: 'its chain has no deposit addresses' },
      ]);
    if (this.homes.assets.some((a) => a.process === asked.recipient))
      throw new Problem('forbidden-recipient', 'A token itself is no recipient: what is sent there is stuck.', [
        { name: 'recipient', reason: 'a token itself' },
      ]);
    await this.selling.assertCarried(asset);
    const { open } = await this.books.standing(asset);
    if (!open || (await this.books.paused()).has(asset.process))
      throw new Problem(open ? 'paused' : 'asset-closed', 'The guardians take no deposits of this asset now.');
    await this.count(addresses, request);
    return addresses.give(asked);
  }

  @Get(':address')
  @Answers('DepositAddressDetail', 'A deposit address, and what was paid to it')
  @ApiParam(ADDRESS)
  async find(@Param('address') address: string): Promise<DepositAddressDetail> {
    if (address.length <= MAX_ADDRESS)
      for (const { addresses } of this.homes.all) {
        const found = await addresses?.find(address);
        if (found) return found;
      }
    throw notFound('deposit address registered as this');
  }

  /** @throws Problem `too-many-requests` */
  private async count(addresses: DepositAddresses, request: Request): Promise<void> {
    await this.own.get(addresses)?.take(clientOf(request.ip ?? ''));
    await this.all.take('all');
  }
}
