/** The command line as people run it. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { projectRoot } from '@isthmus/store';

/** `isthmus` with these words: its exit code, and what it said. */
export function isthmus(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const entry = path.join(projectRoot(), 'dist/apps/cli/src/main.js');
  return new Promise((resolve) =>
    execFile(process.execPath, [entry, ...words], { maxBuffer: 16 * 1024 * 1024 }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, out, err }),
    ),
  );
}
