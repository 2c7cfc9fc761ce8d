/** Where a transaction that somebody has sent on Solana stands, before and after the bridge knows of it. */
import { clientOf } from '@isthmus/ao';
import { isBase58 } from '@isthmus/bridge';
import { Controller, Get, Inject, Param, Req } from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';
import { Answers } from '../../api/openapi.js';
import { PerMinute } from '../../api/per-minute.js';
import { notFound, wrongField } from '../../api/problem.js';
import { TransferStore } from '../../transfers/transfer-store.js';
import { Homes } from '../homes.js';
import type { SolanaTransactionAnswer, TransactionProgress } from './answers.js';

const SIGNATURE_BYTES = 64;
/** Questions of one client, and of all together, a minute: each may cost a call to every source. */
const CLIENT_PER_MINUTE = 120;
const ALL_PER_MINUTE = 600;
/** A transaction of 1,232 bytes makes no more transfers into vaults. */
const MAX_TRANSFERS = 64;

@ApiTags('bridge')
@Controller('v1/solana/transactions')
export class SolanaTransactionsController {
  private readonly own = new PerMinute(CLIENT_PER_MINUTE, 'questions about transactions a minute for one client');
  private readonly all = new PerMinute(ALL_PER_MINUTE, 'questions about transactions a minute for all together');

  constructor(
    @Inject(Homes) private readonly homes: Homes,
    @Inject(TransferStore) private readonly store: TransferStore,
  ) {}

  @Get(':signature')
  @Answers('SolanaTransaction', 'How far a transaction on Solana has come, from processed on, and what it deposited')
  @ApiParam({ name: 'signature', description: 'Its signature, base58 of 64 bytes' })
  async find(@Param('signature') signature: string, @Req() request: Request): Promise<SolanaTransactionAnswer> {
    if (!isBase58(signature, SIGNATURE_BYTES))
      throw wrongField('signature', 'write a transaction’s signature: base58 of 64 bytes');
    await this.own.take(clientOf(request.ip ?? ''));
    await this.all.take('all');
    const { chain, state, ...place } = await this.progress(signature);
    const rows = await this.store.list({ source: signature, limit: MAX_TRANSFERS });
    const orphaned = rows.some((row) => row.state === 'orphaned');
    return {
      signature,
      chain,
      state: state === 'unknown' && orphaned ? 'dropped' : state,
      ...place,
      transfers: rows.map((row) => ({ id: row.id, state: row.state })),
    };
  }

  /** By the first home whose cluster has seen it. @throws Problem `not-found`, AgreementLost */
  private async progress(signature: string): Promise<TransactionProgress & { chain: string }> {
    let found: (TransactionProgress & { chain: string }) | null = null;
    for (const { chain, progress } of this.homes.all) {
      if (!progress || (found !== null && found.state !== 'unknown')) continue;
      found = { chain: chain.id, ...(await progress.of(signature)) };
    }
    if (found === null) throw notFound('home on Solana');
    return found;
  }
}
