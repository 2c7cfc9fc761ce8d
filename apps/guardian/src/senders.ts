/**
 * Who a messenger speaks for must be a process. What an authority pushes in somebody's name moves that one's tokens; a wallet signs for
 * itself, so a name that is no process' is a forgery, and nothing that follows from it is signed.
 */
import { ItemError, parseItem, tagOf, verifyItem } from '@isthmus/ao';
import { GatewayUnreachable } from './post.js';

const TIMEOUT_MS = 20_000;
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
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.status === 404) {
      await response.body?.cancel();
      return null;
    }
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body ?? []) {
      size += (chunk as Uint8Array).byteLength;
      if (size > MAX_SPAWN_BYTES) throw new Error('the answer is too large');
      chunks.push(chunk as Uint8Array);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    throw new GatewayUnreachable(error instanceof Error ? error.message : String(error));
  }
}
