/** JSON-RPC on loopback as a validator has it: HTTP on one port, websockets on the next, batches included. */
import http from 'node:http';
import type { Socket } from 'node:net';
import { freePorts } from '@isthmus/store';
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
  /** Of its RPC; websockets are on the next, where `Connection` looks for them. */
  port: number;
  /** This source's own faults. */
  source: Source;
  close(): Promise<void>;
}

/** Serves a node on a port, and its websockets on the next; 0 takes two free ones. @throws Error when one is taken */
export async function serveNode(node: Node, wanted: number): Promise<Front> {
  const port = wanted === 0 ? await freePorts(2) : wanted;
  const rpc = await listenAt(port, (request, response) => void respond(node, request, response));
  const websockets = await serveWebsockets(node, port + 1).catch(async (error: unknown) => {
    await rpc.close();
    throw error;
  });
  const close = async (): Promise<void> => void (await Promise.all([rpc.close(), websockets.close()]));
  return { url: `http://127.0.0.1:${port}`, port, source: node.source, close };
}

interface Listening {
  server: http.Server;
  close(): Promise<void>;
}

async function serveWebsockets(node: Node, port: number): Promise<Listening> {
  const listening = await listenAt(port, (_, response) => void response.writeHead(426).end());
  const websockets = new WebSocket.Server({ server: listening.server, maxPayload: MAX_BODY });
  websockets.on('connection', (socket) => listen(node, socket));
  return listening;
}

async function listenAt(port: number, answering: http.RequestListener): Promise<Listening> {
  const sockets = new Set<Socket>();
  const server = http.createServer(answering);
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_MS;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  return { server, close };
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
