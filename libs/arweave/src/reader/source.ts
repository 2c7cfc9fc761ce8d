/** Where bundles are found and read: what a gateway of Arweave answers. Nothing of it is believed; all of it is bounded. */
import { setTimeout as delay } from 'node:timers/promises';
import type { BoundedRequest, Tag } from '@isthmus/ao';
import { z } from 'zod';
import { ArweaveError } from '../client/error.js';
import { HttpServer, type HttpAnswer } from '../client/http.js';
import { APP_NAME, readTransactionTags } from '../format/index.js';

/** Something that says it carries a bundle. */
export interface Candidate {
  /** Id of the transaction, or of the item of a bundling service. */
  tx: string;
  /** The seal it says is in it. */
  seal: string;
  /** Bytes it says it has; 0 when it says nothing. */
  size: number;
  /** Whether the gateway's index has this seal as an item of the scheduler's key: what anybody posts under its tags is none. */
  isIndexed: boolean;
}

export interface BundleSource {
  /** What says it carries bundles `from` to `to` of a scheduler, by number; indexed seals, then the oldest first. @throws SourceError */
  candidates(scheduler: string, from: number, to: number): Promise<Map<number, Candidate[]>>;
  /** What was posted last and says it carries a bundle with a number above this one; some of it. @throws SourceError */
  later(scheduler: string, than: number): Promise<Map<number, Candidate[]>>;
  /** The bytes of one; null when there are none, or more than a bundle may have. @throws SourceError */
  bytes(candidate: Candidate): Promise<Buffer | null>;
  /** Its first bytes, as many as a seal may need; null when there are none. @throws SourceError */
  start(candidate: Candidate): Promise<Buffer | null>;
}

/** The gateway cannot be asked, or answers nothing one can go on with. */
export class SourceError extends Error {
  constructor(
    readonly code: 'unreachable' | 'malformed' | 'crowded',
    message: string,
  ) {
    super(message);
    this.name = 'SourceError';
  }
}

/** Most bytes of one bundle: many times what is settled in one, and few enough to hold several. */
export const MAX_BUNDLE_BYTES = 64 * 1024 * 1024;
/** Most bytes of an answer that is no bundle. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Of a bundle, what holds its headers (64 bytes for each of 10,000 items) and its seal. */
const START_BYTES = 1536 * 1024;
/** Transactions of one page of GraphQL: what public gateways give at most. */
const PAGE = 100;
/** Pages read for one question: anybody may post what says it carries a bundle, and this many is a flood. */
const MAX_PAGES = 50;
/** Of what says it carries one bundle, so much is looked at: who would hide the true one must pay for as many false ones, each time. */
const MAX_CANDIDATES = 1000;
/** Times a gateway is asked before it counts as away, and the wait after the first time; it doubles. */
const TRIES = 4;
const FIRST_WAIT_MS = 250;

const answer = z.object({
  data: z.object({
    transactions: z.object({
      pageInfo: z.object({ hasNextPage: z.boolean() }),
      edges: z
        .array(
          z.object({
            cursor: z.string(),
            node: z.object({
              id: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
              tags: z.array(z.object({ name: z.string(), value: z.string() })),
              data: z.object({ size: z.coerce.number() }).nullish(),
              bundledIn: z.object({ id: z.string().regex(/^[A-Za-z0-9_-]{43}$/) }).nullish(),
            }),
          }),
        )
        .max(1000),
    }),
  }),
});
const placeInWeave = z.object({ size: z.coerce.number().int().positive(), offset: z.coerce.number().int().positive() });
const chunkOfWeave = z.object({ chunk: z.string() });
type Edge = z.infer<typeof answer>['data']['transactions']['edges'][number];

const QUERY = `query ($owners: [String!], $tags: [TagFilter!], $first: Int, $after: String, $sort: SortOrder) {
  transactions(owners: $owners, tags: $tags, first: $first, after: $after, sort: $sort) {
    pageInfo { hasNextPage }
    edges { cursor node { id tags { name value } data { size } bundledIn { id } } }
  }
}`;

