/** Files that commands are given: read no further than they may go, and keys only when nobody else reads them. */
import fs from 'node:fs';
import { plainMessage, readKeyFile } from '@isthmus/store';
import { bytes } from './ao/text.js';
import { CommandError } from './said.js';

/** @throws CommandError with this exit code when it cannot be read, or is larger than `limit` bytes */
export function readBounded(file: string, limit: number, exitCode = 1): Buffer {
  try {
    if (fs.statSync(file).size > limit) throw new CommandError(`${file} has more than ${bytes(limit)}.`, exitCode);
    return fs.readFileSync(file);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`${file} cannot be read: check its name.`, exitCode);
  }
}

/** The content of a key file. @param option the option that names it @throws CommandError when it is missing or open to others */
export function readPrivate(file: string, option: string): string {
  try {
    if ((fs.statSync(file).mode & 0o077) !== 0)
      throw new CommandError(`Key file ${file} is open to others: chmod 600 it.`);
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`Key file ${file} cannot be read: name one of yours with ${option}.`);
  }
}

/** What a key file says its secret is: that of "isthmus keys", or the text itself. */
export function secretText(content: string): string {
  const json = jsonIn(content);
  const own = typeof json === 'object' && json !== null && 'privateKey' in json ? json.privateKey : content;
  return typeof own === 'string' ? own.trim() : '';
}

/** The secret of a file of "isthmus keys". @throws CommandError */
export function keyOf(file: string): `0x${string}` {
  try {
    return readKeyFile(file);
  } catch (error) {
    throw new CommandError(plainMessage(error) ?? String(error));
  }
}

/** JSON in a text; null when it is none. */
export function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
