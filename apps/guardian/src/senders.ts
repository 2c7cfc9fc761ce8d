/**
 * Who a messenger speaks for must be a process. What an authority pushes in somebody's name moves that one's tokens; a wallet signs for
 * itself, so a name that is no process' is a forgery, and nothing that follows from it is signed.
 */
import { EngineError, ItemError, tagOf, verifyItem, type AoNetwork, type Item } from '@isthmus/ao';
import { GatewayUnreachable } from './post.js';

/** A message moved tokens in the name of something that is no process. */
export class ForgedSender extends Error {
  readonly code = 'forged-sender';
  constructor(sender: string) {
    super(`An authority has spoken for ${sender}, and nobody shows a spawn of such a process.`);
    this.name = 'ForgedSender';
  }
}

/** Resolves when the network has shown the spawn whose id this is. @throws ForgedSender, GatewayUnreachable */
export async function assertProcess(network: AoNetwork, id: string): Promise<void> {
  const shown = await show(network, id);
  if (shown === null || shown.id !== id || tagOf(shown, 'Type') !== 'Process') throw new ForgedSender(id);
  const signed = (await verifyItem(shown)) ? shown : await network.asSigned?.(shown);
  if (!signed || tagOf(signed, 'Type') !== 'Process') throw new ForgedSender(id);
}

async function show(network: AoNetwork, id: string): Promise<Item | null> {
  try {
    return await network.item(id);
  } catch (error) {
    if (error instanceof ItemError) return null; // bytes that are no item are no spawn
    if (error instanceof EngineError) throw new GatewayUnreachable(error.message);
    throw error;
  }
}