/** A gateway of Arweave at a URL. */
export class ArweaveSource implements BundleSource {
  private readonly server: HttpServer;

  constructor(url: string) {
    this.server = new HttpServer(url);
  }

  /** Seals the index has of the scheduler come first: of the rest anybody may make as many as they like, and for nothing at some bundling services. */
  async candidates(scheduler: string, from: number, to: number): Promise<Map<number, Candidate[]>> {
    const numbers = Array.from({ length: to - from + 1 }, (_, i) => String(from + i));
    const found = new Map<number, Candidate[]>();
    await this.indexed(scheduler, numbers, found);
    const isIndexing = found.size > 0;
    const filter = [
      { name: 'App-Name', values: [APP_NAME] },
      { name: 'Isthmus-Scheduler', values: [scheduler] },
      { name: 'Isthmus-Sequence', values: numbers },
    ];
    const isAll = await this.pages({ tags: filter, sort: 'HEIGHT_ASC' }, (edge) => note(found, edge, scheduler));
    if (!isAll && !isIndexing)
      throw new SourceError(
        'crowded',
        `${this.server.url} shows more than ${PAGE * MAX_PAGES} transactions for bundles ${from} to ${to}: read from a gateway that knows fewer.`,
      );
    return found;
  }

  async later(scheduler: string, than: number): Promise<Map<number, Candidate[]>> {
    const found = new Map<number, Candidate[]>();
    await this.indexed(scheduler, null, found);
    const filter = [
      { name: 'App-Name', values: [APP_NAME] },
      { name: 'Isthmus-Scheduler', values: [scheduler] },
    ];
    const { edges } = await this.page({ tags: filter, sort: 'HEIGHT_DESC' });
    for (const edge of edges) note(found, edge, scheduler);
    for (const sequence of found.keys()) if (sequence <= than) found.delete(sequence);
    return found;
  }

  /** Seals as the gateway's index has them, and what they are in; of these numbers, or the newest. */
  private async indexed(scheduler: string, numbers: string[] | null, found: Map<number, Candidate[]>): Promise<void> {
    const tags = [
      { name: 'App-Name', values: [APP_NAME] },
      { name: 'Type', values: ['Settlement'] },
      ...(numbers ? [{ name: 'Sequence', values: numbers }] : []),
    ];
    const search = { owners: [scheduler], tags, sort: numbers ? 'HEIGHT_ASC' : 'HEIGHT_DESC' };
    const { edges } = await this.page(search);
    for (const { node } of edges) {
      const sequence = Number(node.tags.find(({ name }) => name === 'Sequence')?.value);
      if (!node.bundledIn || !Number.isSafeInteger(sequence)) continue;
      const candidate = { tx: node.bundledIn.id, seal: node.id, size: 0, isIndexed: true };
      found.set(sequence, [...(found.get(sequence) ?? []), candidate]);
    }
  }

  async bytes({ tx, size }: Candidate): Promise<Buffer | null> {
    if (size > MAX_BUNDLE_BYTES) return null;
    try {
      const { status, body } = await this.ask(`/raw/${tx}`, MAX_BUNDLE_BYTES);
      if (status === 200 && body.length > 0) return body;
      return await this.chunks(tx);
    } catch (error) {
      if (error instanceof ArweaveError && error.code === 'too-large') return null;
      throw error;
    }
  }

  async start(candidate: Candidate): Promise<Buffer | null> {
    const { status, body } = await patiently(() => this.server.start(`/raw/${candidate.tx}`, START_BYTES));
    if (status === 200 && body.length > 0) return body;
    return (await this.bytes(candidate))?.subarray(0, START_BYTES) ?? null;
  }

