/** Items as JSON shows them, field by field, and the bytes they were signed as. What JSON leaves open is tried in every way it can be. */
import { z } from 'zod';
import { EngineError } from '../engine.js';
import { ItemError, joinItem } from '../items/index.js';
import { MAX_TAGS } from '../items/tags.js';
import type { Item } from '../types.js';

/** An item in the fields that AO's scheduler units and Arweave's GraphQL share. Absent and null parts are none. */
export const shownItem = z.object({
  id: z.string(),
  owner: z.object({ key: z.string() }),
  tags: z.array(z.object({ name: z.string(), value: z.string() })).max(MAX_TAGS),
  signature: z.string(),
  anchor: z.string().nullish(),
  target: z.string().nullish(),
  data: z
    .union([z.string(), z.instanceof(Buffer)])
    .nullish()
    .catch(null),
});
export type ItemFields = z.output<typeof shownItem>;

/** Signature types by the length of their keys. */
const TYPES: Readonly<Record<number, readonly number[]>> = { 512: [1], 32: [2, 4], 65: [3] };

/** Every item these fields can be, none of them checked; the likeliest first. None when they are no item's. */
export function formsOf({ owner, tags, signature, anchor, target, data }: ItemFields): Item[] {
  const key = Buffer.from(owner.key, 'base64url');
  const parts = {
    owner: key,
    signature: Buffer.from(signature, 'base64url'),
    target: Buffer.from(target ?? '', 'base64url'),
    tags,
    data: typeof data === 'string' ? Buffer.from(data) : (data ?? Buffer.alloc(0)),
  };
  return (TYPES[key.length] ?? []).flatMap((type) =>
    anchorsOf(anchor ?? '').flatMap((bytes) => {
      try {
        return [joinItem({ ...parts, type, anchor: bytes })];
      } catch (error) {
        if (error instanceof ItemError) return [];
        throw error;
      }
    }),
  );
}

/** An anchor is 32 bytes, shown as the text they are or as base64url. */
function anchorsOf(anchor: string): Buffer[] {
  if (anchor === '') return [Buffer.alloc(0)];
  return [Buffer.from(anchor), Buffer.from(anchor, 'base64url')].filter((bytes) => bytes.length === 32);
}

/** A unit's answer in the shape it must have. @throws EngineError `malformed` */
export function read<S extends z.ZodType>(url: string, shape: S, answer: unknown): z.output<S> {
  const result = shape.safeParse(answer);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new EngineError(
    'malformed',
    `${new URL(url).origin} answered in another shape: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
  );
}
