/** Assignments: the signed items that give messages their place, each bound to all before it by the hash chain. */
import { createHash } from 'node:crypto';
import { createItem } from '../items/index.js';
import type { Item, Signer, Tag } from '../types.js';

/** What the next assignment of a process builds on. */
export interface ScheduleHead {
  nonce: number;
  assignmentId: string;
  hashChain: string;
  /** Milliseconds; never decreases along a schedule. */
  timestamp: number;
}

const sha256 = (...parts: Uint8Array[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('base64url');
};

/** `hc(0)`: the hash of the process' own id. */
export function firstHash(process: string): string {
  return sha256(Buffer.from(process, 'base64url'));
}

/** `hc(n)`: over the previous assignment's id and the previous hash. */
export function nextHash(previous: Pick<ScheduleHead, 'assignmentId' | 'hashChain'>): string {
  return sha256(Buffer.from(previous.assignmentId, 'base64url'), Buffer.from(previous.hashChain, 'base64url'));
}

export interface Assigned {
  item: Item;
  head: ScheduleHead;
}

/** Signs the place after `previous` (or the first, for a spawn) for `message`. */
export async function assign(
  process: string,
  message: string,
  previous: ScheduleHead | null,
  now: { timestamp: number; blockHeight: number },
  signer: Signer,
): Promise<Assigned> {
  const nonce = previous ? previous.nonce + 1 : 0;
  const hashChain = previous ? nextHash(previous) : firstHash(process);
  const timestamp = Math.max(now.timestamp, previous?.timestamp ?? 0);
  const tags: Tag[] = [
    { name: 'Process', value: process },
    { name: 'Epoch', value: '0' },
    { name: 'Nonce', value: String(nonce) },
    { name: 'Hash-Chain', value: hashChain },
    { name: 'Block-Height', value: String(now.blockHeight).padStart(12, '0') },
    { name: 'Timestamp', value: String(timestamp) },
    { name: 'Data-Protocol', value: 'ao' },
    { name: 'Type', value: 'Assignment' },
    { name: 'Variant', value: 'ao.TN.1' },
    { name: 'Message', value: message },
  ];
  const item = await createItem({ tags, data: '' }, signer);
  return { item, head: { nonce, assignmentId: item.id, hashChain, timestamp } };
}
