/** JSON-RPC over HTTP and websocket on one port of loopback, batches included. */
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import WebSocket from 'ws';
import { CODE, RpcRefusal } from './error.js';
import { answer, type Node } from './methods.js';
import type { Source } from './source.js';
import { Subscriptions } from './subscriptions.js';

/** Questions in one batch, bytes of one body: a validator's are alike. */
const MAX_BATCH = 1_000;
const MAX_BODY = 1024 * 1024;
const MAX_CONNECTIONS = 500;
const REQUEST_MS = 30_000;
/** What a slow reader of notifications may have waiting. */
const MAX_WAITING = 8 * 1024 * 1024;

export interface Front {
  url: string;
  /** For `Connection`'s `wsEndpoint`: it would look one port above otherwise. */
  wsUrl: string;
  port: number;
  /** This source's own faults. */
  source: Source;
  close(): Promise<void>;
}

/** Serves a node on a port; 0 takes a free one. @throws Error when the port is taken */
export async function serveNode(node: Node, port: number): Promise<Front> {
  const sockets = new Set<Socket>();
  const server = http.createServer((request, response) => void respond(node, request, response));
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_MS;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const websockets = new WebSocket.Server({ server, maxPayload: MAX_BODY });
  websockets.on('connection', (socket) => listen(node, socket));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  const at = (server.address() as AddressInfo).port;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      websockets.close();
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  return { url: `http://127.0.0.1:${at}`, wsUrl: `ws://127.0.0.1:${at}`, port: at, source: node.source, close };
}

async function respond(node: Node, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  if (node.source.down) return void request.socket.destroy();
  const headers = {
    'content-type': 'application/json',
    'access-control-allow-origin': '*',
    'access-control-allow-headers': '*',
  };
  if (request.method === 'OPTIONS') return void response.writeHead(204, headers).end();
  if (request.method === 'GET' && request.url === '/health')
    return void response.writeHead(200, { ...headers, 'content-type': 'text/plain' }).end('ok');
  if (request.method !== 'POST') return void response.writeHead(405, headers).end();
  const body = await read(request).catch(() => null);
  if (body === null) return void response.writeHead(413, { ...headers, connection: 'close' }).end();
  response.writeHead(200, headers).end(JSON.stringify(reply(body, (method, params) => answer(node, method, params))));
}

function listen(node: Node, socket: WebSocket): void {
  const say = (value: unknown): void => {
    if (socket.bufferedAmount > MAX_WAITING) socket.terminate();
    else if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(value));
  };
  const subscriptions = new Subscriptions(node, say);
  socket.on('close', () => subscriptions.close());
  socket.on('error', () => socket.terminate());
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    const text = isBinary ? '' : data.toString('utf8'); // calls are text
    say(reply(text, (method, params) => subscriptions.answer(method, params) ?? answer(node, method, params)));
  });
}

async function read(request: http.IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_BODY) throw new RpcRefusal(CODE.request, 'too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

type Answering = (method: string, params: readonly unknown[]) => unknown;

function reply(body: string, answering: Answering): unknown {
  let asked: unknown;
  try {
    asked = JSON.parse(body);
  } catch {
    return refusal(null, new RpcRefusal(CODE.parse, 'Parse error'));
  }
  if (!Array.isArray(asked)) return one(asked, answering);
  if (asked.length === 0 || asked.length > MAX_BATCH)
    return refusal(null, new RpcRefusal(CODE.request, `A batch has 1 to ${MAX_BATCH} requests.`));
  return asked.map((single: unknown) => one(single, answering));
}

function one(asked: unknown, answering: Answering): unknown {
  const {
    id = null,
    method,
    params = [],
  } = (typeof asked === 'object' && asked !== null ? asked : {}) as Record<string, unknown>;
  if (typeof method !== 'string' || !Array.isArray(params))
    return refusal(id, new RpcRefusal(CODE.request, 'Invalid request'));
  try {
    return { jsonrpc: '2.0', result: answering(method, params), id };
  } catch (error) {
    return refusal(id, error);
  }
}

function refusal(id: unknown, error: unknown): unknown {
  const { code, message, data } =
    error instanceof RpcRefusal
      ? error
      : { code: CODE.internal, message: error instanceof Error ? error.message : 'Internal error', data: undefined };
  return { jsonrpc: '2.0', error: { code, message, ...(data === undefined ? {} : { data }) }, id };
}
