/** Every failure of a unit is answered as `{error}`, as AO's own units do, with a status that says whose turn it is. */
import { Catch, HttpException, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { Response } from 'express';
import { QueryFailedError } from 'typeorm';
import { z } from 'zod';
import { ComputeError, type ComputeErrorCode } from '../compute/error.js';
import { HttpSignatureError } from '../core/http-signature.js';
import { ItemError } from '../items/index.js';
import { DeadLetterError } from '../messenger/dead-letters.js';
import { MonitorError, type MonitorErrorCode } from '../messenger/monitors.js';
import { ScheduleError } from '../scheduler/scheduler.js';

/** A request a unit cannot answer. */
export class UnitError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = 'UnitError';
  }
}

@Catch()
export class UnitErrors implements ExceptionFilter {
  private readonly log = new Logger('AO');

  catch(error: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    const { status, reason } = describeError(error);
    if (status === 500) this.log.error(error instanceof Error ? error.stack : String(error));
    if (status === 503) response.setHeader('retry-after', '1');
    response.status(status).json(this.body(reason, error));
  }

  protected body(reason: string, _error: unknown): object {
    return { error: reason };
  }
}

/** Status and text an error is answered with. */
export function describeError(error: unknown): { status: number; reason: string } {
  if (error instanceof UnitError) return { status: error.status, reason: error.message };
  if (error instanceof ItemError) return { status: error.code === 'too-large' ? 413 : 400, reason: error.message };
  if (error instanceof ScheduleError) return { status: scheduleStatus(error), reason: error.message };
  if (error instanceof ComputeError) return { status: COMPUTE_STATUS[error.code], reason: error.message };
  if (error instanceof MonitorError) return { status: MONITOR_STATUS[error.code], reason: error.message };
  if (error instanceof DeadLetterError) return { status: error.code === 'final' ? 409 : 404, reason: error.message };
  if (error instanceof HttpSignatureError) return { status: 400, reason: error.message };
  if (error instanceof z.ZodError) return { status: 400, reason: z.prettifyError(error) };
  if (error instanceof HttpException) return { status: error.getStatus(), reason: error.message };
  if (error instanceof QueryFailedError && codeOf(error.driverError) === NOT_TEXT)
    return { status: 400, reason: 'An id holds characters no id has.' };
  return { status: 500, reason: 'The gateway failed to answer; try again, and tell its operator if this goes on.' };
}

const COMPUTE_STATUS: Readonly<Record<ComputeErrorCode, number>> = {
  'unknown-process': 404,
  'unknown-message': 404,
  'too-long': 400,
  'not-ready': 503,
  overloaded: 503,
  stopped: 503,
};

const MONITOR_STATUS: Readonly<Record<MonitorErrorCode, number>> = {
  'bad-signature': 400,
  'wrong-request': 400,
  'wrong-process': 400,
  'bad-interval': 400,
  'too-often': 400,
  blocks: 501,
  'unknown-process': 404,
  'not-owner': 403,
  'too-many': 429,
};

/** PostgreSQL's code for text it cannot hold: a NUL in an id. */
const NOT_TEXT = '22021';

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}

function scheduleStatus({ code }: ScheduleError): number {
  if (code === 'overloaded') return 503;
  if (code === 'too-large') return 413;
  return code === 'unknown-process' || code === 'unknown-message' ? 404 : 400;
}
