/**
 * Bodies of requests: read once, as bytes, each no larger than its route may have, all together no more than there is memory for, and
 * none longer than a client with a body to send takes.
 */
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { MAX_ITEM_BYTES } from '../items/index.js';
import { joined } from '../items/own-memory.js';
import { clientOf } from './client.js';
import { UnitError } from './errors.js';
import { Shares } from './shares.js';

/** Bytes of all bodies that are being read or answered. A dozen of the largest items: the memory of processes is the larger part by far. */
const MAX_BYTES = 128 * 1024 * 1024;
/** Of these, what one client may have. */
const MAX_BYTES_OF_ONE = MAX_BYTES / 2;
/** Ten megabytes on a line of four megabits a second. */
const DEADLINE_MS = 20_000;

/**
 * Pieces a body may come in: so many, and one more for each so many bytes. What arrives together is one piece, unless a sender cuts its chunked
 * encoding finer: each piece takes a call and an object, so that a few megabits of them would take the whole main thread.
 */
const PIECES = 256;
const BYTES_OF_A_PIECE = 256;

/** Bytes of the bodies under way, of all routes of a gateway. */
const ALL = new Shares(MAX_BYTES, MAX_BYTES_OF_ONE);

/** Why a body was not read. */
export type BodyRefusal = 'too-large' | 'too-slow' | 'in-crumbs' | 'busy' | 'encoded' | 'cut-short';

export const BODY_STATUS: Readonly<Record<BodyRefusal, number>> = {
  'too-large': 413,
  'too-slow': 408,
  'in-crumbs': 413,
  busy: 503,
  encoded: 415,
  'cut-short': 400,
};

export interface BodyOptions {
  /** Bytes of one body. */
  limit: number;
  /** Writes the refusal; its headers are set. */
  refuse: (why: BodyRefusal, reason: string, request: Request, response: Response) => void;
  bodies?: Shares;
  /** Milliseconds for the whole body. */
  deadlineMs?: number;
}

/** Middleware that leaves the body as a Buffer, and counts it until its request is answered. */
export function bodyReader({ limit, refuse, bodies = ALL, deadlineMs = DEADLINE_MS }: BodyOptions): RequestHandler {
  const reasons: Readonly<Record<BodyRefusal, string>> = {
    'too-large': `A body has at most ${limit} bytes.`,
    'too-slow': `A body is to be sent within ${deadlineMs / 1000} s.`,
    'in-crumbs': 'The body comes in too many small chunks: send it with a content-length.',
    busy: 'The gateway is taking as many bytes as it can hold: send it again in a moment.',
    encoded: 'Send the body as it is, without a content-encoding.',
    'cut-short': 'The body could not be read.',
  };
  return (request: Request, response: Response, next: NextFunction): void => {
    const { 'content-length': length, 'transfer-encoding': chunked, 'content-encoding': encoding } = request.headers;
    const no = (why: BodyRefusal): void => {
      if (response.headersSent || response.destroyed) return;
      if (why === 'busy') response.setHeader('retry-after', '1');
      // Nobody waits for what is still to come of it.
      if (why === 'too-slow' || why === 'in-crumbs') response.setHeader('connection', 'close');
      refuse(why, reasons[why], request, response);
    };
    if (request.readableEnded) return next(); // whoever has read it has left it
    if (length === undefined && chunked === undefined) {
      request.body = Buffer.alloc(0);
      return next();
    }
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return no('encoded');
    if (Number(length ?? 0) > limit) return no('too-large');

    const client = clientOf(request.ip ?? '');
    let chunks: Buffer[] = [];
    let held = 0;
    const give = (): void => {
      bodies.give(client, held);
      held = 0;
    };
    const end = (why: BodyRefusal | null): void => {
      clearTimeout(timer);
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      if (why === null) {
        request.body = joined(chunks);
        response.once('close', give);
        return next();
      }
      chunks = [];
      give();
      request.on('error', () => undefined).resume(); // the rest of it is dropped
      no(why);
    };
    const onData = (chunk: Buffer): void => {
      if (held + chunk.length > limit) return end('too-large');
      if (chunks.length >= PIECES + held / BYTES_OF_A_PIECE) return end('in-crumbs');
      if (!bodies.take(client, chunk.length)) return end('busy');
      held += chunk.length;
      chunks.push(chunk);
    };
    const onEnd = (): void => end(null);
    const onClose = (): void => end('cut-short');
    const timer = setTimeout(() => end('too-slow'), deadlineMs);
    request.on('data', onData).once('end', onEnd).once('close', onClose).once('error', onClose);
  };
}

/** In the units' words. A refusal to hold more is a problem of RFC 9457 as well, for those who ask again by its status. */
export const refuseAsUnit: BodyOptions['refuse'] = (why, reason, _, response) => {
  const status = BODY_STATUS[why];
  const problem = { type: 'urn:isthmus:problem:busy', title: 'Too much at once', status, detail: reason };
  response.status(status);
  if (why !== 'busy') response.json({ error: reason });
  else response.type('application/problem+json').send(JSON.stringify({ ...problem, error: reason }));
};

/** For the units' routes. */
export const rawBody: RequestHandler = bodyReader({ limit: MAX_ITEM_BYTES, refuse: refuseAsUnit });

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
