/**
 * Who a messenger speaks for must be a process. What an authority pushes in somebody's name moves that one's tokens; a wallet signs for
 * itself, so a name that is no process' is a forgery, and nothing that follows from it is signed.
 */
import { fetchBounded, ItemError, parseItem, tagOf, verifyItem } from '@isthmus/ao';
import { GatewayUnreachable } from './post.js';

/** A spawn may carry its process' source. */
const MAX_SPAWN_BYTES = 16 * 1024 * 1024;

/** A message moved tokens in the name of something that is no process. */
export class ForgedSender extends Error {
  readonly code = 'forged-sender';
  constructor(sender: string) {
    super(`An authority has spoken for ${sender}, and the gateway shows no spawn of such a process.`);
    this.name = 'ForgedSender';
  }
}

/** Resolves when the gateway has shown the spawn whose id this is. @throws ForgedSender, GatewayUnreachable */
export async function assertProcess(gatewayUrl: string, id: string): Promise<void> {
  const raw = await fetchItem(`${gatewayUrl}/raw/${id}`);
  if (raw === null || !(await isSpawn(raw, id))) throw new ForgedSender(id);
}

async function isSpawn(raw: Buffer, id: string): Promise<boolean> {
  try {
    const item = parseItem(raw);
    return item.id === id && tagOf(item, 'Type') === 'Process' && (await verifyItem(item));
  } catch (error) {
    if (error instanceof ItemError) return false;
    throw error;
  }
}

async function fetchItem(url: string): Promise<Buffer | null> {
  const { status, body } = await fetchBounded(url, MAX_SPAWN_BYTES).catch((error: unknown) => {
    throw new GatewayUnreachable(error instanceof Error ? error.message : String(error));
  });
  if (status === 404) return null;
  if (status !== 200) throw new GatewayUnreachable(`HTTP ${status}`);
  return body;
}
