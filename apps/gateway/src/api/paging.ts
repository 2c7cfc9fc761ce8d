/** How lists are read page by page: `limit` and `cursor` have one spelling each, and a page ends by one rule. */
import { z } from 'zod';
import { Problem } from './problem.js';

const LATER = 'use the nextCursor of the page before';
/** Most on one page of any list: an answer stays small, whatever a row is. */
const MOST = 100;

/** A place in a list as `writeCursor` writes it. */
export const POSITION = /^[A-Za-z0-9_-]{1,40}$/;

/** Where a page goes on, for lists whose cursors are written so, and of those every one that `isOne`. */
export const cursor = (written: RegExp, isOne: (text: string) => boolean = () => true) =>
  z
    .string({ error: LATER })
    .regex(written, { error: LATER, abort: true })
    .refine(isOne, LATER)
    .optional()
    .describe('nextCursor of the page before');

/** How many of `what` a page has at most. */
export const limit = (what: string) =>
  z
    .string({ error: 'write it once' })
    .regex(/^[1-9][0-9]{0,2}$/, `a page has 1 to ${MOST} ${what}`)
    .default('25')
    .transform(Number)
    .refine((n) => n <= MOST, `a page has 1 to ${MOST} ${what}`)
    .describe(`Most on one page, 1 to ${MOST}`);

/** The page, and the cursor of the next, of rows that were asked for with one more than the page takes: that one says that there is a next. */
export function pageOf<Row>(
  rows: readonly Row[],
  size: number,
  cursorOf: (last: Row) => string,
): { page: Row[]; nextCursor: string | null } {
  const page = rows.slice(0, size);
  const last = page.at(-1);
  return { page, nextCursor: rows.length > size && last !== undefined ? cursorOf(last) : null };
}

export const writeCursor = (position: string): string => Buffer.from(position).toString('base64url');

/** @throws Problem `bad-cursor` */
export function readCursor(written: string): bigint {
  const position = Buffer.from(written, 'base64url').toString();
  if (!/^[1-9][0-9]{0,17}$/.test(position)) throw new Problem('bad-cursor', `query parameter cursor: ${LATER}`);
  return BigInt(position);
}
