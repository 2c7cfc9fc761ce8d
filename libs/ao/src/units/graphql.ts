/**
 * GraphQL as an Arweave gateway has it, over the items known here: `transactions` by ids, owners, recipients and tags, page by page, and
 * `transaction` by id. What one request may cost is bounded: before any of it is done by what its document comes to at most, then by what all its
 * searches look at and by the bytes of the answer.
 */
import { buildSchema, GraphQLError, type ExecutionResult } from 'graphql';
import { ownerNames, indexKey, isFullyIndexed, MESSAGE_TAGS, type IndexSearch } from '../scheduler/item-index.js';
import type { ItemHead } from '../scheduler/heads.js';
import { tagOf } from '../items/tags.js';
import { answerDocument, ARWEAVE_TYPES } from './graphql-answer.js';
import type { DocumentBounds } from './graphql-cost.js';
import { transactionView } from './views.js';

const MAX_FIRST = 100;
const DEFAULT_FIRST = 10;
const MAX_IDS = 100;
const MAX_VALUES = 20;
const MAX_TAGS = 10;
/** Items looked at for one request, where not all that was asked for is in the index. */
const MAX_LOOKED_AT = 1000;
const LOOK_AT_ONCE = 100;
/** An item's tags, as ANS-104 has them. */
const MAX_ITEM_TAGS = 128;

const BOUNDS: DocumentBounds = {
  rootFields: 5,
  depth: 16,
  // A page of 100 items with all their fields and 128 tags each is 30,000; the main thread makes this many in about 0.1 s.
  values: 50_000,
  lengthOf: (field, first) =>
    field === 'transactions' ? (first ?? DEFAULT_FIRST) : field === 'tags' ? MAX_ITEM_TAGS : 1,
  mostFirst: MAX_FIRST,
};

const schema = buildSchema(`
  type Query {
    transactions(ids: [ID!], owners: [String!], recipients: [String!], tags: [TagFilter!], block: BlockFilter, bundledIn: [ID!], first: Int, after: String, sort: SortOrder): TransactionConnection!
    transaction(id: ID!): Transaction
  }
  ${ARWEAVE_TYPES}
`);

/** Where the items are. */
export interface ItemSource {
  heads(ids: readonly string[]): Promise<Map<string, ItemHead>>;
  search(asked: IndexSearch): Promise<{ seq: string; id: string }[]>;
}

/** Answers one request. @throws UnitError, ZodError when it cannot be read or asks for what there is not */
export function answerGraphql(body: unknown, source: ItemSource): Promise<ExecutionResult> {
  const looks: Looks = { left: MAX_LOOKED_AT };
  const rootValue = {
    transactions: (asked: Asked) => transactions(asked, source, looks),
    transaction: async ({ id }: { id: string }) => {
      const head = (await source.heads([id])).get(id);
      return head ? nodeOf(head) : null;
    },
  };
  return answerDocument(body, { schema, rootValue, bounds: BOUNDS });
}

interface TagFilter {
  name: string;
  values: string[];
  op?: 'EQ' | 'NEQ' | null;
}

interface Asked {
  ids?: string[] | null;
  owners?: string[] | null;
  recipients?: string[] | null;
  tags?: TagFilter[] | null;
  block?: { min?: number | null; max?: number | null } | null;
  bundledIn?: string[] | null;
  first?: number | null;
  after?: string | null;
  sort?: string | null;
}

/** Items that the searches of one request may still look at together. */
interface Looks {
  left: number;
}

interface Edge {
  cursor: string;
  node: unknown;
}

interface Connection {
  pageInfo: { hasNextPage: boolean };
  edges: Edge[];
}

async function transactions(asked: Asked, source: ItemSource, looks: Looks): Promise<Connection> {
  const first = Math.min(asked.first ?? DEFAULT_FIRST, MAX_FIRST);
  if (first < 1) throw new GraphQLError('`first` is 1 at least.');
  assertBounded(asked);
  return asked.ids ? byIds(asked.ids, asked, first, source) : bySearch(asked, first, source, looks);
}

function assertBounded({ ids, owners, recipients, tags, bundledIn }: Asked): void {
  if ((ids?.length ?? 0) > MAX_IDS) throw new GraphQLError(`At most ${MAX_IDS} ids are answered at once.`);
  if ((tags?.length ?? 0) > MAX_TAGS) throw new GraphQLError(`At most ${MAX_TAGS} tags are asked for at once.`);
  for (const values of [owners, recipients, ...(tags ?? []).map((t) => t.values)])
    if ((values?.length ?? 0) > MAX_VALUES)
      throw new GraphQLError(`At most ${MAX_VALUES} values of one field are asked for at once.`);
  if (bundledIn) throw new GraphQLError('Bundles are not kept here: ask for the items themselves.');
}

