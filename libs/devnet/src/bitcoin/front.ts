/** Bitcoin Core's JSON-RPC over HTTP before a node: one request or a batch, basic auth, one at a time, errors with Core's codes and statuses. */
import { timingSafeEqual } from 'node:crypto';
import type { Answer, Asked } from '../http.js';
import { CODE, CoreError } from './core-error.js';
import { METHODS, type Method } from './methods.js';
import type { BitcoinNode } from './node.js';

/** Two blocks in hex. */
const MAX_BODY = 16 * 1024 * 1024;
const MAX_BATCH = 1_000;

export class Front {
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly node: BitcoinNode,
    /** `user:password`. */
    private readonly credentials: string,
    /** What it answers besides, when it has a wallet. */
    private readonly wallet: Readonly<Record<string, Method>> = {},
  ) {}

  /** Whoever changes the chain or looks at it has the node alone meanwhile. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.last.then(work, work);
    this.last = mine.catch(() => undefined);
    return mine;
  }

  async answer(asked: Asked): Promise<Answer> {
    if (asked.method === 'GET' && asked.path.join('/') === 'rest/chaininfo.json')
      return { status: 200, body: await this.alone(() => METHODS.getblockchaininfo(this.node)) };
    if (asked.method !== 'POST') return { status: 405, body: 'JSONRPC server handles only POST requests' };
    if (!this.mayEnter(asked.authorization)) return { status: 401, body: '' };
    const body = (await asked.body(MAX_BODY)).toString('utf8');
    const request = parse(body);
    if (request === undefined) return said(reply(null, null, new CoreError(CODE.parse, 'Parse error')));
    if (!Array.isArray(request)) return said(await this.one(request));
    if (request.length > MAX_BATCH)
      return said(reply(null, null, new CoreError(CODE.invalidRequest, 'Batch too large')));
    const replies: Reply[] = [];
    for (const each of request) replies.push(await this.one(each));
    return { status: 200, body: replies.map((r) => r.body) };
  }

  private mayEnter(authorization: string | null): boolean {
    const given = Buffer.from(/^Basic ([A-Za-z0-9+/=]+)$/.exec(authorization ?? '')?.[1] ?? '', 'base64');
    const wanted = Buffer.from(this.credentials);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }

  private async one(request: unknown): Promise<Reply> {
    const { method, params = [], id = null, jsonrpc } = isObject(request) ? request : {};
    const strict = jsonrpc === '2.0';
    try {
      if (typeof method !== 'string') throw new CoreError(CODE.invalidRequest, 'Missing method');
      if (!Array.isArray(params)) throw new CoreError(CODE.invalidRequest, 'Params must be an array');
      const table: Readonly<Record<string, Method>> = { ...METHODS, ...this.wallet };
      const run = Object.hasOwn(table, method) ? table[method] : undefined;
      if (!run) throw new CoreError(CODE.methodNotFound, 'Method not found');
      return reply(id, await this.alone(() => run(this.node, params)), null, strict);
    } catch (error) {
      if (error instanceof CoreError) return reply(id, null, error, strict);
      console.error(error);
      return reply(id, null, new CoreError(CODE.misc, error instanceof Error ? error.message : String(error)), strict);
    }
  }
}

interface Reply {
  status: number;
  body: Record<string, unknown>;
}

/** Version 1 says an error by the status too, version 2 by the body alone. */
function reply(id: unknown, result: unknown, error: CoreError | null, strict = false): Reply {
  const told = error && { code: error.code, message: error.message };
  if (strict) return { status: 200, body: { jsonrpc: '2.0', ...(told ? { error: told } : { result }), id } };
  const status =
    error === null ? 200 : error.code === CODE.methodNotFound ? 404 : error.code === CODE.invalidRequest ? 400 : 500;
  return { status, body: { result: told ? null : result, error: told, id } };
}

const said = ({ status, body }: Reply): Answer => ({ status, body });
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

function parse(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return undefined; // no JSON is undefined
  }
}
