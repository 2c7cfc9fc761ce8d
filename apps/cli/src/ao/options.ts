/** What the commands under `isthmus ao` are told, and how each option is read: what is wrong is said with what to write instead. */
import { InvalidArgumentError } from 'commander';
import type { Tag } from '@isthmus/ao';

/** What a key of "isthmus keys" may sign as. */
export const KEY_TYPES = ['ethereum', 'ed25519'] as const;
export type KeyType = (typeof KEY_TYPES)[number];

/** Options of every command. */
export interface Common {
  gateway?: string;
  json?: boolean;
}

/** Options of what is signed. */
export interface Signed extends Common {
  key?: string;
  keyType: KeyType;
  wait: number;
}

export interface MessageOptions extends Signed {
  action?: string;
  data?: string;
  dataFile?: string;
  tag: Tag[];
}

export interface SpawnOptions extends Signed {
  module?: string;
  format?: string;
  name?: string;
  data?: string;
  dataFile?: string;
  tag: Tag[];
  eval?: string;
}

export interface DeadLetterOptions extends Common {
  process?: string;
  limit: number;
  reason?: string;
  all?: boolean;
  release?: string;
  releaseAll?: string;
  discard?: string;
  discardAll?: string;
  operatorKey?: string;
}

const ID = /^[A-Za-z0-9_-]{43}$/;
const DASHED = /^-[A-Za-z0-9_-]{42}$/;
const MARK = 'id:';

/** One id in 64 begins with a dash and would be taken for an option: those that stand for themselves are marked, and `anId` takes the mark off. */
export function withIdsMarked(argv: readonly string[]): string[] {
  const takesValue = (before: string | undefined): boolean =>
    before !== undefined && before.startsWith('--') && before !== '--json' && !DASHED.test(before);
  return argv.map((arg, i) => (DASHED.test(arg) && !takesValue(argv[i - 1]) ? MARK + arg : arg));
}

export function anId(text: string): string {
  const id = text.startsWith(MARK) ? text.slice(MARK.length) : text;
  if (ID.test(id)) return id;
  throw new InvalidArgumentError('An id has 43 characters of A-Z, a-z, 0-9, - and _.');
}

export function gatewayUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol)) throw new InvalidArgumentError('Write it as http://host:port.');
  if (url.username || url.password) throw new InvalidArgumentError('Leave names and passwords out of it.');
  return text.replace(/\/+$/, '');
}

export function addTag(text: string, before: Tag[] = []): Tag[] {
  const [, name, value] = /^([^=]+)=([^]*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('Write a tag as Name=Value.');
  return [...before, { name, value }];
}

export function whole(text: string): number {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new InvalidArgumentError('Write a whole number from 1 to 99999.');
  return Number(text);
}

export function slot(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('Write a slot: a whole number from 0 on.');
  return Number(text);
}
