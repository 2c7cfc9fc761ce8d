/** Requests are express' own from the moment they are made, and so nothing has to make them so. */
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { AddressInfo } from 'node:net';
import { HttpAdapter } from './http-adapter.js';

@Module({})
class Nothing {}

it('a request and its response have the prototypes of express before express sees them', async () => {
  const app = await NestFactory.create<NestExpressApplication>(Nothing, new HttpAdapter(), { logger: false });
  const { request, response } = app.getHttpAdapter().getInstance() as unknown as Record<'request' | 'response', object>;
  const seen: boolean[] = [];
  app.getHttpServer().prependListener('request', (given: object, answer: object) => {
    seen.push(Object.getPrototypeOf(given) === request, Object.getPrototypeOf(answer) === response);
  });
  app.use((_: unknown, answer: { status: (code: number) => { json: (body: unknown) => void } }) =>
    answer.status(418).json({ ok: true }),
  );
  try {
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    const answer = await fetch(`http://127.0.0.1:${port}/x`, { method: 'POST', body: 'abc' });
    expect([answer.status, await answer.json()]).toEqual([418, { ok: true }]);
    expect(seen).toEqual([true, true]);
  } finally {
    await app.close();
  }
});
