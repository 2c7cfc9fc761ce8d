/** Where the project's own files are, from the sources as well as from `dist/`. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

let found: string | undefined;

/** The folder that holds Isthmus' package.json. @throws Error when the code was moved out of it. */
export function projectRoot(): string {
  if (found) return found;
  let folder = path.dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const file = path.join(folder, 'package.json');
    if (fs.existsSync(file) && (JSON.parse(fs.readFileSync(file, 'utf8')) as { name?: string }).name === 'isthmus')
      return (found = folder);
    const parent = path.dirname(folder);
    if (parent === folder)
      throw new Error('Isthmus runs from inside its own folder: no package.json named "isthmus" above this file.');
    folder = parent;
  }
}

/** The token's source as this version brings it. */
export function tokenSource(): Buffer {
  return fs.readFileSync(path.join(projectRoot(), 'contracts/ao/token.lua'));
}

/** What a token's source goes by: its SHA-256, hex. */
export const sourceHash = (source: Uint8Array): string => createHash('sha256').update(source).digest('hex');

/** Guardians of the local stack. */
const GUARDIANS = 3;

/** What the local stack calls its guardians, and the files of each. */
export const guardianNames = (): string[] => Array.from({ length: GUARDIANS }, (_, i) => `guardian_${i + 1}`);

/** Where an embedded stack keeps its state: ISTHMUS_HOME, or `.isthmus` in the project. */
export function stateFolder(env: NodeJS.ProcessEnv = process.env): string {
  return path.resolve(env['ISTHMUS_HOME'] ?? path.join(projectRoot(), '.isthmus'));
}
