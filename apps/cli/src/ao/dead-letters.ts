/** `isthmus ao dead-letters`: what could not be delivered, and sending it again, which the gateway lets its operator do. */
import fs from 'node:fs';
import path from 'node:path';
import { plainMessage, readKeyFile } from '@isthmus/store';
import { CommandError } from '../said.js';
import { homeOf } from '../settings.js';
import type { AoClient } from './client.js';
import { clientOf, print } from './context.js';
import type { DeadLetterOptions } from './options.js';
import { isLoopback } from './signer.js';
import { brief, plain, plural, short } from './text.js';

const PAGE = 100;

interface DeadLetter {
  id: string;
  process: string;
  kind: string;
  slot: number;
  message: string | null;
  target: string | null;
  attempts: number;
  reason: string;
  error: string;
  releasable: boolean;
}

/** @throws CommandError when the gateway does not know the operator, or the letter */
export async function deadLetters(options: DeadLetterOptions): Promise<void> {
  const client = clientOf(options);
  const { release, releaseAll } = options;
  if (release !== undefined && releaseAll !== undefined)
    throw new CommandError('Give --release or --release-all, not both.');
  if (release === undefined && releaseAll === undefined) return list(client, options);
  if (release !== undefined && !/^[0-9]{1,18}$/.test(release))
    throw new CommandError('A dead letter has a number: "isthmus ao dead-letters" shows it.');
  const where = release === undefined ? `processes/${releaseAll}/dead-letters` : `dead-letters/${release}`;
  const headers = { authorization: `Bearer ${operatorKey(client, options)}` };
  const { released } = await client.post<{ released: number }>(`/v1/ao/${where}/release`, {}, headers);
  print(options.json, { released }, () => `${plural(released, 'dead letter')} sent again`);
}

async function list(client: AoClient, { process, limit, json }: DeadLetterOptions): Promise<void> {
  const found: DeadLetter[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(PAGE, limit - found.length)) });
    if (process !== undefined) query.set('process', process);
    if (cursor !== null) query.set('cursor', cursor);
    const page: { deadLetters: DeadLetter[]; nextCursor: string | null } = await client.get(
      `/v1/ao/dead-letters?${query.toString()}`,
    );
    found.push(...page.deadLetters);
    cursor = page.nextCursor;
  } while (cursor !== null && found.length < limit);
  print(json, found, () => {
    if (found.length === 0) return 'no dead letters';
    return [...found.map(letterLines), ...(cursor === null ? [] : ['… and older ones: --limit shows more'])].join('\n');
  });
}

function letterLines({
  id,
  process,
  kind,
  slot,
  message,
  target,
  attempts,
  reason,
  error,
  releasable,
}: DeadLetter): string {
  const to = target === null ? '' : `  to ${short(plain(target))}`;
  const again = releasable ? `--release ${id}` : 'cannot be sent again';
  return [
    `${id}  ${kind}${message === null ? '' : ` ${message}`}  from slot ${slot} of ${process}${to}`,
    `    ${plain(reason)} after ${plural(attempts, 'attempt')}: ${brief(error, 200)}  (${again})`,
  ].join('\n');
}

/** @throws CommandError when there is no such file, or the key would travel readable by others */
function operatorKey({ url }: AoClient, { operatorKey: named }: DeadLetterOptions): string {
  if (new URL(url).protocol !== 'https:' && !isLoopback(url))
    throw new CommandError(`${url} is not https: the operator’s key would travel readable by others.`);
  const own = path.join(homeOf(process.env), 'keys', 'operator.key');
  if (named === undefined && (!isLoopback(url) || !fs.existsSync(own)))
    throw new CommandError(
      'Name the operator’s key with --operator-key <file>, the one the gateway has as operatorKeyFile.',
    );
  try {
    return readKeyFile(named ?? own);
  } catch (error) {
    throw new CommandError(plainMessage(error) ?? String(error));
  }
}
