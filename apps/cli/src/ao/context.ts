/** What the commands under `isthmus ao` share: the gateway they ask, and how what they learn is printed. */
import fs from 'node:fs';
import { randomBytes } from 'node:crypto';
import { createItem, ItemError, type EvaluationResult, type Item, type Signer, type Tag } from '@isthmus/ao';
import { CommandError } from '../said.js';
import { portsInUse } from '../settings.js';
import { AoClient } from './client.js';
import type { KeyType } from './options.js';
import { signerOf } from './signer.js';

/** Exit code when the process itself answered with an Error. */
export const PROCESS_FAILED = 2;

/** The gateway that is meant: the one named, or the local stack's. */
export function clientOf({ gateway }: { gateway?: string }): AoClient {
  return new AoClient(gateway ?? `http://127.0.0.1:${portsInUse(process.env).gateway}`);
}

export function signerFor(client: AoClient, { key, keyType }: { key?: string; keyType: KeyType }): Signer {
  return signerOf(key, keyType, client.url);
}

/** Prints JSON when that is wanted, else the words. */
export function print(json: boolean | undefined, value: unknown, words: () => string): void {
  console.log(json ? JSON.stringify(value) : words());
}

/** Data given as text or as a file. @throws CommandError when both are, or the file cannot be read */
export function dataOf({ data, dataFile }: { data?: string; dataFile?: string }): Buffer {
  if (data !== undefined && dataFile !== undefined) throw new CommandError('Give --data or --data-file, not both.');
  return dataFile === undefined ? Buffer.from(data ?? '') : readFile(dataFile);
}

/** @throws CommandError */
export function readFile(file: string): Buffer {
  try {
    return fs.readFileSync(file);
  } catch {
    throw new CommandError(`${file} cannot be read: check its name.`);
  }
}

interface Content {
  target?: string;
  /** Without: at random, so that the same words twice are two items. */
  anchor?: string;
  tags: Tag[];
  data: Uint8Array;
}

/** @throws CommandError when a part has no place in an item */
export async function signItem(
  { anchor = randomBytes(16).toString('hex'), ...content }: Content,
  signer: Signer,
): Promise<Item> {
  try {
    return await createItem({ ...content, anchor }, signer);
  } catch (error) {
    if (error instanceof ItemError) throw new CommandError(error.message);
    throw error;
  }
}

/** What an Eval or a handler gave as output: aos wraps it. */
export function outputOf({ Output }: Pick<EvaluationResult, 'Output'>): string {
  if (typeof Output === 'string') return Output;
  const inner = (value: unknown): unknown =>
    typeof value === 'object' && value !== null
      ? ((value as Record<string, unknown>)['data'] ?? (value as Record<string, unknown>)['output'])
      : undefined;
  const data = inner(Output);
  const text = typeof data === 'object' ? inner(data) : data;
  if (typeof text === 'string') return text;
  return Output === undefined || Output === null ? '' : JSON.stringify(Output);
}
