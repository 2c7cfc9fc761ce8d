/** X14 bodies under way: bounded one by one, together and in time; what is over is refused with when to come again, and nothing stays counted. */
import { once } from 'node:events';
import http, { type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type Response } from 'express';
import { BODY_STATUS, bodyReader, refuseAsUnit, type BodyOptions } from './raw-body.js';
import { Shares } from './shares.js';

let server: Server | undefined;
let bodies: Shares;
/** Requests that have come to the route and are not answered. */
let waiting: Response[];
let arrived: (() => void)[];
const refuseInOneWord: BodyOptions['refuse'] = (why, _reason, _request, response) =>
  void response.status(BODY_STATUS[why]).json({ why });
async function serve(deadlineMs?: number, refuse = refuseInOneWord): Promise<void> {
  const app = express();
  app.set('trust proxy', true);
  bodies = new Shares(1000, 600);
  [waiting, arrived] = [[], []];
  app.use(
    bodyReader({ limit: 500, bodies, refuse, ...(deadlineMs === undefined ? {} : { deadlineMs }) }),
    (request, response) => {
      if (request.path === '/wait') waiting.push(response);
      else response.json({ bytes: (request.body as Buffer).length });
      arrived.shift()?.();
    },
  );
  await new Promise<void>((resolve) => (server = app.listen(0, '127.0.0.1', () => resolve())));
}
afterEach(() => {
  server?.close().closeAllConnections();
});

interface Answer {
  status: number;
  retryAfter: string | undefined;
  type: string | undefined;
  said: { bytes?: number; why?: string; error?: string };
}
const CHUNKED = { 'transfer-encoding': 'chunked' };
/** Begins a request; what it is answered comes whenever it does. */
function begin(client: string, path = '/', headers: http.OutgoingHttpHeaders = {}) {
  const { port } = (server as Server).address() as AddressInfo;
  const request = http.request({
    port,
    path,
    method: 'POST',
    host: '127.0.0.1',
    headers: { 'x-forwarded-for': client, ...('content-length' in headers ? {} : CHUNKED), ...headers },
  });
  request.on('error', () => undefined);
  const answer = once(request, 'response').then(async ([response]: http.IncomingMessage[]): Promise<Answer> => {
    const { statusCode, headers: fields } = response as http.IncomingMessage;
    const text = (await (response as http.IncomingMessage).toArray()).join('');
    const said = JSON.parse(text) as Answer['said'];
    return { status: statusCode ?? 0, retryAfter: fields['retry-after'], type: fields['content-type'], said };
  });
  answer.catch(() => undefined);
  return { request, answer };
}
const send = (client: string, bytes: number, path?: string): Promise<Answer> => {
  const { request, answer } = begin(client, path);
  request.end(Buffer.alloc(bytes));
  return answer;
};
/** Until so many bytes are counted. */
async function counted(bytes: number): Promise<void> {
  while (bodies.taken !== bytes) await new Promise(setImmediate);
}

it('leaves bytes as they came, and none where there are none', async () => {
  await serve();
  expect((await send('1.1.1.1', 500)).said).toEqual({ bytes: 500 });
  expect((await send('1.1.1.1', 0)).said).toEqual({ bytes: 0 });
  await counted(0);
});

it('X14 one body is bounded, told beforehand or not', async () => {
  await serve();
  expect(await send('1.1.1.1', 501)).toMatchObject({ status: 413, said: { why: 'too-large' } });
  const { request, answer } = begin('1.1.1.1', '/', { 'content-length': '501' });
  request.flushHeaders();
  expect(await answer).toMatchObject({ status: 413 });
  await counted(0);
});

it('X14 what is compressed is not read: it could be anything', async () => {
  await serve();
  const { request, answer } = begin('1.1.1.1', '/', { 'content-encoding': 'gzip' });
  request.end(Buffer.alloc(10));
  expect(await answer).toMatchObject({ status: 415, said: { why: 'encoded' } });
});

it('X14 all bodies that are being sent are bounded together, and each client’s', async () => {
  await serve();
  const [one, two] = [begin('1.1.1.1'), begin('2.2.2.2')];
  one.request.write(Buffer.alloc(400));
  two.request.write(Buffer.alloc(300));
  await counted(700);
  // The client's own share first; then what there is for all.
  expect(await send('1.1.1.1', 250)).toMatchObject({ status: 503, retryAfter: '1', said: { why: 'busy' } });
  expect((await send('3.3.3.3', 250)).status).toBe(200);
  expect(await send('3.3.3.3', 350)).toMatchObject({ status: 503, said: { why: 'busy' } });
  one.request.end();
  two.request.end();
  expect([(await one.answer).said, (await two.answer).said]).toEqual([{ bytes: 400 }, { bytes: 300 }]);
  await counted(0);
  expect((await send('3.3.3.3', 450)).status).toBe(200);
});

it('X14 a body counts until it is answered, or its client has left', async () => {
  await serve();
  const here = new Promise<void>((resolve) => arrived.push(resolve));
  const one = send('1.1.1.1', 400, '/wait');
  await here;
  expect(await send('1.1.1.1', 300)).toMatchObject({ status: 503 });
  waiting[0]?.json({ bytes: 400 });
  expect((await one).said).toEqual({ bytes: 400 });
  await counted(0);
  const left = begin('1.1.1.1');
  left.request.write(Buffer.alloc(400));
  await counted(400);
  left.request.destroy();
  await counted(0);
  expect((await send('1.1.1.1', 300)).status).toBe(200);
});

it('X14 a body that does not come to its end is ended, and its connection with it', async () => {
  await serve(30);
  const { request, answer } = begin('1.1.1.1');
  request.write(Buffer.alloc(400));
  const closed = once(request, 'close');
  expect(await answer).toMatchObject({ status: 408, said: { why: 'too-slow' } });
  await closed;
  await counted(0);
});

it('X14 a body in crumbs is refused, and its connection ended: each costs as much as a large piece', async () => {
  await serve();
  const crumbs = (count: number, bytes: number) => {
    const sent = begin('1.1.1.1');
    for (let i = 0; i < count; i += 1) sent.request.write(Buffer.alloc(bytes));
    sent.request.end();
    return { ...sent, closed: once(sent.request, 'close') };
  };
  const [few, many] = [crumbs(250, 2), crumbs(300, 1)];
  expect((await few.answer).said).toEqual({ bytes: 500 });
  expect(await many.answer).toMatchObject({ status: 413, said: { why: 'in-crumbs' } });
  await many.closed;
  await counted(0);
});

it('X14 units say so in their words, and as a problem with when to come again', async () => {
  await serve(undefined, refuseAsUnit);
  expect(await send('1.1.1.1', 501)).toMatchObject({ status: 413, said: { error: 'A body has at most 500 bytes.' } });
  const one = begin('1.1.1.1');
  one.request.write(Buffer.alloc(400));
  await counted(400);
  const { status, retryAfter, type, said } = await send('1.1.1.1', 300);
  expect([status, retryAfter, type]).toEqual([503, '1', 'application/problem+json; charset=utf-8']);
  expect(said).toEqual({
    type: 'urn:isthmus:problem:busy',
    title: expect.any(String),
    status: 503,
    detail: expect.any(String),
    error: expect.any(String),
  });
});
