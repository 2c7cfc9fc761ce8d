/** The canonical state as of a seal: what a replay from Arweave must come to as well. */
import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { readQuery } from '../api/input.js';
import { Answers, QueryOf } from '../api/openapi.js';
import { Problem } from '../api/problem.js';
import type { StateAnswer } from './schemas.js';
import { StateStore, StateUnavailable } from './state-store.js';

/** Most processes listed: some 3 MB. */
const MAX_LISTED = 10_000;
const SEAL = 'write the number of a seal, from 1 on';
const stateQuery = z.strictObject({
  seal: z
    .string({ error: SEAL })
    .regex(/^[1-9][0-9]{0,14}$/, SEAL)
    .optional()
    .describe('Number of the seal; the newest without it'),
});

@ApiTags('settlement')
@Controller('v1/state')
export class StateController {
  constructor(@Inject(StateStore) private readonly store: StateStore) {}

  @Get()
  @Answers('State', 'The canonical state as of a seal, with its hash and that of the index')
  @QueryOf(stateQuery)
  async state(@Query() query: unknown): Promise<StateAnswer> {
    const { seal } = readQuery(stateQuery, query);
    const { processes, assets, ...rest } = await this.store
      .at(seal === undefined ? undefined : Number(seal))
      .catch(refused);
    return {
      ...rest,
      processes: processes.length > MAX_LISTED ? null : processes,
      assets: assets.map((a) => ({
        asset: a.asset,
        process: a.process,
        minted: String(a.minted),
        burned: String(a.burned),
        released: String(a.released),
      })),
    };
  }
}

function refused(error: unknown): never {
  if (!(error instanceof StateUnavailable)) throw error;
  const codes = {
    'not-projected': 'not-ready',
    busy: 'busy',
    'nothing-settled': 'not-found',
    'unknown-seal': 'not-found',
  } as const;
  throw new Problem(codes[error.code], error.message);
}
