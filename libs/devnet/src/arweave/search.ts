/** The gateway's GraphQL: `transactions`, `transaction`, `blocks` and `block`, as arweave.net and Goldsky answer them. What waits has no block. */
import { answerDocument, ARWEAVE_TYPES, type DocumentBounds } from '@isthmus/ao';
import { buildSchema, GraphQLError, type ExecutionResult } from 'graphql';
import { compareRanks, rankOf, type Entry } from './catalogue.js';
import type { ArweaveNode } from './node.js';
import type { Block } from './weave.js';

/** As the public gateways have it. */
const MAX_FIRST = 100;
const DEFAULT_FIRST = 10;
const MAX_IDS = 1000;
const MAX_VALUES = 100;
const MAX_TAGS = 20;
/** An item's tags, as ANS-104 has them. */
const MAX_ITEM_TAGS = 128;
const WINSTON_DIGITS = 12;

const BOUNDS: DocumentBounds = {
  rootFields: 5,
  depth: 16,
  values: 50_000,
  lengthOf: (field, first) =>
    field === 'transactions' || field === 'blocks' ? (first ?? DEFAULT_FIRST) : field === 'tags' ? MAX_ITEM_TAGS : 1,
  mostFirst: MAX_FIRST,
};

const schema = buildSchema(`
  type Query {
    transactions(ids: [ID!], owners: [String!], recipients: [String!], tags: [TagFilter!], block: BlockFilter, bundledIn: [ID!], first: Int, after: String, sort: SortOrder): TransactionConnection!
    transaction(id: ID!): Transaction
    blocks(ids: [ID!], height: BlockFilter, first: Int, after: String, sort: SortOrder): BlockConnection!
    block(id: String): Block
  }
  type BlockConnection { pageInfo: PageInfo!, edges: [BlockEdge!]! }
  type BlockEdge { cursor: String!, node: Block! }
  ${ARWEAVE_TYPES}
`);

interface Page {
  first?: number | null;
  after?: string | null;
  sort?: string | null;
}

interface Range {
  min?: number | null;
  max?: number | null;
}

interface AskedTransactions extends Page {
  ids?: string[] | null;
  owners?: string[] | null;
  recipients?: string[] | null;
  tags?: { name: string; values: string[]; op?: 'EQ' | 'NEQ' | null }[] | null;
  block?: Range | null;
  bundledIn?: string[] | null;
}

interface AskedBlocks extends Page {
  ids?: string[] | null;
  height?: Range | null;
}

/** Answers one request. @throws UnitError, ZodError when it cannot be read or asks for what there is not */
export function search(body: unknown, node: ArweaveNode): Promise<ExecutionResult> {
  const rootValue = {
    transactions: (asked: AskedTransactions) => transactions(asked, node),
    transaction: ({ id }: { id: string }) => {
      const entry = node.catalogue.find(id);
      return entry && isIndexed(entry, node) ? nodeOf(entry, node) : null;
    },
    blocks: (asked: AskedBlocks) => blocks(asked, node),
    block: ({ id }: { id?: string | null }) => {
      const block = id ? node.weave.block(id) : node.weave.head;
      return block ? blockView(block) : null;
    },
  };
  return answerDocument(body, { schema, rootValue, bounds: BOUNDS });
}

function transactions(asked: AskedTransactions, node: ArweaveNode): unknown {
  assertBounded(asked);
  const list = node.catalogue.search({
    ids: asked.ids ?? undefined,
    owners: asked.owners ?? undefined,
    recipients: asked.recipients ?? undefined,
    tags: asked.tags?.map(({ name, values, op }) => ({ name, values, not: op === 'NEQ' })),
    bundledIn: asked.bundledIn,
    min: asked.block?.min ?? undefined,
    max: asked.block?.max ?? undefined,
  });
  const shown = node.faults.indexHeight === null ? list : list.filter((entry) => isIndexed(entry, node));
  return pageOf(shown, rankOf, asked, (entry) => nodeOf(entry, node));
}

/** Everything is, unless the index is told to lag. */
function isIndexed({ held }: Entry, { faults, weave }: ArweaveNode): boolean {
  return faults.indexHeight === null || (weave.blockOf(held)?.height ?? Infinity) <= faults.indexHeight;
}

