/** HTTP for a node: bodies read within their bounds, answers written, failures said in the node's own words. */
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { describeError, DocumentError } from '@isthmus/ao';
import type { Outages } from './outages.js';
import { Refused } from './refused.js';

/** Connections at once: far more than a stack and its tests have. */
const MAX_CONNECTIONS = 500;
/** A request comes whole within this. */
const REQUEST_MS = 60_000;

export interface Asked {
  method: string;
  /** The path's parts, decoded. */
  path: readonly string[];
  query: URLSearchParams;
  /** What the body is said to be. */
  type: string | null;
  /** The `Authorization` header. */
  authorization: string | null;
  /** The whole body. @throws Refused when it is longer */
  body: (most: number) => Promise<Buffer>;
}

export interface Answer {
  status: number;
  /** Text and bytes are sent as they are, anything else as JSON. */
  body: unknown;
  type?: string | undefined;
}

export interface Served {
  url: string;
  port: number;
  close(): Promise<void>;
}

/** Serves on loopback. `answer` gives null for a path there is not. @throws Error when the port is taken */
export async function serve(
  port: number,
  faults: Outages,
  answer: (asked: Asked) => Promise<Answer | null>,
): Promise<Served> {
  const sockets = new Set<Socket>();
  const server = http.createServer((request, response) => void respond(request, response, faults, answer));
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_MS;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  const at = (server.address() as AddressInfo).port;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy(); // some may be kept waiting on purpose
    });
  return { url: `http://127.0.0.1:${at}`, port: at, close };
}

async function respond(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  faults: Outages,
  answer: (asked: Asked) => Promise<Answer | null>,
): Promise<void> {
  const asked = read(request);
  const control = asked.path[0] === 'devnet';
  const outage = control ? undefined : faults.meet(`/${asked.path.join('/')}`);
  if (outage?.status === null) return;
  const reply = outage
    ? { status: outage.status, body: 'Service Unavailable' }
    : await answer(asked).then((found) => found ?? { status: 404, body: 'Request type not found.' }, describe);
  const bytes = Buffer.isBuffer(reply.body)
    ? reply.body
    : Buffer.from(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body));
  const type =
    reply.type ??
    (Buffer.isBuffer(reply.body)
      ? 'application/octet-stream'
      : typeof reply.body === 'string'
        ? 'text/plain; charset=utf-8'
        : 'application/json; charset=utf-8');
  // Whoever stops reading the body would else be cut off before the answer.
  const unread = request.complete ? {} : { connection: 'close' };
  const shared = control ? {} : { 'access-control-allow-origin': '*' };
  response.writeHead(reply.status, {
    'content-type': type,
    'content-length': bytes.length,
    ...shared,
    ...unread,
    ...reasonOf(reply),
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

function read(request: http.IncomingMessage): Asked {
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  return {
    method: request.method === 'HEAD' ? 'GET' : (request.method ?? 'GET'),
    path: url.pathname
      .split('/')
      .filter((part) => part !== '')
      .map(decoded),
    query: url.searchParams,
    type: request.headers['content-type'] ?? null,
    authorization: request.headers.authorization ?? null,
    body: (most) => bodyOf(request, most),
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // no path here has such a part
  }
}

async function bodyOf(request: http.IncomingMessage, most: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > most) throw new Refused(413, 'Payload too large', `A body has at most ${most} bytes here.`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

interface Failed extends Answer {
  reason?: string;
}

function describe(error: unknown): Failed {
  if (error instanceof Refused) return { status: error.status, body: error.said, reason: error.message };
  if (error instanceof DocumentError)
    return { status: 400, body: { errors: error.problems.map(({ message }) => ({ message })) } };
  if (error instanceof RangeError) return { status: 400, body: { error: error.message } };
  const { status, reason } = describeError(error);
  if (status === 500) console.error(error);
  return { status, body: { errors: [{ message: reason }] } };
}

/** Nodes do not say why; who develops against this one is told. */
function reasonOf({ reason }: Failed): Record<string, string> {
  return reason === undefined ? {} : { 'x-reason': encodeURIComponent(reason).replaceAll('%20', ' ').slice(0, 500) };
}
