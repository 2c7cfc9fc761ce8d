/** What could not be delivered: anyone may see it, the operator may have it sent again or give it up. */
import { DeadLetterError, type DeadLetter } from '@isthmus/ao';
import { Controller, Get, Headers, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiParam, ApiTags } from '@nestjs/swagger';
import { readQuery } from '../api/input.js';
import { Answers, QueryOf } from '../api/openapi.js';
import { notFound, Problem } from '../api/problem.js';
import { deadLetterId, deadLettersQuery, discardQuery, idIn } from './input.js';
import type { AoDeadLetter, AoDeadLetterGroups, AoDeadLetterPage, AoDiscarded, AoReleased } from './schemas.js';
import { AO_PARTS, type AoParts } from './tokens.js';

@ApiTags('ao')
@Controller('v1/ao')
export class DeadLettersController {
  constructor(@Inject(AO_PARTS) private readonly ao: AoParts) {}

  @Get('dead-letters')
  @Answers('AoDeadLetterPage', 'What could not be delivered, and why, newest first')
  @QueryOf(deadLettersQuery)
  async list(@Query() query: unknown): Promise<AoDeadLetterPage> {
    const { process, reason, message: root, cursor, limit } = readQuery(deadLettersQuery, query);
    const { letters, next } = await this.ao.pipeline.messenger.deadLetters({ process, reason, root }, cursor, limit);
    return { deadLetters: letters.map(letterView), nextCursor: next };
  }

  @Get('dead-letters/groups')
  @Answers('AoDeadLetterGroups', 'How many there are, by process and reason')
  async groups(): Promise<AoDeadLetterGroups> {
    return { groups: await this.ao.pipeline.messenger.deadLetterGroups() };
  }

  @Post('dead-letters/:id/discard')
  @HttpCode(200)
  @ApiBearerAuth()
  @Answers('AoDiscarded', 'Gives one of them up (operators only)')
  @ApiParam({ name: 'id', description: 'Its number' })
  async discard(@Param('id') path: string, @Headers('authorization') shown: string | undefined): Promise<AoDiscarded> {
    this.ao.operator.admit(shown);
    await this.ao.pipeline.messenger.discard(deadLetterId(path)).catch(refuse);
    return { discarded: 1 };
  }

  @Post('processes/:id/dead-letters/discard')
  @HttpCode(200)
  @ApiBearerAuth()
  @Answers('AoDiscarded', 'Gives up all of a process, or those set aside for one reason (operators only)')
  @ApiParam({ name: 'id', description: 'The process that sent them: 43 characters' })
  @QueryOf(discardQuery)
  async discardAll(
    @Param('id') path: string,
    @Query() query: unknown,
    @Headers('authorization') shown: string | undefined,
  ): Promise<AoDiscarded> {
    this.ao.operator.admit(shown);
    const process = idIn(path, 'process of this id');
    const { reason } = readQuery(discardQuery, query);
    if ((await this.ao.store.evaluated(process)) === null) throw notFound('process of this id');
    return { discarded: await this.ao.pipeline.messenger.discardAll(process, reason ?? null) };
  }

  @Post('dead-letters/:id/release')
  @HttpCode(200)
  @ApiBearerAuth()
  @Answers('AoReleased', 'Sends one of them again (operators only)')
  @ApiParam({ name: 'id', description: 'Its number' })
  async release(@Param('id') path: string, @Headers('authorization') shown: string | undefined): Promise<AoReleased> {
    this.ao.operator.admit(shown);
    await this.ao.pipeline.messenger.release(deadLetterId(path)).catch(refuse);
    return { released: 1 };
  }

  @Post('processes/:id/dead-letters/release')
  @HttpCode(200)
  @ApiBearerAuth()
  @Answers('AoReleased', 'Sends all of a process again that can be (operators only)')
  @ApiParam({ name: 'id', description: 'The process that sent them: 43 characters' })
  async releaseAll(
    @Param('id') path: string,
    @Headers('authorization') shown: string | undefined,
  ): Promise<AoReleased> {
    this.ao.operator.admit(shown);
    const process = idIn(path, 'process of this id');
    if ((await this.ao.store.evaluated(process)) === null) throw notFound('process of this id');
    return { released: await this.ao.pipeline.messenger.releaseAll(process) };
  }
}

function letterView({ nonce, itemId, root, hops: _, ...same }: DeadLetter): AoDeadLetter {
  return { ...same, slot: nonce, message: itemId, pushedFor: root };
}

function refuse(error: unknown): never {
  if (!(error instanceof DeadLetterError)) throw error;
  if (error.code === 'unknown-letter') throw notFound('dead letter of this number');
  throw new Problem('undeliverable', error.message);
}
