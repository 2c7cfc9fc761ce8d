/**
 * The tail of a schedule as text, for who must go on where a settlement ends: one JSON object to a line, a slot (its assignment and message
 * as they were signed) or a module. Whoever reads it trusts none of it: signatures and places are for the reader to check.
 */
import { ItemError, MAX_ITEM_BYTES, parseItem } from '../items/index.js';
import type { ShownEntry } from '../engine.js';
import type { Item, ScheduleEntry } from '../types.js';

export type TailLine = ({ kind: 'slot' } & ShownEntry) | { kind: 'module'; module: Item };

/** Two items of the largest size in base64, and the words around them. */
export const MAX_TAIL_LINE: number = Math.ceil((2 * MAX_ITEM_BYTES * 4) / 3) + 1024;

export const slotLine = ({ assignment, message }: Pick<ScheduleEntry, 'assignment' | 'message'>): string =>
  JSON.stringify({ assignment: textOf(assignment.raw), message: textOf(message.raw) });

export const moduleLine = (raw: Buffer): string => JSON.stringify({ module: textOf(raw) });

/** @throws ItemError */
export function readTailLine(text: string): TailLine {
  const { assignment, message, module } = fieldsOf(text);
  if (typeof module === 'string') return { kind: 'module', module: itemOf(module) };
  if (typeof assignment === 'string' && typeof message === 'string')
    return { kind: 'slot', assignment: itemOf(assignment), message: itemOf(message) };
  throw notALine();
}

function fieldsOf(text: string): Record<string, unknown> {
  if (text.length > MAX_TAIL_LINE) throw new ItemError('too-large', 'A line of a tail holds two items at most.');
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw notALine();
}

const notALine = (): ItemError =>
  new ItemError('bad-item', 'A line of a tail is {"assignment","message"} or {"module"}, each an item in base64url.');

const textOf = (raw: Buffer): string => raw.toString('base64url');
const itemOf = (text: string): Item => parseItem(Buffer.from(text, 'base64url'));
