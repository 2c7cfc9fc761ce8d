/** Whether Arweave holds a seal of this scheduler that comes after all that a database knows of: then that database is an old copy. */
import { ItemError, parseItem, verifyItem } from '@isthmus/ao';
import type { ArweaveClient } from '../client/arweave-client.js';
import {
  APP_NAME,
  firstItem,
  MAX_SEAL_BYTES,
  readSeal,
  readTransactionTags,
  SettlementError,
} from '../format/index.js';

/** Anyone can write tags: so many of those that claim to come later are looked into, those that claim least first. */
const LOOKED_INTO = 20;

/** The number of such a bundle, or null. What `wallet` posted is looked for by itself: nobody else's claims can hide it. @throws ArweaveError */
export async function newerSeal(
  client: ArweaveClient,
  { scheduler, wallet }: { scheduler: string; wallet: string },
  known: number,
): Promise<number | null> {
  return (await newerOf(client, scheduler, known, [wallet])) ?? newerOf(client, scheduler, known, undefined);
}

async function newerOf(
  client: ArweaveClient,
  scheduler: string,
  known: number,
  owners: readonly string[] | undefined,
): Promise<number | null> {
  const { found } = await client.transactions({
    tags: [
      { name: 'App-Name', values: [APP_NAME] },
      { name: 'Isthmus-Scheduler', values: [scheduler] },
    ],
    newestFirst: true,
    ...(owners ? { owners } : {}),
  });
  const later = found
    .flatMap(({ id, tags }) => {
      const label = readTransactionTags(tags);
      return label && label.sequence > known ? [{ id, ...label }] : [];
    })
    .sort((a, b) => a.sequence - b.sequence);
  for (const { id } of later.slice(0, LOOKED_INTO)) {
    const sequence = await sequenceOf(client, id, scheduler);
    if (sequence !== null && sequence > known) return sequence;
  }
  return null;
}

/** Number of the bundle that a transaction carries, when its seal is this scheduler's. */
async function sequenceOf(client: ArweaveClient, id: string, scheduler: string): Promise<number | null> {
  const start = await client.dataStart(id, MAX_SEAL_BYTES);
  if (start === null) return null;
  try {
    const item = parseItem(firstItem(start));
    const { sequence } = readSeal(item);
    return item.ownerAddress === scheduler && (await verifyItem(item)) ? sequence : null;
  } catch (error) {
    if (error instanceof SettlementError || error instanceof ItemError) return null;
    throw error;
  }
}
