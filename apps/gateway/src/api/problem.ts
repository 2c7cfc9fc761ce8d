/** Errors as RFC 9457 problem details: a stable code, what is wrong, and what to do. */
import { BridgeError } from '@isthmus/bridge';
import { AgreementLost, VaultReadError } from '@isthmus/chains';
import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { Logger } from '@isthmus/store';
import type { Request, Response } from 'express';
import { BaseError } from 'viem';
import type { z } from 'zod';
import { PROBLEMS, type ProblemCode } from './problem-codes.js';
import type { ProblemBody } from './schemas.js';

/** A request that cannot be answered, said the way the API says it. */
export class Problem extends Error {
  constructor(
    readonly code: ProblemCode,
    detail: string,
    /** Each wrong field or query parameter by itself. */
    readonly errors?: NonNullable<ProblemBody['errors']>,
  ) {
    super(detail);
    this.name = 'Problem';
  }

  get status(): number {
    return PROBLEMS[this.code][0];
  }

  /** What is sent for a request of this path. */
  body(instance: string): ProblemBody {
    return {
      type: `urn:isthmus:problem:${this.code}`,
      title: PROBLEMS[this.code][1],
      status: this.status,
      detail: this.message,
      instance,
      code: this.code,
      ...(this.errors ? { errors: this.errors } : {}),
    };
  }
}

export const notFound = (what: string): Problem => new Problem('not-found', `There is no ${what} here.`);

/** Reads a body or a query by its schema. @throws Problem naming each wrong field or parameter. */
export function read<S extends z.ZodType>(schema: S, input: unknown, where: 'body' | 'query' = 'body'): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const errors = result.error.issues.map((i) => ({ name: i.path.join('.') || where, reason: i.message }));
  const called = (name: string): string => (where === 'query' && name !== where ? `query parameter ${name}` : name);
  throw new Problem('bad-request', errors.map((e) => `${called(e.name)}: ${e.reason}`).join('; '), errors);
}

/** A body whose field is wrong by what only its home chain knows; said as `read` says it. */
export const wrongField = (name: string, reason: string): Problem =>
  new Problem('bad-request', `${name}: ${reason}`, [{ name, reason }]);

/** Writes a problem as the answer. */
export function sendProblem(problem: Problem, request: Request, response: Response): void {
  if (problem.status === 401) response.setHeader('www-authenticate', 'Bearer');
  response
    .status(problem.status)
    .type('application/problem+json')
    .send(JSON.stringify(problem.body(`${request.baseUrl}${request.path}`))); // under a mount point, path lacks its part
}

@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const [request, response] = [http.getRequest<Request>(), http.getResponse<Response>()];
    const problem = toProblem(error);
    if (problem.status >= 500) this.log.error({ err: error, path: request.path }, 'a request failed');
    if (response.headersSent) {
      response.end();
      return;
    }
    sendProblem(problem, request, response);
  }
}

/** What a failure is called where it is told. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof BridgeError) return new Problem(isCode(error.code) ? error.code : 'bad-request', error.message);
  if (error instanceof HttpException) return fromStatus(error.getStatus(), error.message);
  if (error instanceof AgreementLost || error instanceof VaultReadError || error instanceof BaseError)
    return new Problem(
      'chain-unavailable',
      'The gateway’s sources of the chain do not answer alike; try again in a moment.',
    );
  const status =
    typeof error === 'object' && error !== null && 'status' in error && typeof error.status === 'number'
      ? error.status
      : 500;
  return fromStatus(
    status,
    status < 500 && error instanceof Error
      ? error.message
      : 'The gateway failed to answer; try again, and tell its operator if this goes on.',
  );
}

const isCode = (code: string): code is ProblemCode => Object.hasOwn(PROBLEMS, code);

const CODES: Readonly<Record<number, ProblemCode>> = {
  404: 'not-found',
  413: 'too-large',
  415: 'unsupported-media-type',
  429: 'too-many-requests',
  503: 'unavailable',
};

function fromStatus(status: number, detail: string): Problem {
  return new Problem(CODES[status] ?? (status < 500 ? 'bad-request' : 'internal'), detail);
}
