/** Reading the tail a guardian serves: which processes it follows and how far, and their slots page by page. */
import { EngineError } from '../engine.js';
import { fetchBounded } from '../compute/fetch-bounded.js';

/** How far somebody has followed a process. */
export interface TailHead {
  process: string;
  slot: number;
}

/** Slots in a page at most. */
export const TAIL_PAGE = 500;
/** Messages of a page, before they are written as text; one slot is given however large it is. */
export const TAIL_PAGE_BYTES: number = 32 * 1024 * 1024;
/** A page of that as base64, its assignments, and a module: far below twice as much. */
const MAX_ANSWER_BYTES = 128 * 1024 * 1024;
const MAX_HEADS = 1024;

export class TailClient {
  constructor(readonly url: string) {}

  /** @throws EngineError */
  async heads(): Promise<TailHead[]> {
    const value = asJson(await this.ask('/tail'));
    if (!Array.isArray(value) || value.length > MAX_HEADS || !value.every(isHead))
      throw this.malformed('no list of processes');
    return value;
  }

  /** Lines of a process from a slot on; none behind its end. @throws EngineError */
  async page(process: string, from: number): Promise<string[]> {
    return (await this.ask(`/tail/${process}?from=${from}`)).split('\n').filter((line) => line !== '');
  }

  private async ask(path: string): Promise<string> {
    const answer = await fetchBounded(this.url.replace(/\/+$/, '') + path, MAX_ANSWER_BYTES).catch((error: unknown) => {
      throw new EngineError('unreachable', `${this.url} does not answer: ${wordsOf(error)}.`);
    });
    const text = answer.body.toString('utf8');
    if (answer.status === 200) return text;
    throw new EngineError(
      'refused',
      `${this.url}${path} answers ${answer.status}: ${text.slice(0, 200)}`,
      answer.status,
    );
  }

  private malformed(what: string): EngineError {
    return new EngineError('malformed', `${this.url}/tail shows ${what}: is it a guardian?`);
  }
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const PROCESS = /^[A-Za-z0-9_-]{43}$/;

function isHead(value: unknown): value is TailHead {
  const { process, slot } = (value ?? {}) as Partial<Record<keyof TailHead, unknown>>;
  return typeof process === 'string' && PROCESS.test(process) && Number.isSafeInteger(slot) && Number(slot) >= -1;
}

/** A failed fetch hides why in its cause. */
function wordsOf(error: unknown): string {
  const { message, cause } = error as { message?: unknown; cause?: { code?: unknown } };
  return String(cause?.code ?? message);
}
