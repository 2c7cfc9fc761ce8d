/** How a scheduled item reaches a process: AO's JSON message, with who is speaking made plain. */
import { tagOf } from '../items/tags.js';
import { tagsOfTick, tickOf } from '../messenger/cron.js';
import type { Item, ProcessEnv, ScheduleEntry, Tag, VmMessage } from '../types.js';

/**
 * Environment of a process, from its spawn item and its module's. `Owner` is who signed the spawn, also when a process asked for it: that
 * one is in the spawn's tag `From-Process`, which aos takes for the owner, and which anyone may write into the spawn of a process of his own.
 */
export function environmentOf(spawn: Item, module: Item): ProcessEnv {
  return {
    Process: { Id: spawn.id, Owner: spawn.ownerAddress, Tags: spawn.tags },
    Module: { Id: module.id, Owner: module.ownerAddress, Tags: module.tags },
  };
}

/**
 * A scheduled entry as a message. `From` is the process a message was pushed for, if it says so, else its signer. A tick of the process'
 * clock speaks as its spawn does, with the tags the spawn gives it, and is marked `Cron`.
 */
export function messageOf(entry: ScheduleEntry, { Process, Module }: ProcessEnv): VmMessage {
  const { process, nonce, assignment, message } = entry;
  const tick = tickOf(entry);
  const ticking = tick && tagsOfTick(tick, Process.Tags);
  const [owner, spoken] = ticking ? [Process.Owner, Process.Tags] : [message.ownerAddress, message.tags];
  return {
    Id: message.id,
    ...speakerOf(owner, spoken),
    // Another's Target, or none, is how a process sees that a message was only assigned to it.
    Target: nonce === 0 ? process : message.target,
    Anchor: message.anchor,
    Data: message.data.toString('utf8'),
    // Nobody may name the sender by a tag.
    Tags: (ticking || message.tags).filter((t) => t.name !== 'From' && t.name !== 'Owner'),
    Module: Module.Id,
    Epoch: Number(tagOf(assignment, 'Epoch')),
    Nonce: nonce,
    Timestamp: Number(tagOf(assignment, 'Timestamp')),
    'Block-Height': tagOf(assignment, 'Block-Height'),
    'Hash-Chain': tagOf(assignment, 'Hash-Chain'),
    Cron: Boolean(ticking),
  };
}

function speakerOf(owner: string, tags: Tag[]): Pick<VmMessage, 'Owner' | 'From' | 'Forwarded-By'> {
  const pushedFrom = tagOf({ tags }, 'From-Process');
  return { Owner: owner, From: pushedFrom || owner, ...(pushedFrom ? { 'Forwarded-By': owner } : {}) };
}
