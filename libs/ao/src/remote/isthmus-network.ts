/** The network behind one Isthmus gateway: its units, which also show schedules as bundles of whole items. */
import { AnswerTooLarge, fetchStart } from '../compute/fetch-bounded.js';
import type { AoNetwork, ShownEntry } from '../engine.js';
import { decodeBundle, ItemError, MAX_ITEM_BYTES, parseItem } from '../items/index.js';
import type { ScheduleHead } from '../scheduler/assignment.js';
import type { Item } from '../types.js';
import { askOnce, away, refusal, type Answer } from './asking.js';

/** A page of the schedule takes about 32 MiB at most. */
const MAX_PAGE_BYTES = 128 * 1024 * 1024;
/** Of the answer to a message, this much is read. */
const RECEIPT_BYTES = 512;

export class IsthmusNetwork implements AoNetwork {
  /** @param gatewayUrl without a slash at its end */
  constructor(private readonly gatewayUrl: string) {}

  async schedule(process: string, head: ScheduleHead | null, limit: number): Promise<ShownEntry[]> {
    const from = head?.nonce ?? 0;
    const url = `${this.gatewayUrl}/su/${process}?process-id=${process}&from-nonce=${from}&limit=${limit}`;
    const answer = await bounded(url, MAX_PAGE_BYTES);
    if (answer.status !== 200) throw refusal(url, answer);
    const items = decodeBundle(answer.body);
    if (items.length % 2 !== 0) throw new ItemError('bad-item', 'The schedule has an assignment without its message.');
    const entries: ShownEntry[] = [];
    for (let i = 0; i < items.length; i += 2)
      entries.push({ assignment: items[i] as Item, message: items[i + 1] as Item });
    return entries;
  }

  async item(id: string): Promise<Item | null> {
    const url = `${this.gatewayUrl}/raw/${id}`;
    const answer = await bounded(url, MAX_ITEM_BYTES);
    if (answer.status === 404) return null;
    if (answer.status !== 200) throw refusal(url, answer);
    return parseItem(answer.body);
  }

  send(item: Pick<Item, 'id' | 'raw'>): Promise<void> {
    return sendItem(`${this.gatewayUrl}/mu`, item);
  }
}

async function bounded(url: string, maxBytes: number): Promise<Answer> {
  try {
    return await askOnce(url, { maxBytes });
  } catch (error) {
    throw error instanceof AnswerTooLarge ? away(url, error) : error;
  }
}

/** Hands an item to a messenger unit. @throws EngineError `unreachable`, `refused` */
export async function sendItem(url: string, { raw }: Pick<Item, 'raw'>): Promise<void> {
  const headers = { 'content-type': 'application/octet-stream', accept: 'application/json' };
  const request = { method: 'POST', headers, body: new Uint8Array(raw) };
  const answer = await fetchStart(url, RECEIPT_BYTES, request).catch((error: unknown) => {
    throw away(url, error);
  });
  if (answer.status < 200 || answer.status > 299) throw refusal(url, answer);
}
