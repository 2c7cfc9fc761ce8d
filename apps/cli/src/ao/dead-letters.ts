/** `isthmus ao dead-letters`: what could not be delivered, and sending it again or giving it up, which the gateway lets its operator do. */
import { operatorKey } from '../operator-key.js';
import { CommandError } from '../said.js';
import type { AoClient } from './client.js';
import { clientOf, print } from './context.js';
import type { DeadLetterOptions } from './options.js';
import { brief, plain, plural, short } from './text.js';

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

interface Group {
  process: string;
  reason: string;
  count: number;
}

/** What an operator has done with letters: those of one number, or of one process. */
const ACTS = [
  ['release', 'release'],
  ['releaseAll', 'release'],
  ['discard', 'discard'],
  ['discardAll', 'discard'],
] as const;

/** @throws CommandError when the gateway does not know the operator, or the letter */
export async function deadLetters(options: DeadLetterOptions): Promise<void> {
  const client = clientOf(options);
  const [act, ...more] = ACTS.filter(([name]) => options[name] !== undefined);
  if (more.length > 0) throw new CommandError('Give one of --release, --release-all, --discard and --discard-all.');
  if (act) return carryOut(client, options, act[0], act[1]);
  if (options.process === undefined && options.reason === undefined && !options.all) return groups(client, options);
  return list(client, options);
}

async function carryOut(
  client: AoClient,
  options: DeadLetterOptions,
  name: (typeof ACTS)[number][0],
  verb: 'release' | 'discard',
): Promise<void> {
  const which = options[name] ?? '';
  const isOne = name === verb;
  if (isOne && !/^[0-9]{1,18}$/.test(which))
    throw new CommandError('A dead letter has a number: "isthmus ao dead-letters --all" shows it.');
  if (options.reason !== undefined && name !== 'discardAll')
    throw new CommandError('--reason goes with --discard-all, or with none of the others.');
  const where = isOne ? `dead-letters/${which}` : `processes/${which}/dead-letters`;
  const query = options.reason === undefined ? '' : `?${new URLSearchParams({ reason: options.reason }).toString()}`;
  const headers = { authorization: `Bearer ${operatorKey(client.url, options.operatorKey)}` };
  const done = await client.post<{ released?: number; discarded?: number }>(
    `/v1/ao/${where}/${verb}${query}`,
    {},
    headers,
  );
  const count = done.released ?? done.discarded ?? 0;
  print(options.json, done, () => `${plural(count, 'dead letter')} ${verb === 'release' ? 'sent again' : 'given up'}`);
}

/** How many of which process, and why. */
async function groups(client: AoClient, { json }: DeadLetterOptions): Promise<void> {
  const { groups: found } = await client.get<{ groups: Group[] }>('/v1/ao/dead-letters/groups');
  print(json, found, () => {
    if (found.length === 0) return 'no dead letters';
    const lines = found.map(
      ({ process, reason, count }) => `${String(count).padStart(8)}  ${process}  ${plain(reason)}`,
    );
    return [...lines, 'one by one: --process <id>, --reason <word> or --all'].join('\n');
  });
}

async function list(client: AoClient, { process, reason, limit, json }: DeadLetterOptions): Promise<void> {
  const { found, more } = await client.list<DeadLetter>('/v1/ao/dead-letters', 'deadLetters', limit, {
    process,
    reason,
  });
  print(json, found, () => {
    if (found.length === 0) return 'no dead letters';
    return [...found.map(letterLines), ...(more ? ['… and older ones: --limit shows more'] : [])].join('\n');
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
