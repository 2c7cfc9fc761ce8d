/**
 * Who a messenger speaks for must be a process. What an authority pushes in somebody's name moves that one's tokens; a wallet signs for
 * itself, so a name that is no process' is a forgery. Only what this guardian has verified itself says that one is a process, or that it is
 * none: as long as nobody shows either, the sender is unverified, and nothing is known.
 */
import {
  EngineError,
  ItemError,
  readSchedule,
  ReplicaError,
  tagOf,
  verifyItem,
  type AoNetwork,
  type Item,
} from '@isthmus/ao';

/** A message moved tokens in the name of something that is no process: its own signed item says so. */
export class ForgedSender extends Error {
  readonly code = 'forged-sender';
  constructor(sender: string) {
    super(`An authority has spoken for ${sender}, and the item of this id is no spawn.`);
    this.name = 'ForgedSender';
  }
}

/** Nobody shows what would say whether an authority's sender is a process. */
export class UnverifiedSender extends Error {
  readonly code = 'unverified-sender';
  constructor(sender: string) {
    super(`An authority has spoken for ${sender}, and nobody shows a spawn of such a process that can be verified.`);
    this.name = 'UnverifiedSender';
  }
}

/** Where processes are looked for: on which network, placed by whom. */
export interface SenderSource {
  network: AoNetwork;
  scheduler: string;
}

/** Resolves when slot 0 of the schedule, or else the item of this id, has shown the process' spawn. @throws ForgedSender, UnverifiedSender */
export async function assertProcess(source: SenderSource, id: string): Promise<void> {
  const shown = (await inSlot0(source, id)) ?? (await signedItem(source.network, id));
  if (!shown) throw new UnverifiedSender(id);
  if (tagOf(shown, 'Type') !== 'Process') throw new ForgedSender(id);
}

async function inSlot0(source: SenderSource, id: string): Promise<Item | null> {
  const entries = await ifShown(() => readSchedule({ ...source, process: id }, null, 1));
  return entries?.[0]?.message ?? null;
}

/** For processes that have their place elsewhere. */
async function signedItem(network: AoNetwork, id: string): Promise<Item | null> {
  return ifShown(async () => {
    const shown = await network.item(id);
    if (!shown) return null;
    const signed = (await verifyItem(shown)) ? shown : ((await network.asSigned?.(shown)) ?? null);
    return signed?.id === id ? signed : null;
  });
}

/** Null for what cannot be had, or not so that it checks out. */
async function ifShown<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof EngineError || error instanceof ItemError || error instanceof ReplicaError) return null;
    throw error;
  }
}
