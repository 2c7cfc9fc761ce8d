/** Whether Arweave holds a seal of this scheduler that comes after all that a database knows of: then that database is an old copy. */
import { ItemError, parseItem, verifyItem } from '@isthmus/ao';
import { firstItem, readSeal, SettlementError } from '../format/index.js';
import type { BundleSource, Candidate } from '../reader/index.js';

/** Anyone can claim to carry a bundle: so many of those that claim to carry the next one are looked into, the oldest first. */
const LOOKED_INTO = 100;

/** Whether there is a bundle after number `known`. @throws SourceError */
export async function hasNewerSeal(source: BundleSource, scheduler: string, known: number): Promise<boolean> {
  const next = known + 1;
  const candidates = (await source.candidates(scheduler, next, next)).get(next) ?? [];
  for (const candidate of candidates.slice(0, LOOKED_INTO))
    if ((await sequenceOf(source, candidate, scheduler)) === next) return true;
  return false;
}

/** Number of the bundle that is carried, when its seal is this scheduler's. */
async function sequenceOf(source: BundleSource, candidate: Candidate, scheduler: string): Promise<number | null> {
  const start = await source.start(candidate);
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
