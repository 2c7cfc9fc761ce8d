/** How a scheduled item reaches a process: AO's JSON message, with who is speaking made plain. */
import { tagOf } from '../scheduler/assignment.js';
import type { Item, ProcessEnv, ScheduleEntry, VmMessage } from '../types.js';

/** Environment of a process, from its spawn item and its module's. */
export function environmentOf(spawn: Item, module: Item): ProcessEnv {
  return {
    Process: { Id: spawn.id, Owner: spawn.ownerAddress, Tags: spawn.tags },
    Module: { Id: module.id, Owner: module.ownerAddress, Tags: module.tags },
  };
}

/** A scheduled entry as a message. `From` is the process a message was pushed for, if it says so, else its signer. */
export function messageOf({ process, nonce, assignment, message }: ScheduleEntry, module: string): VmMessage {
  const pushedFrom = tagOf(message, 'From-Process');
  return {
    Id: message.id,
    Owner: message.ownerAddress,
    From: pushedFrom || message.ownerAddress,
    ...(pushedFrom ? { 'Forwarded-By': message.ownerAddress } : {}),
    // Another's Target, or none, is how a process sees that a message was only assigned to it.
    Target: nonce === 0 ? process : message.target,
    Anchor: message.anchor,
    Data: message.data.toString('utf8'),
    // Nobody may name the sender by a tag.
    Tags: message.tags.filter((t) => t.name !== 'From' && t.name !== 'Owner'),
    Module: module,
    Epoch: Number(tagOf(assignment, 'Epoch')),
    Nonce: nonce,
    Timestamp: Number(tagOf(assignment, 'Timestamp')),
    'Block-Height': tagOf(assignment, 'Block-Height'),
    'Hash-Chain': tagOf(assignment, 'Hash-Chain'),
    Cron: false,
  };
}
