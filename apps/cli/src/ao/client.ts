/** A gateway's AO side as its users reach it. Whatever it answers is bounded in time and checked; whatever fails is one line that says what to do. */
import { setTimeout as delay } from 'node:timers/promises';
import type { BoundedRequest, EvaluationResult, Tag } from '@isthmus/ao';
import {
  ANSWER_MS,
  askGateway,
  good,
  answerIn,
  MAX_ANSWER,
  refused,
  unreachable,
  wordsOf,
  type GatewayAnswer,
} from '../ask-gateway.js';
import { CommandError } from '../said.js';

/** Most items of one page, as the gateway gives them. */
const PAGE = 100;
/** Between two questions for a result that is not there yet. */
const ASK_AGAIN_MS = 250;

/** A server-sent event. */
export interface LiveEvent {
  type: string;
  id: string | null;
  data: string;
}

/** A page's list goes by a name of its own. */
type Page<T> = { [name: string]: T[] | string | null; nextCursor: string | null };
type Listed<T> = { found: T[]; more: boolean };

export class AoClient {
  constructor(readonly url: string) {}

  /** @throws CommandError with the gateway's own words */
  async get<T>(path: string): Promise<T> {
    return answerIn(await this.fetch(path));
  }

  /**
   * Items of a paged list, at most `most`, and whether there are more. @param name of the list in each page @param narrow what else is asked for
   * @throws CommandError
   */
  async list<T>(
    path: string,
    name: string,
    most: number,
    narrow: Readonly<Record<string, string | undefined>> = {},
  ): Promise<Listed<T>> {
    const asked = Object.entries(narrow).flatMap(([key, value]): [string, string][] =>
      value === undefined ? [] : [[key, value]],
    );
    const found: Listed<T>['found'] = [];
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams([['limit', String(Math.min(PAGE, most - found.length))], ...asked]);
      if (cursor !== null) query.set('cursor', cursor);
      const page: Page<T> = await this.get(`${path}?${query.toString()}`);
      found.push(...(page[name] as T[]));
      cursor = page.nextCursor;
    } while (cursor !== null && found.length < most);
    return { found, more: cursor !== null };
  }

  /** The text of an answer whose form is the caller's to know. @throws CommandError */
  async text(path: string): Promise<string> {
    return good(await this.fetch(path)).text;
  }

  /** @throws CommandError */
  async post<T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    };
    return answerIn(await this.fetch(path, init));
  }

  /** Hands over a signed item. @throws CommandError when it is refused */
  async send(raw: Uint8Array, path = '/mu', method: 'POST' | 'DELETE' = 'POST'): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    good(await this.fetch(path, { method, headers, body: new Uint8Array(raw) }));
  }

  /** The result of a message, once it is there. @throws CommandError when it is not within `seconds` */
  async result(process: string, message: string, seconds: number): Promise<EvaluationResult> {
    const until = Date.now() + seconds * 1000;
    const left = () => Math.min(Math.max(until - Date.now(), 1), ANSWER_MS);
    const isOver = () => until - Date.now() <= ASK_AGAIN_MS;
    const late = (why: string) =>
      new CommandError(
        `Message ${message} has no result after ${seconds} s (${why}): it is placed and stays so; see "isthmus ao journey ${message}".`,
      );
    for (;;) {
      const route = `/cu/result/${message}?process-id=${process}`;
      const answer = await this.fetch(route, { timeoutMs: left() }).catch((error: unknown) => {
        // The gateway has taken the message: that its result is waited for no longer is not that nobody answers.
        throw isOver() ? late('the evaluation is still under way') : error;
      });
      if (answer.status === 200) return JSON.parse(answer.text) as EvaluationResult;
      if (answer.status !== 503 && answer.status !== 202) throw refused(answer);
      if (isOver()) throw late(wordsOf(answer));
      await delay(ASK_AGAIN_MS); // asked again until the time is over
    }
  }

  /** @throws CommandError */
  async dryRun(process: string, message: { Owner: string; Data: string; Tags: Tag[] }): Promise<EvaluationResult> {
    return this.post(`/cu/dry-run?process-id=${process}`, { Id: '0', Target: process, ...message });
  }

  /** Addresses of the gateway's scheduler and messenger. @throws CommandError */
  async units(): Promise<{ scheduler: string; messenger: string }> {
    const [su, mu] = await Promise.all([this.get<{ address: string }>('/su'), this.get<{ address: string }>('/mu')]);
    return { scheduler: su.address, messenger: mu.address };
  }

  /**
   * Server-sent events until the gateway ends the stream.
   * @throws CommandError when there is no such stream
   */
  async *events(path: string, last: string | null, signal: AbortSignal): AsyncGenerator<LiveEvent> {
    const headers: Record<string, string> = {
      accept: 'text/event-stream',
      ...(last === null ? {} : { 'last-event-id': last }),
    };
    const response = await fetch(`${this.url}${path}`, { headers, signal }).catch((error: unknown) => {
      throw unreachable(this.url, error);
    });
    if (!response.ok || !response.body)
      throw refused({ status: response.status, text: await response.text(), headers: response.headers });
    let rest = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      rest += chunk;
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) yield readEvent(block);
    }
  }

  private fetch(path: string, request: BoundedRequest = {}): Promise<GatewayAnswer> {
    return askGateway(this.url + path, MAX_ANSWER, request);
  }
}

function readEvent(block: string): LiveEvent {
  const field = (name: string): string | null =>
    block
      .split('\n')
      .find((line) => line.startsWith(`${name}: `))
      ?.slice(name.length + 2) ?? null;
  return { type: field('event') ?? 'message', id: field('id'), data: field('data') ?? '' };
}
