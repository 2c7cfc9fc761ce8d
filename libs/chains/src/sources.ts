/**
 * Several independent JSON-RPC sources of which a fixed number must agree. With fewer it throws and never goes on with less; a source that
 * contradicts itself or serves another chain does not count. What is asked, and what it means, is each chain's own.
 */

export interface SourceOptions {
  /** One for each source, all different; a login stands before the host. */
  urls: readonly string[];
  /** How many sources must say the same. */
  agreement: number;
  /** Time a source has for one question, milliseconds. */
  timeoutMs?: number;
}

export interface Source {
  /** Counted from 1: an address may hold a key and is never shown. */
  name: string;
  url: string;
  headers: Readonly<Record<string, string>>;
  /** It has shown that it serves the right chain. */
  checked: boolean;
}

export interface Answers<T> {
  good: T[];
  bad: string[];
}

/** How answers stand: more are needed, one may stop waiting soon, or nothing that is open can change the outcome. */
export type Standing = 'open' | 'enough' | 'decided';

/** One call to one source. @throws RpcError, or what fetch throws */
export interface Ask {
  (method: string, params: readonly unknown[], maxBytes?: number): Promise<unknown>;
  /** The same call for each of some parameters, in one request: all results in their order, or none. */
  all: (method: string, params: readonly (readonly unknown[])[], maxBytes?: number) => Promise<unknown[]>;
}

/** Fewer sources agree than required, or as many say one thing as another: nothing may be concluded. */
export class AgreementLost extends Error {
  readonly code = 'agreement-lost';
  constructor(
    what: string,
    readonly agreeing: number,
    readonly required: number,
    readonly reasons: readonly string[],
    /** Sources gave different answers, rather than none. */
    readonly contradiction = false,
  ) {
    super(
      `${agreeing} of the ${required} RPC sources required agree on ${what}${reasons.length > 0 ? `: ${reasons.join('; ')}` : ''}`,
    );
    this.name = 'AgreementLost';
  }
}

/** One source refused or failed one call, or contradicts itself. */
export class RpcError extends Error {
  constructor(
    message: string,
    /** The error's number in JSON-RPC, when it refused. */
    readonly code?: number,
  ) {
    super(message);
    this.name = 'RpcError';
  }
}

