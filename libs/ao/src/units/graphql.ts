/**
 * As much of an Arweave gateway's GraphQL as AO's clients ask: `transactions` by ids, or by owners and tags. Arguments are read, the
 * selection of fields is not: a node always has them all.
 */
import { z } from 'zod';
import { UnitError } from './errors.js';

export interface TransactionFilter {
  ids?: string[] | undefined;
  owners?: string[] | undefined;
  recipients?: string[] | undefined;
  tags?: { name: string; values: string[] }[] | undefined;
}

const requestShape = z.object({
  query: z.string().max(10_000),
  variables: z.record(z.string(), z.unknown()).nullish(),
});
const oneOrMore = z
  .union([z.string(), z.array(z.string()).max(100)])
  .nullish()
  .transform((v) => (typeof v === 'string' ? [v] : (v ?? undefined)));
const filterShape = z.object({
  ids: oneOrMore,
  owners: oneOrMore,
  recipients: oneOrMore,
  tags: z
    .array(z.object({ name: z.string(), values: z.array(z.string()).max(100) }))
    .max(20)
    .nullish()
    .transform((v) => v ?? undefined),
});

/** What a GraphQL request asks `transactions` for. @throws UnitError, ZodError */
export function readTransactionsQuery(body: unknown): TransactionFilter {
  const { query, variables } = requestShape.parse(body);
  const start = /\btransactions\s*\(/.exec(query);
  if (!start) throw new UnitError(400, 'Only the query `transactions(...)` is answered here.');
  const reader = new ArgumentReader(query.slice(start.index + start[0].length), variables ?? {});
  return filterShape.parse(reader.fields(')'));
}

const TOKEN = /\s*(?:,\s*)*("(?:[^"\\]|\\.)*"|\$?[A-Za-z_][A-Za-z0-9_]*|-?[0-9]+|[[\]{}():])/y;

/** Reads GraphQL's literal values; nesting is as deep as the query is long, and that is bounded. */
class ArgumentReader {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly variables: Record<string, unknown>,
  ) {}

  /** `name: value` pairs up to `end`. */
  fields(end: string): Record<string, unknown> {
    const fields: Record<string, unknown> = {};
    for (let name = this.token(); name !== end; name = this.token()) {
      if (this.token() !== ':') throw malformed();
      fields[name] = this.value(this.token());
    }
    return fields;
  }

  private value(token: string): unknown {
    if (token.startsWith('$')) return this.variables[token.slice(1)];
    if (token.startsWith('"')) return JSON.parse(token) as unknown;
    if (token === '{') return this.fields('}');
    if (token !== '[') return token;
    const list: unknown[] = [];
    for (let next = this.token(); next !== ']'; next = this.token()) list.push(this.value(next));
    return list;
  }

  private token(): string {
    TOKEN.lastIndex = this.at;
    const found = TOKEN.exec(this.text);
    if (!found?.[1]) throw malformed();
    this.at = TOKEN.lastIndex;
    return found[1];
  }
}

const malformed = (): UnitError => new UnitError(400, 'The arguments of `transactions` cannot be read.');
