/**
 * AO-Core over HTTP: its paths are told apart by their form, so they come before routes and leave every other path to them. Every answer,
 * a refusal too, is signed.
 */
import { Injectable, Logger, type NestMiddleware } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { AoPipeline } from '../pipeline.js';
import { describeError } from '../units/errors.js';
import { rawBody } from '../units/raw-body.js';
import { CoreUnit, json, type CoreAnswer, type CoreRequest } from './core-unit.js';
import { joinFields, pairsOf } from './http-message.js';
import type { Signature } from './http-signature.js';
import type { CoreCall } from './paths.js';

/** What pages of other origins may read: the units carry no cookie and no secret. */
const OPEN = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': '*',
  'x-content-type-options': 'nosniff',
};
const PREFLIGHT = {
  'access-control-allow-methods': 'GET, POST, HEAD',
  'access-control-allow-headers': '*',
  'access-control-max-age': '86400',
};

@Injectable()
export class CoreMiddleware implements NestMiddleware {
  private readonly log = new Logger('AO-Core');
  private readonly unit: CoreUnit;

  constructor(private readonly pipeline: AoPipeline) {
    this.unit = new CoreUnit(pipeline);
  }

  use(request: Request, response: Response, next: NextFunction): void {
    const { method } = request;
    const call = CoreUnit.read({ target: request.originalUrl, method: method === 'HEAD' ? 'GET' : method });
    if (!call) return next();
    response.set(OPEN);
    if (method === 'OPTIONS') {
      response.status(204).set(PREFLIGHT).end();
      return;
    }
    rawBody(request, response, () => void this.respond(call, request, response).catch(next));
  }

  private async respond(call: CoreCall, request: Request, response: Response): Promise<void> {
    const asked = requestOf(request);
    let signatures: readonly Signature[] = [];
    let answer: CoreAnswer;
    try {
      signatures = this.unit.check(asked);
      answer = await this.unit.answer(call, asked, signatures);
    } catch (error) {
      answer = this.refusal(error);
    }
    const { answers } = this.pipeline;
    const fields = answers ? await answers.sign({ ...asked, signatures }, answer) : answer.fields;
    response.statusCode = answer.status;
    // Not by Express' own means, which would change what is signed.
    for (const [name, value] of Object.entries(fields)) response.setHeader(name, value);
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  private refusal(error: unknown): CoreAnswer {
    const { status, reason } = describeError(error);
    if (status === 500) this.log.error(error instanceof Error ? error.stack : String(error));
    return { ...json({ error: reason }, status === 503 ? { 'retry-after': '1' } : undefined), status };
  }
}

function requestOf(request: Request): CoreRequest {
  const body: unknown = request.body;
  return {
    method: request.method,
    target: request.originalUrl,
    // Fields as they came: Node itself drops repeats of some.
    fields: joinFields(pairsOf(request.rawHeaders)),
    body: Buffer.isBuffer(body) ? body : Buffer.alloc(0),
  };
}
