/** Processes as people see them. */
import { messageOf, tagOf, type Item, type ScheduleEntry, type StoppedProcess, type StoredResult } from '@isthmus/ao';
import type { ProcessRow } from './ao-store.js';
import type { AoProcess, AoSlotEvent } from './schemas.js';

export const timeOf = (ms: number): string => new Date(ms).toISOString();

/** How a process does in this gateway. */
export interface Here {
  /** Bytes its machine holds, if it is open. */
  memory: number | null;
  stopped: StoppedProcess | null;
}

export function processView(row: ProcessRow, { memory, stopped }: Here, now: number): AoProcess {
  const { spawn, slot, evaluated, waitingSince } = row;
  return {
    id: spawn.id,
    vm: row.format,
    module: row.module,
    owner: spawn.ownerAddress,
    name: tagOf(spawn, 'Name') || null,
    slot,
    evaluated,
    lag: slot - evaluated,
    waitingMs: waitingSince === null ? 0 : Math.max(0, Math.trunc(now - waitingSince)),
    memory,
    stopped: stopped && stoppedView(stopped),
    spawnError: row.spawnError,
    messagesPerSecond: row.messagesPerSecond,
    lastMessageAt: timeOf(row.lastMessageAt),
  };
}

function stoppedView({ slot, reason, since, tries, next }: StoppedProcess): AoProcess['stopped'] {
  return { slot, reason, since: since.toISOString(), tries, nextTryAt: next.toISOString() };
}

/** Counts of what a result holds. */
export function outcomeOf({ Error: error, Messages, Spawns, Assignments }: StoredResult['result']) {
  return {
    error: error ?? null,
    messages: Messages.length,
    spawns: Spawns.length,
    assignments: Assignments.length,
  };
}

/** A slot as its process saw it: a tick of its clock speaks with the words of its spawn. */
export function slotView(entry: ScheduleEntry, { result }: StoredResult, spawn: Item): AoSlotEvent {
  const { process, nonce, message } = entry;
  const seen = messageOf(entry, {
    Process: { Id: process, Owner: spawn.ownerAddress, Tags: spawn.tags },
    Module: { Id: tagOf(spawn, 'Module'), Owner: '', Tags: [] },
  });
  return {
    process,
    slot: nonce,
    message: message.id,
    action: seen.Tags.find((t) => t.name === 'Action')?.value ?? null,
    from: seen.From,
    tick: seen.Cron,
    at: timeOf(seen.Timestamp),
    ...outcomeOf(result),
  };
}
