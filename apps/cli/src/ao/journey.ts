/** `isthmus ao journey`: one message from its signature to the last thing it caused, as far as it is there. */
import type { Tag } from '@isthmus/ao';
import type { Common } from './options.js';
import { clientOf, outputOf, print } from './context.js';
import { brief, clock, plain, plural } from './text.js';

interface Sent {
  kind: string;
  position: number;
  target: string | null;
  action: string | null;
  delivery: {
    state: string;
    attempts: number;
    reason: string | null;
    message: string | null;
    process: string | null;
    slot: number | null;
    outcome: string | null;
  };
}

interface Place {
  process: string;
  slot: number;
  at: string;
  assignment: string;
  hashChain: string;
  behind: number;
  stopped: string | null;
  result: {
    error: string | null;
    output: string;
    gas: number | null;
    messages: number;
    spawns: number;
    assignments: number;
  } | null;
  sent: Sent[];
}

interface Journey {
  id: string;
  item: {
    type: string;
    signer: string;
    signature: string;
    target: string | null;
    tags: Tag[];
    bytes: number;
    data: string;
  };
  sentBy: { process: string; slot: number | null } | null;
  pushedFor: string | null;
  places: Place[];
  transfers: { id: string; direction: string; state: string }[];
  settlement: { bundle: number; transaction: string | null; state: string } | null;
}

/** @throws CommandError when the message is not known */
export async function journey(message: string, options: Common): Promise<void> {
  const found = await clientOf(options).get<Journey>(`/v1/ao/messages/${message}`);
  print(options.json, found, () => lines(found).join('\n'));
}

const row = (name: string, ...parts: (string | null)[]): string =>
  `${name.padEnd(11)} ${parts.filter((part) => part !== null && part !== '').join('  ')}`.trimEnd();

function lines({ id, item, sentBy, pushedFor, places, transfers, settlement }: Journey): string[] {
  return [
    row('message', id),
    row('item', plain(item.type), `signed by ${plain(item.signer)} (${item.signature})`, plural(item.bytes, 'byte')),
    ...item.tags.map(({ name, value }) => row('', `${plain(name)}: ${brief(value)}`)),
    ...(item.data ? [row('data', brief(item.data))] : []),
    ...(sentBy ? [row('sent by', sentBy.process, sentBy.slot === null ? null : `slot ${sentBy.slot}`)] : []),
    ...(pushedFor ? [row('began with', plain(pushedFor))] : []),
    ...(places.length === 0
      ? [row('assignment', 'none: it is a message of no process here')]
      : places.flatMap(placeLines)),
    ...transfers.map((t) => row('transfer', t.direction, t.id, t.state)),
    row(
      'settlement',
      ...(settlement
        ? [
            `${settlement.state} in bundle ${settlement.bundle}`,
            settlement.transaction && `Arweave transaction ${settlement.transaction}`,
          ]
        : ['not yet: only the gateway’s own database keeps it']),
    ),
  ];
}

function placeLines({ process, slot, at, assignment, hashChain, behind, stopped, result, sent }: Place): string[] {
  const halted = stopped === null ? null : `its process STOPPED (${stopped}): see "isthmus ao list"`;
  return [
    row('assignment', `slot ${slot} of ${process}`, clock(at)),
    row('', assignment, `hash chain ${hashChain}`),
    ...(result ? resultLines(result) : [row('result', `not yet: ${plural(behind, 'slot')} before it`, halted)]),
    ...sent.map(sentLine),
  ];
}

function resultLines(result: NonNullable<Place['result']>): string[] {
  const { error, gas, messages, spawns, assignments } = result;
  const said = saidIn(result.output);
  const counts = [plural(messages, 'message'), plural(spawns, 'spawn'), plural(assignments, 'assignment')];
  return [
    row(
      'result',
      error === null ? 'ok' : `FAILED: ${brief(error, 300)}`,
      counts.join(', '),
      gas === null ? null : `gas ${gas}`,
    ),
    ...(said ? [row('output', brief(said, 300))] : []),
  ];
}

/** aos answers with an object around its words; of a long one only the beginning is here, which is shown as it is. */
function saidIn(output: string): string {
  try {
    return outputOf({ Output: JSON.parse(output) as unknown });
  } catch {
    return output;
  }
}

function sentLine({ kind, action, target, delivery }: Sent): string {
  const to = target ? `to ${plain(target)}` : 'to nobody';
  return row(`→ ${kind}`, action === null ? null : brief(action, 40), to, deliveryWords(target, delivery));
}

function deliveryWords(
  target: string | null,
  { state, attempts, reason, process, slot, outcome, message }: Sent['delivery'],
): string {
  const why = reason === null ? '' : `: ${brief(reason)}`;
  switch (state) {
    case 'none':
      return 'reported only';
    case 'elsewhere':
      return target?.startsWith('0x') ? 'a wallet: it reads results itself' : 'not a process of this scheduler';
    case 'delivered':
      return slot === null ? 'delivered' : `delivered: slot ${slot} of ${process}, ${outcome}  ${message}`;
    case 'discarded':
      return `given up by the operator${why}`;
    default:
      return `${state === 'dead' ? 'SET ASIDE' : 'waiting'} after ${plural(attempts, 'attempt')}${why}`;
  }
}
