/**
 * What a process says about its public state: its messages without a target and with `device: patch@1.0`, read into leaves. A leaf is one
 * value under one path; tables are the paths. Pure, and the same everywhere: what is refused here is refused by every gateway.
 */
import type { EvaluationResult, OutboundMessage } from '../types.js';

/** Deepest path, in keys. */
export const MAX_DEPTH = 16;
/** Longest path in its written form: what an index of the database takes, with room. */
export const MAX_PATH_BYTES = 1024;
/** Longest value, as JSON. */
export const MAX_VALUE_BYTES = 64 * 1024;
/** Most leaves that one message changes: a token's whole book of some tens of thousands at once, a larger one in parts. */
export const MAX_LEAVES_OF_MESSAGE = 50_000;

/** What takes a key away; Lua cannot send nil. HyperBEAM reads the same word. */
export const UNSET = '__ao-unset__';

/** One change of the state. `value` is JSON text; null takes away the path and all below it. */
export interface Change {
  path: readonly string[];
  value: string | null;
}

/** What one result says: changes in their order, and why a patch of it was not taken; a patch is taken whole or not. */
export interface Patched {
  changes: Change[];
  refused: string | null;
}

/** Tags that say what a message is, not what the process' state is: AO's own, and those that make it a patch. */
const NOT_STATE = new Set(['Data-Protocol', 'Variant', 'Type', 'Reference', 'Action', 'From-Process', 'From-Module']);

const PATCH = new Map([
  ['device', 'patch@1.0'],
  ['method', 'PATCH'],
]);

class Refused extends Error {}

/** What a result's patches say; null when it has none, or failed. */
export function patchesOf({ Error: failure, Messages }: EvaluationResult): Patched | null {
  const patches = failure === undefined ? Messages.filter(isPatch) : [];
  if (patches.length === 0) return null;
  const patched: Patched = { changes: [], refused: null };
  for (const patch of patches) {
    const before = patched.changes.length;
    try {
      addChanges(patch, patched.changes);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      patched.changes.length = before;
      patched.refused = error.message;
    }
  }
  return patched;
}

/** Names of tags in any case here: HyperBEAM has them all in lower case. */
function isPatch({ Target, Tags }: OutboundMessage): boolean {
  return !Target && Tags.some(({ name, value }) => PATCH.get(name.toLowerCase()) === value);
}

function addChanges({ Tags }: OutboundMessage, changes: Change[]): void {
  for (const { name, value } of Tags) {
    if (!PATCH.has(name.toLowerCase()) && !NOT_STATE.has(name)) collect([wellFormed(name)], readTag(value), changes);
  }
}

/** A table reaches a tag as JSON text; anything else is text. */
function readTag(value: string): unknown {
  if (!/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}

function collect(path: readonly string[], value: unknown, changes: Change[]): void {
  if (path.length > MAX_DEPTH) throw new Refused(`A patch is at most ${MAX_DEPTH} keys deep.`);
  if (path.at(-1) === '') throw new Refused('A key has at least one character.');
  if (value === null || value === UNSET) return add(path, null, changes);
  const entries = typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];
  if (entries.length === 0) return add(path, leafText(value, path.length), changes);
  for (const [key, inner] of entries) collect([...path, wellFormed(key)], inner, changes);
}

function add(path: readonly string[], value: string | null, changes: Change[]): void {
  if (writePath(path).length > MAX_PATH_BYTES) throw new Refused(`A path takes at most ${MAX_PATH_BYTES} bytes.`);
  if (value !== null && Buffer.byteLength(value) > MAX_VALUE_BYTES)
    throw new Refused(`A value takes at most ${MAX_VALUE_BYTES} bytes.`);
  if (changes.length === MAX_LEAVES_OF_MESSAGE)
    throw new Refused(`A message changes at most ${MAX_LEAVES_OF_MESSAGE} values: change the rest with another.`);
  changes.push({ path, value });
}

/** A list is one value, and so is what is empty: Lua's empty table is either, so it is always written `{}`. */
function leafText(value: unknown, depth: number): string {
  assertShallow(value, depth);
  if (typeof value === 'string') return JSON.stringify(wellFormed(value));
  const text = JSON.stringify(value);
  return text === '[]' ? '{}' : text;
}

/** Before anything walks it by recursion. */
function assertShallow(value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth > MAX_DEPTH) throw new Refused(`A patch is at most ${MAX_DEPTH} keys deep.`);
  for (const inner of Object.values(value)) assertShallow(inner, depth + 1);
}

/** Half a surrogate pair is no character and has no UTF-8. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

/** A path as text: each key percent-encoded, so that a key may hold anything, a slash or NUL too. */
export function writePath(path: readonly string[]): string {
  return path.map(encodeURIComponent).join('/');
}

/** The keys of a written path. */
export function readPath(written: string): string[] {
  return written.split('/').map(decodeURIComponent);
}
