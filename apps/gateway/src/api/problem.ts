/** Errors as RFC 9457 problem details: a stable code, what is wrong, and what to do. */
import { BridgeError } from '@isthmus/bridge';
import { AgreementLost } from '@isthmus/chains';
import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { Logger } from '@isthmus/store';
import type { Request, Response } from 'express';
import { BaseError } from 'viem';
import { z } from 'zod';

/** A request that cannot be answered, said the way the API says it. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    detail: string,
  ) {
    super(detail);
    this.name = 'Problem';
  }
}

export const notFound = (what: string): Problem =>
  new Problem(404, 'not-found', 'Not found', `There is no ${what} here.`);

/** Reads input by its schema. @throws Problem naming each wrong field. */
export function read<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const detail = result.error.issues.map((i) => `${i.path.join('.') || 'body'}: ${i.message}`).join('; ');
  throw new Problem(400, 'bad-request', 'The request is not valid', detail);
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
    response
      .status(problem.status)
      .type('application/problem+json')
      .send(
        JSON.stringify({
          type: `urn:isthmus:problem:${problem.code}`,
          title: problem.title,
          status: problem.status,
          detail: problem.message,
          instance: request.path,
          code: problem.code,
        }),
      );
  }
}

function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof BridgeError) return new Problem(400, error.code, 'The request is not valid', error.message);
  if (error instanceof HttpException) return fromStatus(error.getStatus(), error.message);
  if (error instanceof AgreementLost || error instanceof BaseError)
    return new Problem(
      503,
      'chain-unavailable',
      'The chain cannot be read',
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

const TITLES: Readonly<Record<number, [code: string, title: string]>> = {
  400: ['bad-request', 'The request is not valid'],
  404: ['not-found', 'Not found'],
  413: ['too-large', 'The body is too large'],
  429: ['too-many-requests', 'Too many requests'],
  503: ['unavailable', 'Not ready'],
};

function fromStatus(status: number, detail: string): Problem {
  const [code, title] =
    TITLES[status] ??
    (status < 500 ? ['bad-request', 'The request is not valid'] : ['internal', 'Something failed here']);
  return new Problem(status, code, title, detail);
}
