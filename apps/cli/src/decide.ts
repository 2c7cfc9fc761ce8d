/** What a guardian shall vote for: passed on to the guardian's own program, which alone opens its database. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { projectRoot, stateFolder } from '@isthmus/store';
import { CommandError } from './said.js';

export interface DecideOptions {
  /** A guardian of the local stack by name, or the file of its configuration. */
  guardian: string;
  asset?: string;
  withdraw?: boolean;
}

/** @throws CommandError when there is no such guardian, or it refuses the decision. */
export function decide(words: readonly string[], { guardian, asset, withdraw }: DecideOptions): void {
  const config = [guardian, path.join(stateFolder(), `${guardian}.json`)].find((file) => fs.existsSync(file));
  if (!config)
    throw new CommandError(
      `No guardian ${guardian}: name one of the local stack (guardian_1), or its configuration file.`,
    );
  const entry = path.join(projectRoot(), 'dist/apps/guardian/src/decide.js');
  const options = [...(asset === undefined ? [] : ['--asset', asset]), ...(withdraw ? ['--withdraw'] : [])];
  const { status } = spawnSync(process.execPath, [entry, ...options, ...words], {
    stdio: 'inherit',
    env: { ...process.env, ISTHMUS_CONFIG: path.resolve(config) },
  });
  if (status !== 0) throw new CommandError('Nothing was put to the vote.');
}
