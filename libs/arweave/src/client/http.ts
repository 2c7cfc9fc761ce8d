/** Asking one server over HTTP: in bounded time, for bounded bytes, never elsewhere, and what goes wrong has a type. */
import { AnswerTooLarge, fetchBounded, fetchStart, type BoundedRequest } from '@isthmus/ao';
import { ArweaveError } from './error.js';

/** Of a refusal, this much is repeated. */
const MAX_REASON = 200;
/** Answers that are a few fields. */
export const MAX_SMALL = 64 * 1024;

export interface HttpAnswer {
  status: number;
  body: Buffer;
}

/** One server's address, without a slash at its end. */
export class HttpServer {
  readonly url: string;

  constructor(url: string) {
    this.url = url.replace(/\/+$/, '');
  }

  /** An answer of any status that says something. @throws ArweaveError `unreachable`, `too-large` */
  ask(path: string, maxBytes: number, request: BoundedRequest = {}): Promise<HttpAnswer> {
    return this.answered(path, maxBytes, (url) => fetchBounded(url, maxBytes, request));
  }

  /** The beginning of such an answer: what is behind so many bytes is not read. @throws ArweaveError `unreachable` */
  start(path: string, bytes: number): Promise<HttpAnswer> {
    return this.answered(path, bytes, (url) => fetchStart(url, bytes));
  }

  private async answered(
    path: string,
    maxBytes: number,
    fetched: (url: string) => Promise<HttpAnswer>,
  ): Promise<HttpAnswer> {
    try {
      const answer = await fetched(`${this.url}${path}`);
      if (answer.status !== 429 && answer.status < 500) return answer;
      throw new Error(`HTTP ${answer.status} ${reasonOf(answer.body)}`);
    } catch (error) {
      if (error instanceof AnswerTooLarge)
        throw new ArweaveError('too-large', `${this.name} answered more than ${maxBytes} bytes to ${path}.`);
      throw new ArweaveError('unreachable', `${this.name} does not answer: ${wordsOf(error)}`);
    }
  }

  /** The body of an answer with status 200. @throws ArweaveError */
  async get(path: string, maxBytes: number): Promise<Buffer> {
    const answer = await this.ask(path, maxBytes);
    if (answer.status !== 200) throw this.refusal(answer);
    return answer.body;
  }

  /** @throws ArweaveError */
  async json(path: string, maxBytes: number, request: BoundedRequest = {}): Promise<unknown> {
    const answer = await this.ask(path, maxBytes, { headers: { accept: 'application/json' }, ...request });
    if (answer.status !== 200) throw this.refusal(answer);
    return this.parsed(answer.body);
  }

  /** Posts JSON. @throws ArweaveError `unreachable`, `too-large` */
  post(path: string, content: string): Promise<HttpAnswer> {
    const headers = { 'content-type': 'application/json', accept: 'application/json' };
    return this.ask(path, MAX_SMALL, { method: 'POST', headers, body: content });
  }

  /** @throws ArweaveError `malformed` */
  parsed(body: Buffer): unknown {
    try {
      return JSON.parse(body.toString('utf8')) as unknown;
    } catch {
      throw this.malformed('what is no JSON');
    }
  }

  refusal({ status, body }: HttpAnswer): ArweaveError {
    return new ArweaveError('refused', `${this.name} refused: HTTP ${status} ${reasonOf(body)}`, status);
  }

  malformed(what: string): ArweaveError {
    return new ArweaveError('malformed', `${this.name} answered ${what}.`);
  }

  /** Who is meant in messages: never a path or a query, which may hold a key. */
  private get name(): string {
    return new URL(this.url).origin;
  }
}

/** In one line, so that nobody writes lines into a log. */
const reasonOf = (body: Buffer): string =>
  body
    .toString('utf8', 0, MAX_REASON)
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim();

/** fetch hides why behind "fetch failed". */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message;
}
