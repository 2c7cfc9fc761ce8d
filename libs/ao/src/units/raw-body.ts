/** Bodies of the units' routes: read once, as bytes, never more than an item may have. */
import express, { type NextFunction, type Request, type Response } from 'express';
import { MAX_ITEM_BYTES } from '../items/index.js';
import { UnitError } from './errors.js';

const read = express.raw({ type: () => true, limit: MAX_ITEM_BYTES });

/** Middleware that leaves the body as a Buffer. A body that is too large or cut short is answered here, as `{error}`. */
export function rawBody(request: Request, response: Response, next: NextFunction): void {
  read(request, response, (error?: unknown) => {
    if (!error) return next();
    const status = statusOf(error);
    const reason = status === 413 ? `A body has at most ${MAX_ITEM_BYTES} bytes.` : 'The body could not be read.';
    response.status(status).json({ error: reason });
  });
}

/** The bytes of a request that went through `rawBody`. @throws UnitError when there are none. */
export function bytesOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body) && body.length > 0) return body;
  throw new UnitError(400, 'Send the raw bytes of a signed data item as the body (application/octet-stream).');
}

/** A JSON body, whoever has parsed it. @throws UnitError */
export function jsonOf(body: unknown): unknown {
  if (!Buffer.isBuffer(body)) return body;
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new UnitError(400, 'The body is not JSON.');
  }
}

function statusOf(error: unknown): number {
  const status = typeof error === 'object' && error !== null && 'status' in error ? error.status : undefined;
  return status === 413 ? 413 : 400;
}
