/** A gateway without units tells who reads where they are, and hands on what is written, byte for byte. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MAX_ITEM_BYTES } from '../items/index.js';
import { AoElsewhereModule } from './elsewhere.module.js';

let unit: http.Server;
let unitUrl: string;
let app: INestApplication;
let url: string;
let heard: { method: string; path: string; type: string; body: Buffer }[] = [];

beforeAll(async () => {
  unit = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url: path = '' } = request;
      heard.push({ method, path, type: request.headers['content-type'] ?? '', body: Buffer.concat(chunks) });
      if (path.includes('away')) response.destroy();
      else response.writeHead(path.includes('no') ? 400 : 202).end(path.includes('html') ? '<b>' : '{"id":"x"}');
    });
  });
  await new Promise<void>((resolve) => unit.listen(0, '127.0.0.1', resolve));
  unitUrl = `http://127.0.0.1:${(unit.address() as AddressInfo).port}/base`;
  const places = { mu: `${unitUrl}/mu`, cu: unitUrl, graphql: `${unitUrl}/graphql` };
  app = await NestFactory.create(AoElsewhereModule.register(places), { logger: false, bodyParser: false });
  await app.listen(0, '127.0.0.1');
  url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
});
afterAll(async () => {
  await app.close();
  unit.closeAllConnections();
  unit.close();
});
beforeEach(() => {
  heard = [];
});
const post = (path: string, body: Uint8Array<ArrayBuffer> | string, type = 'application/octet-stream') =>
  fetch(`${url}${path}`, { method: 'POST', body, headers: { 'content-type': type } });

it('reads are told where to go, within the unit', async () => {
  for (const rest of ['', '/results/p?limit=1&x=%2F', '//other@host', '?process-id=p']) {
    const answer = await fetch(`${url}/cu${rest}`, { redirect: 'manual' });
    expect(answer.status).toBe(307);
    expect(new URL(answer.headers.get('location') ?? '').origin).toBe(new URL(unitUrl).origin);
  }
  expect(heard).toEqual([]);
});

it('what is written arrives as it is, and the answer comes back as text or JSON, never as a page', async () => {
  const body = new Uint8Array([0, 255, 1, 2]);
  const answer = await post('/mu?process-id=p', body);
  expect([answer.status, await answer.json()]).toEqual([202, { id: 'x' }]);
  expect(heard).toEqual([
    { method: 'POST', path: '/base/mu?process-id=p', type: 'application/octet-stream', body: Buffer.from(body) },
  ]);
  await fetch(`${url}/mu/monitor/p`, { method: 'DELETE', body });
  expect(heard[1]).toMatchObject({ method: 'DELETE', path: '/base/mu/monitor/p' });
  const html = await post('/cu/no-html', '{}', 'application/json');
  expect([html.status, html.headers.get('content-type')]).toEqual([400, 'text/plain; charset=utf-8']);
});

it('says so where there is no such unit, it is away, or the body is too large', async () => {
  expect((await fetch(`${url}/su/x?process-id=x`)).status).toBe(501);
  expect((await post('/mu/away', 'x')).status).toBe(502);
  expect((await post('/mu', new Uint8Array(MAX_ITEM_BYTES + 1))).status).toBe(413);
});
