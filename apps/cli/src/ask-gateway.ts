/** One question to a gateway over HTTP: bounded in time and size, and whatever fails is one line that says what to do. */
import { fetchBounded, type BoundedRequest } from '@isthmus/ao';
import { CommandError } from './said.js';

export interface GatewayAnswer {
  status: number;
  text: string;
  headers: Headers;
}

export const ANSWER_MS = 30_000;
/** Of what a gateway says of itself and of a page of anything: results and states of processes are smaller. */
export const MAX_ANSWER = 64 * 1024 * 1024;

/** Whatever it answers, also refusals. @throws CommandError with this exit code when it does not, or with more than `maxBytes` */
export async function askGateway(
  url: string,
  maxBytes = MAX_ANSWER,
  request: BoundedRequest = {},
  exitCode = 1,
): Promise<GatewayAnswer> {
  try {
    const headers = { accept: '*/*', ...request.headers };
    const answer = await fetchBounded(url, maxBytes, { timeoutMs: ANSWER_MS, ...request, headers });
    return { status: answer.status, text: answer.body.toString('utf8'), headers: answer.headers };
  } catch (error) {
    throw unreachable(url, error, exitCode);
  }
}

/** The JSON of a good answer. @throws CommandError with this exit code, in the gateway's own words when it refused */
export function answerIn<T>(answer: GatewayAnswer, exitCode = 1): T {
  try {
    return JSON.parse(good(answer, exitCode).text) as T;
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError('What answers is no gateway: it does not speak JSON.', exitCode);
  }
}

export function good(answer: GatewayAnswer, exitCode = 1): GatewayAnswer {
  if (answer.status < 200 || answer.status > 299) throw refused(answer, exitCode);
  return answer;
}

export function refused(answer: GatewayAnswer, exitCode = 1): CommandError {
  const wait = answer.status === 429 ? ` Try again in ${answer.headers.get('retry-after') ?? '60'} s.` : '';
  return new CommandError(`${wordsOf(answer)}${wait}`, exitCode);
}

/** What the gateway says is wrong: in AO's form or as problem details. */
export function wordsOf({ status, text }: GatewayAnswer): string {
  try {
    const body = JSON.parse(text) as { detail?: unknown; error?: unknown };
    for (const words of [body.detail, body.error]) if (typeof words === 'string') return words;
  } catch {
    // said below
  }
  return `HTTP ${status}`;
}

export function unreachable(url: string, error: unknown, exitCode = 1): CommandError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why = cause instanceof Error ? cause.message : String(cause);
  const { origin } = new URL(url);
  return new CommandError(
    `The gateway at ${origin} does not answer (${why}): is it one, and running ("npm start")? Another is named with --gateway.`,
    exitCode,
  );
}
