/** How requests under /v1/ao are read. */
import { isArweaveAddress } from '@isthmus/bridge';
import { z } from 'zod';
import { cursor, limit } from '../api/paging.js';
import { notFound, Problem } from '../api/problem.js';

const id = (what: string) =>
  z.string({ error: 'write it once' }).refine(isArweaveAddress, `write the 43 characters of ${what}`);
/** Lists of items go on after the id that was last. */
const byId = cursor(/^[A-Za-z0-9_-]{43}$/, isArweaveAddress);

export const processesQuery = z.strictObject({ cursor: byId, limit: limit('processes') });

export const modulesQuery = z.strictObject({ cursor: byId, limit: limit('modules') });

export const deadLettersQuery = z.strictObject({
  process: id('a process').optional().describe('Only those of this sender'),
  reason: z
    .string({ error: 'write it once' })
    .regex(/^[a-z-]{1,40}$/, 'a reason is one word of small letters')
    .optional()
    .describe('Only those set aside for this reason'),
  message: id('a message').optional().describe('Only what this signed message has led to'),
  cursor: cursor(/^[1-9][0-9]{0,17}$/),
  limit: limit('dead letters'),
});

export const discardQuery = z.strictObject({
  reason: deadLettersQuery.shape.reason,
});

/** An id in a path: what can be none is as unknown as one nobody has. @throws Problem `not-found` */
export function idIn(path: string, what: string): string {
  if (!isArweaveAddress(path)) throw notFound(what);
  return path;
}

/** @throws Problem `not-found` */
export function deadLetterId(path: string): string {
  if (!/^[1-9][0-9]{0,17}$/.test(path)) throw notFound('dead letter of this number');
  return path;
}

/** The last slot a reader has seen. @throws Problem `bad-request` */
export function lastSlot(header: string | undefined): number | null {
  if (header === undefined || header === '') return null;
  if (!/^(-1|[0-9]{1,15})$/.test(header))
    throw new Problem(
      'bad-request',
      'header last-event-id: write the slot that was read last, -1 for all from the first',
    );
  return Number(header);
}