const TIMEOUT_MS = 10_000;
/** Once enough sources have answered, the others get this long at most: one that hangs does not hold up the rest. */
const PATIENCE_MS = 1_000;
/** A block's header and transaction hashes, a value, or an error. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const MAX_REASON = 200;

export abstract class SourcePool<S extends Source> {
  /** Calls made so far, over all sources. */
  calls = 0;
  protected readonly sources: readonly S[];
  protected readonly agreement: number;
  private readonly timeoutMs: number;

  /** @throws Error when `agreement` cannot be met, or one source is given twice: it would agree with itself. */
  protected constructor({ urls, agreement, timeoutMs = TIMEOUT_MS }: SourceOptions, begin: (source: Source) => S) {
    if (agreement < 1 || agreement > urls.length)
      throw new Error(`agreement is ${agreement}: it lies between 1 and the number of rpcUrls (${urls.length}).`);
    this.sources = urls.map((url, i) => begin({ name: `source ${i + 1}`, checked: false, ...login(url) }));
    if (new Set(this.sources.map(({ url }) => url)).size < urls.length)
      throw new Error('rpcUrls names a source twice: agreement needs different ones.');
    this.agreement = agreement;
    this.timeoutMs = timeoutMs;
  }

  /** Has every source show again which chain it serves: another node may stand at its address by now. */
  recheckChains(): void {
    for (const source of this.sources) source.checked = false;
  }

  /** @throws RpcError when a source serves another chain */
  protected abstract identify(ask: Ask): Promise<void>;

  protected readonly whenEnough = (good: readonly unknown[]): Standing =>
    good.length >= this.agreement ? 'enough' : 'open';

  /** The answer that enough sources give alike, and no other as many. */
  protected async agreed<T>(
    what: string,
    sources: readonly S[],
    question: (ask: Ask) => Promise<T>,
    content: (value: T) => string,
  ): Promise<T> {
    const { agreement } = this;
    const keyed = async (_: S, ask: Ask) => {
      const value = await question(ask);
      return { key: sources.length === 1 ? '' : content(value), value }; // one has nobody to be compared with
    };
    const { good, bad } = await this.each(sources, keyed, (given, open) => {
      const [first = 0, second = 0] = sizes(given);
      if (first < agreement) return 'open';
      return second + open < agreement ? 'decided' : 'enough';
    });
    const [first = 0, second = 0] = sizes(good);
    if (first >= agreement && second < agreement) return mostGiven(good);
    const silent = this.sources.length - sources.length;
    const reasons = silent > 0 ? [...bad, `${silent} lag behind what is final`] : bad;
    throw new AgreementLost(
      what,
      first,
      agreement,
      second > 0 ? [...reasons, 'they contradict each other'] : reasons,
      second > 0,
    );
  }

  /** Asks all at once, and waits until all have answered or `standing` says that one need not. */
  protected each<T>(
    sources: readonly S[],
    question: (source: S, ask: Ask) => Promise<T>,
    standing: (good: readonly T[], open: number) => Standing,
  ): Promise<Answers<T>> {
    const patienceMs = Math.min(PATIENCE_MS, this.timeoutMs / 10);
    return new Promise((resolve) => {
      const answers: Answers<T> = { good: [], bad: [] };
      const stop = new AbortController();
      let open = sources.length;
      let patience: NodeJS.Timeout | undefined;
      const end = (): void => {
        clearTimeout(patience);
        resolve({ good: [...answers.good], bad: [...answers.bad] });
        // Who is merely a little slower ends by itself and keeps its connection.
        if (open > 0) setTimeout(() => stop.abort(), patienceMs).unref();
      };
      const answered = (): void => {
        open -= 1;
        const now = open === 0 ? 'decided' : standing(answers.good, open);
        if (now === 'decided') end();
        else if (now === 'enough') patience ??= setTimeout(end, patienceMs);
      };
      if (open === 0) end();
      for (const source of sources)
        void this.within(source, stop.signal, (ask) => question(source, ask))
          .then(
            (value) => void answers.good.push(value),
            (error: unknown) => void answers.bad.push(`${source.name}: ${reasonOf(error)}`),
          )
          .then(answered);
    });
  }

  /** One question to one source, which may take several calls and has one time limit. */
  private async within<T>(source: S, stop: AbortSignal, question: (ask: Ask) => Promise<T>): Promise<T> {
    const { timeoutMs } = this;
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), timeoutMs);
    stop.addEventListener('abort', () => limit.abort(), { once: true });
    const ask: Ask = Object.assign(
      (method: string, params: readonly unknown[], maxBytes?: number) =>
        this.ask(source, method, params, maxBytes, limit.signal),
      {
        all: (method: string, params: readonly (readonly unknown[])[], maxBytes?: number) =>
          this.askAll(source, method, params, maxBytes, limit.signal),
      },
    );
    try {
      if (!source.checked) await this.identify(ask);
      source.checked = true;
      return await question(ask);
    } catch (error) {
      source.checked = false; // another node may stand there when it comes back
      if (limit.signal.aborted) throw new RpcError(`no answer within ${timeoutMs} ms`);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  private async ask(
    source: Source,
    method: string,
    params: readonly unknown[],
    maxBytes = MAX_ANSWER_BYTES,
    signal: AbortSignal,
  ): Promise<unknown> {
    this.calls += 1;
    const { body, problem } = await post(source, { jsonrpc: '2.0', id: 1, method, params }, maxBytes, signal);
    return resultOf(body, method, problem);
  }

  private async askAll(
    source: Source,
    method: string,
    params: readonly (readonly unknown[])[],
    maxBytes = MAX_ANSWER_BYTES,
    signal: AbortSignal,
  ): Promise<unknown[]> {
    this.calls += params.length;
    const asked = params.map((one, id) => ({ jsonrpc: '2.0', id, method, params: one }));
    const { body, problem } = await post(source, asked, maxBytes, signal);
    if (!Array.isArray(body)) {
      resultOf(body, method, problem);
      throw new RpcError(`it refuses ${method} in one request for several`);
    }
    const results = new Map(body.map((one: unknown) => [fields(one)['id'], one])); // in any order it likes
    return params.map((_, id) => resultOf(results.get(id), method, problem));
  }
}