  /** As nodes have it: a transaction's data in chunks, found by where it ends in all that was ever stored. */
  private async chunks(tx: string): Promise<Buffer | null> {
    const { status, body } = await this.ask(`/tx/${tx}/offset`, MAX_ANSWER_BYTES);
    if (status !== 200) return null;
    const { size, offset } = placeInWeave.safeParse(this.jsonOf(body)).data ?? {};
    if (size === undefined || offset === undefined || size > MAX_BUNDLE_BYTES) return null;
    const parts: Buffer[] = [];
    for (let read = 0; read < size;) {
      const { status: found, body: piece } = await this.ask(`/chunk/${offset - size + 1 + read}`, MAX_ANSWER_BYTES);
      if (found !== 200) return null;
      const part = Buffer.from(chunkOfWeave.safeParse(this.jsonOf(piece)).data?.chunk ?? '', 'base64url');
      if (part.length === 0) return null;
      parts.push(part);
      read += part.length;
    }
    return Buffer.concat(parts);
  }

  /** Reads page after page, so many at most. @returns whether that was all */
  private async pages(search: Search, take: (edge: Edge) => void): Promise<boolean> {
    let after: string | undefined;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const { edges, pageInfo } = await this.page({ ...search, after });
      for (const edge of edges) take(edge);
      const last = edges.at(-1);
      if (!pageInfo.hasNextPage || !last) return true;
      after = last.cursor;
    }
    return false;
  }

  private async page(search: Search) {
    const request = {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ query: QUERY, variables: { ...search, first: PAGE } }),
    };
    const answered = await this.ask('/graphql', MAX_ANSWER_BYTES, request).catch(asMalformed);
    if (answered.status !== 200) throw asSourceError(this.server.refusal(answered));
    const read = answer.safeParse(this.jsonOf(answered.body));
    if (!read.success) throw asSourceError(this.server.malformed("what Arweave's GraphQL would not"));
    return read.data.data.transactions;
  }

  /** @throws SourceError `unreachable`; ArweaveError `too-large` */
  private ask(path: string, maxBytes: number, request?: BoundedRequest): Promise<HttpAnswer> {
    return patiently(() => this.server.ask(path, maxBytes, request));
  }

  /** Null, which no schema takes, for what is no JSON. */
  private jsonOf(body: Buffer): unknown {
    try {
      return this.server.parsed(body);
    } catch {
      return null;
    }
  }
}

/** A gateway that is away for a moment is asked again. @throws SourceError `unreachable`; ArweaveError `too-large` */
async function patiently(ask: () => Promise<HttpAnswer>): Promise<HttpAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ArweaveError) || error.code !== 'unreachable') throw error;
      if (attempt === TRIES) throw asSourceError(error);
    }
    await delay(FIRST_WAIT_MS * 2 ** (attempt - 1));
  }
}

const asSourceError = ({ code, message }: ArweaveError): SourceError =>
  new SourceError(code === 'unreachable' ? code : 'malformed', message);

function asMalformed(error: unknown): never {
  throw error instanceof ArweaveError ? asSourceError(error) : error;
}

interface Search {
  owners?: string[];
  tags: { name: string; values: string[] }[];
  sort: string;
  after?: string | undefined;
}

function labelOf(tags: readonly Tag[], scheduler: string) {
  const label = readTransactionTags(tags);
  return label?.scheduler === scheduler ? label : null;
}

/** The same seal under another transaction is kept too: the one may be damaged where the other is not. */
function note(found: Map<number, Candidate[]>, { node }: Edge, scheduler: string): void {
  const label = labelOf(node.tags, scheduler);
  if (!label) return;
  const known = found.get(label.sequence) ?? [];
  const size = node.data?.size ?? 0;
  const same = known.find((c) => c.tx === node.id);
  if (same) same.size = size;
  else if (known.length < MAX_CANDIDATES)
    found.set(label.sequence, [...known, { tx: node.id, seal: label.seal, size, isIndexed: false }]);
}
