/** Items and entries in the JSON shapes of AO's units and of Arweave's gateways. */
import { createHash } from 'node:crypto';
import { tagOf } from '../items/tags.js';
import type { Item, ScheduleEntry } from '../types.js';

/** A scheduler unit's view of an item. `owner.address` is the hash of the key for every kind of key: clients derive EIP-55 themselves. */
export function itemView(item: Item): Record<string, unknown> {
  return { ...headView(item), data: item.data.toString('utf8') };
}

/** A scheduler unit's view of an entry. */
export function entryView({ message, assignment }: ScheduleEntry): Record<string, unknown> {
  return { message: itemView(message), assignment: headView(assignment) };
}

/** A scheduler unit's view of a process, from its first entry. */
export function processView({ process, message, assignment }: ScheduleEntry): Record<string, unknown> {
  const { owner, tags, anchor, signature, target, data } = itemView(message);
  const block = tagOf(assignment, 'Block-Height');
  const timestamp = Number(tagOf(assignment, 'Timestamp'));
  return { process_id: process, block, owner, tags, timestamp, data, anchor, signature, target };
}

/** What an Arweave gateway's GraphQL says of an item itself. */
export function transactionView(item: Item): Record<string, unknown> {
  const { id, owner, tags, anchor, signature, target } = headView(item);
  return { id, anchor, signature, recipient: target, owner, tags };
}

/** The tags that units of AO read from the headers of an item: what a process or a module is. */
const SHOWN = [
  'Data-Protocol',
  'Variant',
  'Type',
  'Module',
  'Scheduler',
  'Authority',
  'Name',
  'Module-Format',
  'Input-Encoding',
  'Output-Encoding',
  'Memory-Limit',
  'Compute-Limit',
  'Cron-Interval',
  'Device',
  'Scheduler-Device',
  'Push-Device',
  'Execution-Device',
  'Content-Type',
];
/** What a header can hold; no longer than that, since the answer's head is bounded in clients. */
const HEADER_VALUE = /^[\x20-\x7e]{1,512}$/;

/** Those tags by lower-case name; the first of a name counts. A content type says what the data is, not how it is shown here. */
export function tagHeaders(item: Pick<Item, 'tags'>): Record<string, string> {
  const shown = SHOWN.map((name) => [name.toLowerCase(), tagOf(item, name)] as const);
  return Object.fromEntries(
    shown
      .filter(([, value]) => HEADER_VALUE.test(value))
      .map(([name, value]) => [name === 'content-type' ? 'x-content-type' : name, value]),
  );
}

function headView(item: Item): Record<string, unknown> {
  const address = createHash('sha256').update(item.owner).digest('base64url');
  return {
    id: item.id,
    owner: { address, key: item.owner.toString('base64url') },
    tags: item.tags,
    signature: item.signature.toString('base64url'),
    anchor: item.anchor,
    target: item.target,
  };
}