function blocks(asked: AskedBlocks, { weave }: ArweaveNode): unknown {
  if ((asked.ids?.length ?? 0) > MAX_IDS) throw new GraphQLError(`At most ${MAX_IDS} ids are answered at once.`);
  const { min, max } = asked.height ?? {};
  const inRange = weave.blocks.slice(Math.max(0, min ?? 0), Math.max(0, (max ?? weave.head.height) + 1));
  const list = asked.ids ? inRange.filter((b) => asked.ids?.includes(b.hash)) : inRange;
  return pageOf(list, (b) => [b.height], asked, blockView);
}

function assertBounded({ ids, owners, recipients, tags, bundledIn }: AskedTransactions): void {
  if ((ids?.length ?? 0) > MAX_IDS) throw new GraphQLError(`At most ${MAX_IDS} ids are answered at once.`);
  if ((tags?.length ?? 0) > MAX_TAGS) throw new GraphQLError(`At most ${MAX_TAGS} tags are asked for at once.`);
  for (const values of [owners, recipients, bundledIn, ...(tags ?? []).map((t) => t.values)])
    if ((values?.length ?? 0) > MAX_VALUES)
      throw new GraphQLError(`At most ${MAX_VALUES} values of one field are asked for at once.`);
}

/** One page of a list that is sorted by rank; a cursor is the rank of the last one shown, and holds whatever comes in after it. */
function pageOf<T>(list: readonly T[], rank: (one: T) => number[], asked: Page, view: (one: T) => unknown): unknown {
  const first = asked.first ?? DEFAULT_FIRST;
  if (first < 1) throw new GraphQLError('`first` is 1 at least.');
  const size = Math.min(first, MAX_FIRST);
  const oldestFirst = (asked.sort ?? '').endsWith('ASC');
  const after = asked.after ? rankOfCursor(asked.after) : null;
  // How many are at or before the cursor, from the oldest; for the newest first, how many are before it.
  const split =
    after === null ? null : countBefore(list, (one) => compareRanks(rank(one), after) < (oldestFirst ? 1 : 0));
  const from = oldestFirst ? (split ?? 0) : Math.max(0, (split ?? list.length) - size);
  const to = oldestFirst ? from + size : (split ?? list.length);
  const shown = list.slice(from, to);
  if (!oldestFirst) shown.reverse();
  return {
    pageInfo: { hasNextPage: oldestFirst ? to < list.length : from > 0 },
    edges: shown.map((one) => ({ cursor: cursorOf(rank(one)), node: () => view(one) })),
  };
}

/** Of a sorted list, how many come before the first of which `isBefore` is not true. */
function countBefore<T>(list: readonly T[], isBefore: (one: T) => boolean): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(list[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return low;
}

const cursorOf = (rank: readonly number[]): string => Buffer.from(rank.join('.')).toString('base64url');

/** @throws GraphQLError for a cursor of something else */
function rankOfCursor(cursor: string): number[] {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  if (!/^[0-9]{1,16}(\.[0-9]{1,16}){0,2}$/.test(text)) throw new GraphQLError('This is no cursor of this search.');
  return text.split('.').map(Number);
}

async function nodeOf(entry: Entry, node: ArweaveNode): Promise<Record<string, unknown>> {
  const { id, held, owner, recipient, tags, size, parent, place } = entry;
  const { tx } = held;
  const head = place && (await node.headOf(place));
  const block = node.weave.blockOf(held);
  const bundledIn = parent === null ? null : { id: parent };
  return {
    id,
    anchor: head ? head.anchor : tx.last_tx,
    signature: head ? head.signature.toString('base64url') : tx.signature,
    recipient,
    owner: { address: owner, key: head ? head.owner.toString('base64url') : tx.owner },
    fee: amount(place ? '0' : tx.reward),
    quantity: amount(place ? '0' : tx.quantity),
    data: { size: String(size), type: tags.find((t) => t.name.toLowerCase() === 'content-type')?.value ?? null },
    tags,
    block: block ? blockView(block) : null,
    parent: bundledIn,
    bundledIn,
    ingested_at: block?.timestamp ?? null,
  };
}

const blockView = ({ hash, previous, height, timestamp }: Block): Record<string, unknown> => ({
  id: hash,
  previous,
  height,
  timestamp,
});

function amount(winston: string): { winston: string; ar: string } {
  const digits = winston.padStart(WINSTON_DIGITS + 1, '0');
  return { winston, ar: `${digits.slice(0, -WINSTON_DIGITS)}.${digits.slice(-WINSTON_DIGITS)}` };
}