/** In the order asked for; the cursor is the place in it. */
async function byIds(ids: readonly string[], asked: Asked, first: number, source: ItemSource): Promise<Connection> {
  const wanted = [...new Set(ids)];
  const heads = await source.heads(wanted);
  const after = cursorOf(asked.after, 'i');
  const edges = wanted
    .map((id, i) => ({ at: i + 1, head: heads.get(id) }))
    .filter(({ at, head }) => head && at > Number(after ?? 0) && matches(head, asked))
    .map(({ at, head }) => ({ cursor: `i${at}`, node: nodeOf(head as ItemHead) }));
  return { pageInfo: { hasNextPage: edges.length > first }, edges: edges.slice(0, first) };
}

async function bySearch(asked: Asked, first: number, source: ItemSource, looks: Looks): Promise<Connection> {
  const conditions = conditionsOf(asked);
  const newestFirst = !(asked.sort ?? '').endsWith('ASC');
  const edges: Edge[] = [];
  let after = cursorOf(asked.after, 's');
  while (edges.length <= first) {
    if (looks.left <= 0)
      throw new GraphQLError(
        `Fewer than ${first} of the ${MAX_LOOKED_AT} items looked at are what is asked for: ask for fewer, or name owners, recipients, or a tag of ${MESSAGE_TAGS.join(' or ')}.`,
      );
    looks.left -= LOOK_AT_ONCE;
    const found = await source.search({ conditions, after, newestFirst, limit: LOOK_AT_ONCE });
    const heads = await source.heads(found.map((f) => f.id));
    for (const { seq, id } of found) {
      const head = heads.get(id);
      if (head && matches(head, asked)) edges.push({ cursor: `s${seq}`, node: nodeOf(head) });
    }
    after = found.at(-1)?.seq;
    if (found.length < LOOK_AT_ONCE) break;
  }
  return { pageInfo: { hasNextPage: edges.length > first }, edges: edges.slice(0, first) };
}

/** What of a search is in the index; where that is nothing, all items are looked at, as far as one request may. */
function conditionsOf({ owners, recipients, tags }: Asked): string[][] {
  const equal = (tags ?? []).filter((t) => t.op !== 'NEQ');
  const types = equal.find((t) => t.name === 'Type')?.values;
  const whole = types?.every(isFullyIndexed) ?? false;
  return [
    ...(owners ? [owners.map((o) => indexKey('owner', o))] : []),
    ...(recipients ? [recipients.map((r) => indexKey('recipient', r))] : []),
    ...equal
      .filter((t) => whole || MESSAGE_TAGS.includes(t.name))
      .map(({ name, values }) => values.map((value) => indexKey(`tag:${name}`, value))),
  ];
}

function matches({ item, placed }: ItemHead, { owners, recipients, tags, block }: Asked): boolean {
  const has = ({ name, values }: TagFilter): boolean =>
    item.tags.some((t) => t.name === name && values.includes(t.value));
  return (
    (!owners || ownerNames(item).some((name) => owners.includes(name))) &&
    (!recipients || recipients.includes(item.target)) &&
    (tags ?? []).every((t) => has(t) !== (t.op === 'NEQ')) &&
    (block?.min === undefined || block.min === null || (placed !== null && placed.height >= block.min)) &&
    (block?.max === undefined || block.max === null || (placed !== null && placed.height <= block.max))
  );
}

/** @throws GraphQLError for a cursor of something else */
function cursorOf(cursor: string | null | undefined, kind: 'i' | 's'): string | undefined {
  if (cursor === null || cursor === undefined || cursor === '') return undefined;
  if (cursor[0] === kind && /^[0-9]{1,18}$/.test(cursor.slice(1))) return cursor.slice(1);
  throw new GraphQLError(`${cursor.slice(0, 100)} is no cursor of this search.`);
}

const NOTHING = { winston: '0', ar: '0' };

function nodeOf({ item, dataBytes, placed }: ItemHead): Record<string, unknown> {
  const time = placed && Math.floor(placed.timestamp / 1000);
  return {
    ...transactionView(item),
    data: { size: String(dataBytes), type: tagOf(item, 'Content-Type') || null },
    fee: NOTHING,
    quantity: NOTHING,
    block: placed && { id: '', previous: '', height: placed.height, timestamp: time },
    parent: null,
    bundledIn: null,
    ingested_at: time,
  };
}
