/**
 * A network whose units show items as fields, in the JSON that AO's legacy units and its newer nodes share: the signed bytes are put together
 * again from them, and whatever does not verify then is no item.
 */
import { z } from 'zod';
import { AnswerTooLarge } from '../compute/fetch-bounded.js';
import { EngineError, type AoNetwork, type ShownEntry } from '../engine.js';
import { ItemError, MAX_ITEM_BYTES, parseItem, verifyItem } from '../items/index.js';
import { tagOf } from '../items/tags.js';
import { type ScheduleHead } from '../scheduler/assignment.js';
import type { Item } from '../types.js';
import { ask, askJson, away, jsonOf, refusal } from './asking.js';
import { formsOf, read, shownItem, type ItemFields } from './fields.js';
import { sendItem } from './isthmus-network.js';

/** A page is asked for again with fewer entries when it is larger; the head and one entry after it always fit. */
const MAX_PAGE_BYTES = 64 * 1024 * 1024;
const FEWEST = 2;
const MAX_META_BYTES = 1024 * 1024;

const pageShape = z.object({
  edges: z.array(z.object({ node: z.object({ message: shownItem.nullable(), assignment: shownItem }) })).max(10_000),
});
const processShape = shownItem.omit({ id: true }).extend({ process_id: z.string() });
const metaShape = z.object({
  data: z.object({
    transactions: z.object({
      edges: z.array(z.object({ node: shownItem.extend({ recipient: z.string().nullish() }) })),
    }),
  }),
});
const META =
  'query ($ids: [ID!]) { transactions(ids: $ids) { edges { node { id anchor signature recipient owner { address key } tags { name value } } } } }';

/** Where the parts of a network are. */
export interface Places {
  /** The schedule of a process from `head` on, or a little before; `&limit=` is added. */
  schedule(process: string, head: ScheduleHead | null): string;
  /** Where an item is handed over. */
  send(item: Pick<Item, 'raw'>): string;
  /** Where a scheduler shows a spawn it has, for one that no gateway has yet. */
  spawn?(process: string): string;
  /** Base URL of an Arweave gateway: /graphql, /raw. */
  gateway: string;
}

export class ShownNetwork implements AoNetwork {
  /** What items were put together from, for another try. */
  private readonly fields = new WeakMap<Item, ItemFields>();

  /** How many entries the last page had room for, and twice as many are tried next. */
  private room = Number.MAX_SAFE_INTEGER;

  /** @param maxPageBytes largest page that is read */
  constructor(
    private readonly places: Places,
    private readonly maxPageBytes = MAX_PAGE_BYTES,
  ) {}

  async schedule(process: string, head: ScheduleHead | null, limit: number): Promise<ShownEntry[]> {
    const page = await this.page(process, head, limit);
    const from = head?.nonce ?? 0;
    const entries: ShownEntry[] = [];
    for (const { node } of page.edges) {
      const assignment = this.join(node.assignment);
      // Units differ in whether the slot asked from is part of the page.
      if (Number(tagOf(assignment, 'Nonce')) < from) continue;
      entries.push({ assignment, message: node.message ? this.join(node.message) : await this.assigned(assignment) });
    }
    return entries;
  }

  /** From the gateway, or a spawn not there yet from the scheduler unit. */
  async item(id: string): Promise<Item | null> {
    const [first] = await this.gatewayForms(id);
    return first ?? this.fromScheduler(id);
  }

  send(item: Pick<Item, 'id' | 'raw'>): Promise<void> {
    return sendItem(this.places.send(item), item);
  }

  /** Other ways to put the same fields together; then what the gateway has. */
  async asSigned(item: Item): Promise<Item | null> {
    const fields = this.fields.get(item);
    const found = fields && (await firstSigned(formsOf(fields)));
    return found ?? firstSigned(await this.gatewayForms(item.id));
  }

  private join(fields: ItemFields): Item {
    const [item] = formsOf(fields);
    if (!item || item.id !== fields.id)
      throw new ItemError('bad-item', `What is shown as item ${fields.id} is not put together as one.`);
    this.fields.set(item, fields);
    return item;
  }

  private async page(process: string, head: ScheduleHead | null, limit: number): Promise<z.output<typeof pageShape>> {
    const url = this.places.schedule(process, head);
    for (let count = Math.min(limit, this.room); ; count = Math.max(FEWEST, Math.floor(count / 8))) {
      try {
        const answer = await askJson(`${url}&limit=${count}`, { maxBytes: this.maxPageBytes });
        this.room = count * 2;
        return read(url, pageShape, answer);
      } catch (error) {
        if (!(error instanceof AnswerTooLarge)) throw error;
        if (count === FEWEST) throw away(url, error);
      }
    }
  }

  /** What an assignment names that brings no message. */
  private async assigned(assignment: Item): Promise<Item> {
    const id = tagOf(assignment, 'Message');
    const item = await this.item(id);
    if (item) return item;
    throw new EngineError('not-as-signed', `Item ${id} is assigned, and nobody shows it as a signed data item.`);
  }

  /** What an item can be by what the gateway has of it: its fields and its data, or, from one of Isthmus, its very bytes. */
  private async gatewayForms(id: string): Promise<Item[]> {
    const bytes = await this.bytesOf(id);
    if (!bytes) return [];
    const whole = wholeItem(bytes, id);
    if (whole) return [whole];
    const url = `${this.places.gateway}/graphql`;
    const question = {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ query: META, variables: { ids: [id] } }),
      maxBytes: MAX_META_BYTES,
    };
    const { data } = read(url, metaShape, await askJson(url, question).catch(tooLarge(url)));
    const meta = data.transactions.edges.find(({ node }) => node.id === id)?.node;
    return meta ? formsOf({ ...meta, target: meta.recipient ?? meta.target, data: bytes }) : [];
  }

  private async fromScheduler(id: string): Promise<Item | null> {
    const url = this.places.spawn?.(id);
    if (url === undefined) return null;
    const answer = await ask(url, { headers: { accept: 'application/json' }, maxBytes: MAX_PAGE_BYTES }).catch(
      tooLarge(url),
    );
    if (answer.status === 404 || answer.status === 400) return null;
    if (answer.status !== 200) throw refusal(url, answer);
    const { process_id: process, ...fields } = read(url, processShape, jsonOf(url, answer.body));
    return this.join({ ...fields, id: process });
  }

  /** A gateway gives an item's data; one of Isthmus gives the whole item. */
  private async bytesOf(id: string): Promise<Buffer | null> {
    const url = `${this.places.gateway}/raw/${id}`;
    const answer = await ask(url, { maxBytes: MAX_ITEM_BYTES }).catch(tooLarge(url));
    if (answer.status === 404) return null;
    if (answer.status !== 200) throw refusal(url, answer);
    return answer.body;
  }
}

function tooLarge(url: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof AnswerTooLarge ? away(url, error) : error;
  };
}

async function firstSigned(items: readonly Item[]): Promise<Item | null> {
  for (const item of items) if (await verifyItem(item)) return item;
  return null;
}

/** The item whose bytes these are, if they are. */
function wholeItem(bytes: Buffer, id: string): Item | null {
  try {
    const item = parseItem(bytes);
    return item.id === id ? item : null;
  } catch (error) {
    if (error instanceof ItemError) return null;
    throw error;
  }
}
