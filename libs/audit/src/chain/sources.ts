/** The chain's RPC sources an auditor asks: every one of them, and all must say the same, or nothing is concluded. */
import {
  BaseError,
  createClient,
  createPublicClient,
  http,
  HttpRequestError,
  RpcRequestError,
  TimeoutError,
  type PublicClient,
} from 'viem';
import { AuditError } from '../domain/error.js';

const TIMEOUT_MS = 20_000;

/** @typeParam C what asks one source */
export class Sources<C> {
  private readonly clients: readonly C[];
  /** Hosts, by which sources are named: the rest of an address may hold a key. */
  private readonly hosts: readonly string[];

  /** @param urls at least one; they may hold keys and are never shown whole */
  constructor(urls: readonly string[], open: (url: string) => C) {
    if (urls.length === 0) throw new AuditError('bad-request', 'Name at least one RPC source of the chain.');
    this.hosts = urls.map((url) => (URL.canParse(url) ? new URL(url).host : 'no address'));
    this.clients = urls.map(open);
  }

  /** What all sources answer alike. @throws AuditError `sources-differ`, `unreachable` */
  async same<T>(what: string, ask: (client: C) => Promise<T>): Promise<T> {
    const answers = await this.each(what, ask);
    const [first] = answers;
    const texts = new Set(
      answers.map((a) => JSON.stringify(a, (_, v: unknown) => (typeof v === 'bigint' ? `${v}n` : v))),
    );
    if (texts.size > 1) throw new AuditError('sources-differ', `The chain’s sources do not agree on ${what}.`);
    return first as T;
  }

  /** What each answers. @throws AuditError `unreachable` */
  async each<T>(what: string, ask: (client: C) => Promise<T>): Promise<T[]> {
    return Promise.all(
      this.clients.map((client, i) =>
        ask(client).catch((error: unknown) => {
          if (error instanceof AuditError) throw error;
          throw new AuditError(
            'unreachable',
            `Source ${i + 1} of the chain, ${this.hosts[i]}, does not say ${what}: ${adviceOn(error)}`,
          );
        }),
      ),
    );
  }
}

/** What asks an Ethereum node. */
export const openClient = (url: string): PublicClient =>
  createPublicClient({ transport: http(url, { timeout: TIMEOUT_MS }), cacheTime: 0 });

/** Asks a node of any other family by JSON-RPC. */
export type Ask = (method: string, params: readonly unknown[]) => Promise<unknown>;

/** @param url may have a login in it, as nodes of Bitcoin want: it goes where logins go */
export function openRpc(url: string): Ask {
  const place = URL.canParse(url) ? new URL(url) : null;
  const login = place?.username ? `${decodeURIComponent(place.username)}:${decodeURIComponent(place.password)}` : null;
  if (place) [place.username, place.password] = ['', ''];
  const headers: Record<string, string> =
    login === null ? {} : { authorization: `Basic ${Buffer.from(login).toString('base64')}` };
  const client = createClient({
    transport: http(place?.href ?? url, { timeout: TIMEOUT_MS, fetchOptions: { headers } }),
  });
  return (method, params) => client.request({ method, params } as never);
}

/** Why a source does not answer, and what to do. In our words: its own may hold its address, and that a key. */
function adviceOn(error: unknown): string {
  const causes = error instanceof BaseError ? error : null;
  const failed = causes?.walk((e) => e instanceof HttpRequestError);
  if (causes?.walk((e) => e instanceof TimeoutError))
    return `no answer within ${TIMEOUT_MS / 1000} s. Try again, or name another source.`;
  if (failed instanceof HttpRequestError && !isNoJson(failed)) return httpAdvice(failed);
  const refused = causes?.walk((e) => e instanceof RpcRequestError);
  if (refused instanceof RpcRequestError)
    return `it refuses (RPC error ${refused.code}). A node that keeps no old state or logs cannot be audited by: name another source.`;
  return `it answers nothing that a node would. Is this the address of an RPC?`;
}

/** Something answers, and not as a node would. */
const isNoJson = ({ status, cause }: HttpRequestError): boolean =>
  status === undefined && (cause as { name?: unknown } | undefined)?.name === 'SyntaxError';

function httpAdvice({ status, cause }: HttpRequestError): string {
  if (status === undefined)
    return `it cannot be reached${codeOf(cause)}. Is the address right, and does it run? Else name another source.`;
  if (status === 401 || status === 403) return `HTTP ${status}. Is the key in its address right?`;
  if (status === 429) return 'HTTP 429, too many requests. Wait, or name a source that allows more.';
  return `HTTP ${status}. Try again, or name another source.`;
}

/** The system's word for it, as ECONNREFUSED, wherever in the chain of causes it is. */
function codeOf(cause: unknown, depth = 0): string {
  const { code, cause: deeper } = (cause ?? {}) as { code?: unknown; cause?: unknown };
  if (typeof code === 'string' && /^[A-Z_]{1,40}$/.test(code)) return ` (${code})`;
  return deeper !== undefined && depth < 5 ? codeOf(deeper, depth + 1) : '';
}
