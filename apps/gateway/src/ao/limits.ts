/**
 * How many requests one client may make in a minute, by what they cost.
 * This machine itself is not counted (its guardians and its operator's tools post many), unless what comes from it was passed on by a proxy.
 */
import { clientOf } from '@isthmus/ao';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { Counter, type Registry } from 'prom-client';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { Problem, sendProblem } from '../api/problem.js';
import { isOurs } from '../api/origin.js';
import type { GatewayConfig } from '../config.js';

const WINDOW_SECONDS = 60;

type Group = 'api' | keyof GatewayConfig['aoLimits'];

/** All that is not counted: the page's first file, and what tells whoever watches this gateway how it does. As it is spelled here and no other way. */
const NOT_COUNTED = new Set(['/', '/health', '/ready', '/metrics']);

/**
 * What a request costs; null for what is not counted. Whatever is not told apart here is a read or a writing as any other: a way to spell a
 * path that nobody thought of has a limit all the same.
 */
export function groupOf(method: string, path: string): Group | null {
  const isRead = method === 'GET' || method === 'HEAD';
  if (isRead && NOT_COUNTED.has(path)) return null;
  const segments = plainSegments(path);
  const [first = '', second] = segments;
  if (first === 'v1') return 'api';
  if (first === 'graphql') return 'searches';
  if ((first === 'cu' && second === 'dry-run') || segments.some((s) => s.startsWith('as=execution'))) return 'dryRuns';
  if (isRead) return 'reads';
  // AO-Core's clients post their reads too.
  const last = segments.at(-1);
  return /^(~|[a-z0-9_-]{43})/.test(first) && last !== 'push' && last !== 'schedule' ? 'reads' : 'items';
}

/** A path as the router may read it: it minds neither case nor a slash at the end, and others on the way to it may mind less. */
function plainSegments(path: string): string[] {
  return path
    .split('/')
    .map(decoded)
    .flatMap((s) => s.toLowerCase().split('/'))
    .filter((s) => s !== '' && s !== '.');
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

type Limited = Pick<GatewayConfig, 'rateLimit' | 'aoLimits' | 'limitLoopback'>;

/** Refuses what is above the limits with 429 and when to come again, and counts the units' requests. */
export function limits({ rateLimit, aoLimits, limitLoopback }: Limited, registry: Registry): RequestHandler {
  const requests = new Counter({
    name: 'isthmus_ao_requests_total',
    help: 'Requests to the AO units',
    labelNames: ['group', 'status'],
    registers: [registry],
  });
  const points: Record<Group, number> = { api: rateLimit, ...aoLimits };
  const limiters = Object.fromEntries(
    Object.entries(points).map(([group, most]) => [
      group,
      new RateLimiterMemory({ points: most, duration: WINDOW_SECONDS }),
    ]),
  ) as Record<Group, RateLimiterMemory>;
  return (request: Request, response: Response, next: NextFunction): void => {
    const group = groupOf(request.method, request.path);
    if (group === null) return next();
    if (group !== 'api')
      response.once('finish', () => requests.inc({ group, status: `${Math.trunc(response.statusCode / 100)}xx` }));
    if (group !== 'api' && !limitLoopback && isOurs(request)) return next();
    limiters[group].consume(clientOf(request.ip ?? '')).then(
      () => next(),
      (refused: { msBeforeNext?: number }) => {
        response.setHeader('retry-after', String(Math.ceil((refused.msBeforeNext ?? WINDOW_SECONDS * 1000) / 1000)));
        const detail = `At most ${points[group]} requests of this kind a minute; wait a moment.`;
        if (group === 'api') sendProblem(new Problem('too-many-requests', detail), request, response);
        else response.status(429).json({ error: detail });
      },
    );
  };
}
