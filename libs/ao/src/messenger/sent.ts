/**
 * What a process asks for by a result, as things to deliver, and the signed items made of them. The same result always gives the same
 * deliveries, and with a deterministic key the same items: a repeat is the same item and gets the same place.
 */
import { createItem } from '../items/index.js';
import { tagOf } from '../items/tags.js';
import type { EvaluationResult, Item, OutboundMessage, Signer, Tag } from '../types.js';

/** Longest way from a signed message: answers to answers to answers. */
export const MAX_HOPS = 32;
/** Most places one result may assign messages to; as many as it may send messages. */
export const MAX_ASSIGNED = 1024;

/** What a process can be called; a process may name anything as a target, also what a database cannot hold. */
export const ID = /^[A-Za-z0-9_-]{43}$/;

/** Tags the messenger sets itself; a process cannot. */
const RESERVED = new Set([
  'Data-Protocol',
  'Type',
  'Variant',
  'From-Process',
  'From-Module',
  'Pushed-For',
  'Pushed-Hops',
]);

/** `spawned`: what the parent is told of a spawn. `tick`: of a process' clock. */
export type DeliveryKind = 'message' | 'spawn' | 'spawned' | 'assignment' | 'tick';

/** Why something is not delivered. The scheduler's own words beside these: `unknown-process`, `unknown-module`, `too-large` and so on. */
export type SetAsideReason =
  | 'hops'
  | 'pushes'
  | 'answers'
  | 'spawns'
  | 'bad-item'
  | 'bad-assignment'
  | 'foreign-scheduler';

/** One thing a result asks for. `position` counts within its kind; clients say it too (`/mu/push/<id>/<n>`). */
export type Sent =
  | { kind: 'message'; position: number; message: OutboundMessage }
  | { kind: 'spawn'; position: number; spawn: OutboundMessage }
  | { kind: 'assignment'; position: number; target: string; message: AssignedMessage }
  | { kind: 'malformed'; position: number; error: string };

/** An id, or which of the result's own messages. */
type AssignedMessage = string | { own: number };

/** Who speaks, and on whose behalf. */
export interface Speaker {
  process: string;
  module: string;
  /** The signed message at the beginning. */
  root: string;
  /** Pushes from there to what is sent now. */
  hops: number;
}

/** What a result asks for: messages, then spawns, then assignments; nothing when it failed. */
export function sentBy(result: EvaluationResult): Sent[] {
  if (result.Error !== undefined) return [];
  return [
    ...result.Messages.map((message, position): Sent => ({ kind: 'message', position, message })),
    ...result.Spawns.map((spawn, position): Sent => ({ kind: 'spawn', position, spawn })),
    ...assignedBy(result),
  ];
}

function assignedBy({ Assignments, Messages }: EvaluationResult): Sent[] {
  const sent: Sent[] = [];
  for (const [target, message] of placesAsked(Assignments, Messages)) {
    const position = sent.length;
    if (position === MAX_ASSIGNED) {
      sent.push({ kind: 'malformed', position, error: `One message assigns to at most ${MAX_ASSIGNED} places.` });
      return sent;
    }
    sent.push(
      target === null || message === null
        ? { kind: 'malformed', position, error: 'An assignment is { Processes = { <id>, … }, Message = <id> }.' }
        : { kind: 'assignment', position, target, message },
    );
  }
  return sent;
}

/** `[{ Processes: [...], Message }]`, and of each message the processes its tag `Assignments` names; nulls for what is neither. */
function* placesAsked(
  assignments: readonly unknown[],
  messages: readonly OutboundMessage[],
): Generator<[string | null, AssignedMessage | null]> {
  for (const asked of assignments) {
    const { Processes, Message } = isRecord(asked) ? asked : {};
    const message = typeof Message === 'string' && ID.test(Message) ? Message : null;
    if (!Array.isArray(Processes)) yield [null, message];
    else for (const process of Processes) yield [idOf(process), message];
  }
  for (const [own, { Tags }] of messages.entries()) {
    const named = Tags.find((t) => t.name === 'Assignments');
    const processes = named && parsed(named.value);
    if (named && !Array.isArray(processes)) yield [null, { own }];
    for (const process of Array.isArray(processes) ? processes : []) yield [idOf(process), { own }];
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const idOf = (value: unknown): string | null => (typeof value === 'string' && ID.test(value) ? value : null);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A message as it is pushed. @throws ItemError when no item can carry it */
export function pushedMessage(speaker: Speaker, { Target, Anchor, Tags, Data }: OutboundMessage, signer: Signer) {
  const tags = [...ownTags('Message', speaker), ...free(Tags).filter((t) => t.name !== 'Assignments')];
  return createItem({ target: Target, anchor: Anchor, tags, data: Data }, signer);
}

/** A new process as its parent asks for it; on the parent's own scheduler when it names none. @throws ItemError */
export function pushedSpawn(
  speaker: Speaker,
  { Anchor, Tags, Data }: OutboundMessage,
  scheduler: string,
  signer: Signer,
): Promise<Item> {
  const own = free(Tags);
  const named = own.some((t) => t.name === 'Scheduler') ? [] : [{ name: 'Scheduler', value: scheduler }];
  return createItem({ anchor: Anchor, tags: [...ownTags('Process', speaker), ...own, ...named], data: Data }, signer);
}

/**
 * What the parent is told once the new process has its place: as if it had told itself, with the tags it asked with, `Reference` among
 * them, by which aos finds who waits for the answer. @throws ItemError
 */
export function spawnedMessage(speaker: Speaker, spawn: Item, signer: Signer): Promise<Item> {
  const said = free(spawn.tags).filter((t) => t.name !== 'Action' && t.name !== 'Process');
  const tags = [
    ...ownTags('Message', speaker),
    { name: 'Action', value: 'Spawned' },
    { name: 'Process', value: spawn.id },
    ...said,
  ];
  return createItem({ target: speaker.process, tags, data: '' }, signer);
}

function ownTags(type: 'Message' | 'Process', { process, module, root, hops }: Speaker): Tag[] {
  return [
    { name: 'Data-Protocol', value: 'ao' },
    { name: 'Variant', value: 'ao.TN.1' },
    { name: 'Type', value: type },
    { name: 'From-Process', value: process },
    { name: 'From-Module', value: module },
    { name: 'Pushed-For', value: root },
    { name: 'Pushed-Hops', value: String(hops) },
  ];
}

const free = (tags: readonly Tag[]): Tag[] => tags.filter((t) => !RESERVED.has(t.name));

/** Hops a message has come. Whoever claims them, claims them against what is sent in answer to its own message. */
export function hopsOf(message: Item): number {
  const hops = tagOf(message, 'Pushed-Hops');
  return /^[1-9][0-9]{0,3}$/.test(hops) ? Number(hops) : 0;
}
