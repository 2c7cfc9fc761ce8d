/** What is answered under /v1/state. */
import { z } from 'zod';
import { aoId, assetId } from '../api/fields.js';

const sum = (what: string) =>
  z
    .string()
    .regex(/^(0|[1-9][0-9]*)$/)
    .describe(`${what} by then, base units`);
const sha256 = (what: string) =>
  z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe(what);

const state = z.strictObject({
  seal: aoId('The seal this is as of'),
  sequence: z.int().describe('Its number'),
  state: sha256('SHA-256 of the canonical state, as the protocol writes it'),
  index: sha256('SHA-256 of the index: a line for each transfer as AO knows it by then'),
  transfers: z.int().describe('How many those are'),
  processes: z
    .array(
      z.strictObject({
        process: aoId('The process'),
        slot: z.int().describe('Its last slot settled'),
        assignment: aoId('Id of the assignment of that slot'),
        hashChain: aoId('Its hash chain'),
        results: aoId('The results chain up to it').nullable().describe('null when the seal commits to none'),
      }),
    )
    .nullable()
    .describe('null when there are more than 10,000; the hash is over all'),
  assets: z.array(
    z.strictObject({
      asset: assetId,
      process: aoId('Its token process'),
      minted: sum('Minted'),
      burned: sum('Burned'),
      released: sum('Released'),
    }),
  ),
});

export const stateSchemas = { State: state };
export type StateAnswer = z.infer<typeof state>;
