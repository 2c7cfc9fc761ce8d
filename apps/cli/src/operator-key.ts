/** The key that shows a gateway its operator: from the file named, or the local stack's own. */
import fs from 'node:fs';
import path from 'node:path';
import { stateFolder } from '@isthmus/store';
import { isLoopback } from './ao/signer.js';
import { keyOf } from './files.js';
import { CommandError } from './said.js';

/** @throws CommandError when there is no such file, or the key would travel readable by others */
export function operatorKey(gateway: string, named: string | undefined): string {
  if (new URL(gateway).protocol !== 'https:' && !isLoopback(gateway))
    throw new CommandError(`${gateway} is not https: the operator’s key would travel readable by others.`);
  const own = path.join(stateFolder(), 'keys', 'operator.key');
  if (named === undefined && (!isLoopback(gateway) || !fs.existsSync(own)))
    throw new CommandError(
      'Name the operator’s key with --operator-key <file>, the one the gateway has as operatorKeyFile.',
    );
  return keyOf(named ?? own);
}