interface Posted {
  body: unknown;
  /** What its HTTP status says against it. */
  problem: string | null;
}

async function post({ url, headers }: Source, asked: unknown, maxBytes: number, signal: AbortSignal): Promise<Posted> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(asked),
    redirect: 'error', // the source that was configured answers, or none
    signal,
  });
  const problem = response.ok ? null : `it answers HTTP ${response.status}`;
  if (problem !== null && !isJson(response)) {
    await response.body?.cancel();
    throw new RpcError(problem);
  }
  return { body: parse(await read(response, maxBytes)), problem };
}

/** @throws RpcError when it is an error, or nothing */
function resultOf(answer: unknown, method: string, problem: string | null): unknown {
  const { error, result } = fields(answer);
  if (error !== undefined && error !== null)
    throw new RpcError(`it refuses ${method}: ${complaint(error)}`, codeOf(error));
  if (problem !== null) throw new RpcError(problem);
  if (result === undefined) throw new RpcError(`it refuses ${method}: no result`);
  return result;
}

/** A login in an address is sent as a header: nothing may show it. */
export function login(address: string): Pick<Source, 'url' | 'headers'> {
  const url = new URL(address);
  const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  if (user === '' && password === '') return { url: url.href, headers: {} };
  url.username = '';
  url.password = '';
  const encoded = Buffer.from(`${user}:${password}`).toString('base64');
  return { url: url.href, headers: { authorization: `Basic ${encoded}` } };
}

/** The body, read only as far as it may go, whatever length it announces. */
async function read(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > maxBytes) throw new RpcError('its answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new RpcError('its answer is not JSON');
  }
}

function fields(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new RpcError('it gives something else as an answer');
  return value as Record<string, unknown>; // an object: any key may be looked up
}

function complaint(error: unknown): string {
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return typeof message === 'string' ? message : 'no reason';
}

/** Why a source failed, on one short line. An address is not in it, for that may hold a key. */
function reasonOf(error: unknown): string {
  if (error instanceof RpcError) return error.message.replaceAll(/[\p{C}\p{Z}]+/gu, ' ').slice(0, MAX_REASON);
  const cause = error instanceof Error ? error.cause : undefined;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
  return `it does not answer (${code || (error instanceof Error ? error.name : 'unknown')})`;
}

/** Bitcoin Core says why it refuses in the body of a 500. */
const isJson = (response: Response): boolean =>
  (response.headers.get('content-type') ?? '').startsWith('application/json');

function codeOf(error: unknown): number | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'number' ? code : undefined;
}

interface Keyed<T> {
  key: string;
  value: T;
}

/** How many gave each different answer, most first. */
function sizes(given: readonly Keyed<unknown>[]): number[] {
  return [...counted(given).values()].toSorted((a, b) => b - a);
}

function mostGiven<T>(given: readonly Keyed<T>[]): T {
  const counts = counted(given);
  const [most] = given.toSorted((a, b) => (counts.get(b.key) ?? 0) - (counts.get(a.key) ?? 0));
  return (most as Keyed<T>).value; // called only when there is one
}

function counted(given: readonly Keyed<unknown>[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { key } of given) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
