/**
 * Answers a GraphQL document over any schema, its cost bounded: before any of it is done by what the document comes to at most, afterwards by the
 * bytes of the answer. Here is also what Arweave's gateways call their types.
 */
import {
  defaultFieldResolver,
  execute,
  GraphQLError,
  Kind,
  parse,
  specifiedRules,
  validate,
  visit,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLFieldResolver,
  type GraphQLSchema,
} from 'graphql';
import { z } from 'zod';
import { UnitError } from './errors.js';
import { assertAffordable, type DocumentBounds } from './graphql-cost.js';
import { jsonOf } from './raw-body.js';

const MAX_QUERY = 10_000;
const MAX_TOKENS = 1500;
/** A whole page of items with their longest tags (16 KiB) and keys is half of this. As JSON. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** The types of a search, as Arweave's gateways name them: all but `Query`. */
export const ARWEAVE_TYPES = `
  input TagFilter { name: String!, values: [String!]!, op: TagOperator }
  enum TagOperator { EQ NEQ }
  input BlockFilter { min: Int, max: Int }
  enum SortOrder { HEIGHT_DESC HEIGHT_ASC INGESTED_AT_DESC INGESTED_AT_ASC }
  type TransactionConnection { pageInfo: PageInfo!, edges: [TransactionEdge!]! }
  type PageInfo { hasNextPage: Boolean! }
  type TransactionEdge { cursor: String!, node: Transaction! }
  type Transaction {
    id: ID!, anchor: String!, signature: String!, recipient: String!, owner: Owner!, fee: Amount!, quantity: Amount!, data: MetaData!, tags: [Tag!]!
    block: Block, parent: Parent, bundledIn: Parent, ingested_at: Int
  }
  type Owner { address: String!, key: String! }
  type Amount { winston: String!, ar: String! }
  type MetaData { size: String!, type: String }
  type Tag { name: String!, value: String! }
  type Block { id: ID!, timestamp: Int!, height: Int!, previous: ID! }
  type Parent { id: ID! }
`;

const requestShape = z.object({
  query: z.string().max(MAX_QUERY),
  variables: z.record(z.string(), z.unknown()).nullish(),
  operationName: z.string().max(200).nullish(),
});

/** What is wrong with a document, each with its place in it. */
export class DocumentError extends UnitError {
  constructor(readonly problems: readonly GraphQLError[]) {
    super(400, problems.map((p) => p.message).join(' '));
  }
}

/** A request as the query of a URL. @throws UnitError for variables that are no JSON */
export function requestOfUrl({ variables, ...asked }: Record<string, unknown>): unknown {
  if (variables === undefined || variables === '') return asked;
  return { ...asked, variables: typeof variables === 'string' ? jsonOf(Buffer.from(variables)) : variables };
}

/** What a document is answered over. */
export interface Answerable {
  schema: GraphQLSchema;
  rootValue: unknown;
  bounds: DocumentBounds;
}

/** Answers one request. @throws UnitError, ZodError when it cannot be read or asks for what there is not */
export async function answerDocument(
  body: unknown,
  { schema, rootValue, bounds }: Answerable,
): Promise<ExecutionResult> {
  const { query, variables, operationName } = requestShape.parse(body);
  const document = read(query);
  assertAffordable(document, variables ?? {}, bounds);
  assertPlainIntrospection(document);
  const problems = validate(schema, document, specifiedRules, { maxErrors: 3 });
  if (problems.length > 0) throw new DocumentError(problems);
  const size = { bytes: 0 };
  const answer = await execute({
    schema,
    document,
    rootValue,
    fieldResolver: weighed(size),
    variableValues: variables ?? {},
    ...(operationName ? { operationName } : {}),
  });
  if (size.bytes > MAX_ANSWER_BYTES)
    throw new UnitError(400, `An answer has at most ${MAX_ANSWER_BYTES} bytes: ask for fewer items or fields.`);
  return answer;
}

/** Counts what is answered as it is found: texts and the names they are asked for by. Nothing is copied before all is counted. */
function weighed(size: { bytes: number }): GraphQLFieldResolver<unknown, unknown> {
  return (source, asked, context, info) => {
    const value: unknown = defaultFieldResolver(source, asked, context, info);
    size.bytes += String(info.path.key).length + 4;
    // As it is written: a control character takes six bytes.
    if (typeof value === 'string' && size.bytes <= MAX_ANSWER_BYTES)
      size.bytes += Buffer.byteLength(JSON.stringify(value));
    return value;
  };
}

/**
 * The schema's own lists are long and lead to each other. Asked for without aliases it is no more than itself, three times deep, as
 * validation allows. @throws UnitError
 */
function assertPlainIntrospection(document: DocumentNode): void {
  let [introspects, aliased] = [false, false];
  visit(document, {
    [Kind.FIELD]: ({ name, alias }) => {
      introspects ||= name.value === '__schema' || name.value === '__type';
      aliased ||= alias !== undefined;
    },
  });
  if (introspects && aliased) throw new UnitError(400, 'The schema is shown without aliases: ask for it by itself.');
}

function read(query: string): DocumentNode {
  try {
    return parse(query, { maxTokens: MAX_TOKENS, noLocation: true });
  } catch (error) {
    throw error instanceof GraphQLError ? new DocumentError([error]) : error;
  }
}
