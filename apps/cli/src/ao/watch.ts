/** `isthmus ao tail` and `list`: processes as they run. */
import { setTimeout as delay } from 'node:timers/promises';
import { CommandError } from '../said.js';
import type { AoClient, LiveEvent } from './client.js';
import type { Common } from './options.js';
import { clientOf, print } from './context.js';
import { brief, bytes, clock, plain, plural, short, table } from './text.js';

/** Most processes asked for: more are named by their number. */
const MAX_LISTED = 1000;
/** Between two tries of a stream that ended, and how many end the command. */
const AGAIN_MS = 1000;
const MAX_TRIES = 30;

interface SlotEvent {
  slot: number;
  message: string;
  action: string | null;
  from: string;
  tick: boolean;
  at: string;
  error: string | null;
  messages: number;
  spawns: number;
  assignments: number;
}

interface Process {
  id: string;
  name: string | null;
  vm: string;
  slot: number;
  evaluated: number;
  lag: number;
  memory: number | null;
  stopped: { slot: number | null; reason: string; nextTryAt: string } | null;
  spawnError: string | null;
  messagesPerSecond: number;
  lastMessageAt: string;
}

/** Goes on where it was when the stream is cut. @throws CommandError when there is no such process, or the gateway stays away */
export async function tail(process: string, options: Common & { from?: number; count?: number }): Promise<void> {
  const client = clientOf(options);
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  globalThis.process.once('SIGINT', stop).once('SIGTERM', stop);
  let shown = 0;
  try {
    for await (const event of slots(client, process, options.from, stopping.signal)) {
      print(options.json, event, () => slotLine(event));
      shown += 1;
      if (shown === options.count) return;
    }
  } finally {
    stop();
    globalThis.process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

/** Each slot once, however often the stream has to be opened. */
async function* slots(
  client: AoClient,
  process: string,
  from: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<SlotEvent> {
  const path = `/v1/ao/processes/${process}/events`;
  // Before anything can go wrong: where to begin is known, so that nothing is missed while the stream is opened again.
  const { evaluated } = await client.get<{ evaluated: number }>(`/v1/ao/processes/${process}`);
  let last = from === undefined ? evaluated : from - 1;
  for (let tries = 0; !signal.aborted;) {
    try {
      for await (const event of client.events(path, String(last), signal)) {
        tries = 0;
        const slot = readSlot(event);
        if (!slot) continue;
        last = slot.slot;
        yield slot;
      }
    } catch (error) {
      if (signal.aborted) return;
      tries += 1;
      if (tries === MAX_TRIES) throw error;
    }
    await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }
}

function readSlot({ type, data }: LiveEvent): SlotEvent | null {
  if (type === 'error') throw new CommandError(`The stream broke off: ${brief(data)}`);
  return type === 'slot' ? (JSON.parse(data) as SlotEvent) : null;
}

function slotLine({ at, slot, action, from, tick, error, messages, spawns, assignments }: SlotEvent): string {
  const sent = [
    plural(messages, 'message'),
    ...(spawns > 0 ? [plural(spawns, 'spawn')] : []),
    ...(assignments > 0 ? [plural(assignments, 'assignment')] : []),
  ];
  const outcome = error === null ? `ok      ${sent.join(', ')}` : `FAILED  ${brief(error)}`;
  return `${clock(at)}  ${String(slot).padStart(6)}  ${brief(action ?? '-', 24).padEnd(18)}  from ${(tick ? 'its clock' : short(plain(from))).padEnd(15)}  ${outcome}`;
}

/** @throws CommandError */
export async function list(options: Common & { limit: number }): Promise<void> {
  const { found, more } = await clientOf(options).list<Process>('/v1/ao/processes', 'processes', MAX_LISTED);
  const newest = found.toSorted((a, b) => b.lastMessageAt.localeCompare(a.lastMessageAt));
  const shown = newest.slice(0, options.limit);
  print(options.json, shown, () => {
    if (shown.length === 0) return 'no processes yet: "isthmus ao spawn" makes one';
    const rows = shown.map((p) => [
      p.id,
      brief(p.name ?? '-', 24),
      brief(p.vm, 32),
      String(p.slot),
      String(p.evaluated),
      String(p.lag),
      p.memory === null ? '-' : bytes(p.memory),
      p.messagesPerSecond.toFixed(1),
    ]);
    const left = found.length - shown.length;
    const rest = left > 0 ? `\n… and ${more ? 'at least ' : ''}${left} more: --limit shows more` : '';
    const stopped = shown.filter((p) => p.stopped).map(stoppedLine);
    const failed = shown.flatMap(({ id, spawnError }) =>
      spawnError === null ? [] : [`\nFAILED ${id} at its spawn: ${brief(spawnError, 200)}`],
    );
    return (
      table(['PROCESS', 'NAME', 'VM', 'SLOT', 'EVALUATED', 'LAG', 'MEMORY', 'MSG/S'], rows) +
      [...stopped, ...failed].join('') +
      rest
    );
  });
}

/** A process that goes no further for now, and why. */
function stoppedLine({ id, stopped }: Process): string {
  const { slot, reason, nextTryAt } = stopped as NonNullable<Process['stopped']>;
  if (reason === 'unknown-format') return `\nSTOPPED ${id}: no machine of the gateway runs its module (${reason})`;
  const where = slot === null ? 'while it was opened' : `at slot ${slot}`;
  return `\nSTOPPED ${id} ${where} (${reason}); tried again at ${clock(nextTryAt)}`;
}
