/** Items and entries in the JSON shapes of AO's units and of Arweave's gateways. */
import { createHash } from 'node:crypto';
import { tagOf } from '../scheduler/assignment.js';
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

/** A node of an Arweave gateway's GraphQL answer. */
export function transactionView(item: Item): Record<string, unknown> {
  const { id, owner, tags, anchor, signature, target } = headView(item);
  const size = String(item.data.length);
  return {
    id,
    anchor,
    signature,
    recipient: target,
    owner,
    tags,
    data: { size, type: tagOf(item, 'Content-Type') },
    block: null,
  };
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
