/** Asking a unit over HTTP: bounded, again after a while when it is away, and with a typed error when it stays so. */
import { setTimeout as delay } from 'node:timers/promises';
import { AnswerTooLarge, fetchBounded } from '../compute/fetch-bounded.js';
import { EngineError } from '../engine.js';

/** Times a unit is asked before it counts as away, and the wait after the first time; it doubles. */
const TRIES = 3;
const FIRST_WAIT_MS = 200;
/** Of a refusal, this much is repeated. */
const MAX_REASON = 300;

export interface Question {
  method?: string;
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer> | string;
  maxBytes: number;
}

export interface Answer {
  status: number;
  body: Buffer;
}

/**
 * The answer of a unit, of whatever status that says something: 429 and 5xx say that it is away. For what may be asked more than once.
 * @throws EngineError `unreachable`; AnswerTooLarge
 */
export async function ask(url: string, question: Question): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await askOnce(url, question);
    } catch (error) {
      if (!(error instanceof EngineError) || attempt === TRIES) throw error;
    }
    await delay(FIRST_WAIT_MS * 2 ** (attempt - 1));
  }
}

/** As `ask`, for who tries again by himself. */
export async function askOnce(url: string, { maxBytes, ...init }: Question): Promise<Answer> {
  try {
    const answer = await fetchBounded(url, maxBytes, init);
    if (answer.status !== 429 && answer.status < 500) return answer;
    throw new Error(`HTTP ${answer.status} ${reasonOf(answer.body)}`);
  } catch (error) {
    if (error instanceof AnswerTooLarge) throw error;
    throw away(url, error);
  }
}

/** What it comes to when a unit gives no answer. */
export function away(url: string, error: unknown): EngineError {
  return new EngineError('unreachable', `${new URL(url).origin} does not answer: ${wordsOf(error)}`);
}

/** A JSON answer with status 200. @throws EngineError `unreachable`, `refused`, `malformed`; AnswerTooLarge */
export async function askJson(url: string, question: Question): Promise<unknown> {
  const { status, body } = await ask(url, { headers: { accept: 'application/json' }, ...question });
  if (status !== 200) throw refusal(url, { status, body });
  return jsonOf(url, body);
}

/** @throws EngineError `malformed` */
export function jsonOf(url: string, body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    throw new EngineError('malformed', `${new URL(url).origin} answered what is no JSON.`);
  }
}

/** What a unit's refusal comes to. */
export function refusal(url: string, { status, body }: Answer): EngineError {
  return new EngineError('refused', `${new URL(url).origin} refused: HTTP ${status} ${reasonOf(body)}`, status);
}

export const reasonOf = (body: Buffer): string => body.toString('utf8', 0, MAX_REASON);

/** fetch hides why behind "fetch failed". */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message;
}
