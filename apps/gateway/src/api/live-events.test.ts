/** X14 live events to a client that does not read them: it is cut off when a bounded lot waits for it, and others lose nothing. */
import 'reflect-metadata';
import { once } from 'node:events';
import type { Server } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import { SettlementStore } from '@isthmus/arweave';
import { NestFactory } from '@nestjs/core';
import { Module, type INestApplication } from '@nestjs/common';
import { Health } from '../health.js';
import { Homes } from '../homes/homes.js';
import { BookKeeper } from '../transfers/book-keeper.js';
import { TransferStore } from '../transfers/transfer-store.js';
import { MAX_UNREAD } from './stream-places.js';
import { CONFIG } from './tokens.js';
import { TransfersController } from './transfers.controller.js';

let app: INestApplication;
let server: Server;
let told: number;
afterEach(() => app.close());

/** A bridge on which more happens than anybody reads. */
async function serve(): Promise<void> {
  told = 0;
  const busy = {
    lastEvent: () => Promise.resolve(0n),
    events: async (after: bigint, _transfer: unknown, limit: number) => {
      await new Promise(setImmediate);
      told += limit * 1000;
      return Array.from({ length: limit }, (_, i) => ({
        id: String(after + BigInt(i) + 1n),
        transfer: 'x'.repeat(1000),
        state: 'seen',
        at: new Date(0),
      }));
    },
  };
  @Module({
    controllers: [TransfersController],
    providers: [
      { provide: CONFIG, useValue: {} },
      { provide: Homes, useValue: new Homes([]) },
      { provide: TransferStore, useValue: busy },
      { provide: BookKeeper, useValue: {} },
      { provide: Health, useValue: {} },
      { provide: SettlementStore, useValue: {} },
    ],
  })
  class Bridge {}
  app = await NestFactory.create(Bridge, { logger: false });
  server = (await app.listen(0, '127.0.0.1')) as Server;
}

async function reader(): Promise<{ client: Socket; closed: Promise<unknown> }> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined);
  client.write('GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n');
  const [socket] = await accepted;
  return { client, closed: once(socket, 'close') };
}

it('who reads nothing is cut off, and no more is read for it', async () => {
  await serve();
  const { client, closed } = await reader();
  client.pause();
  await closed;
  const before = told;
  // What the kernel took for it, and what may wait here.
  expect(before).toBeLessThan(32 * MAX_UNREAD);
  for (let i = 0; i < 20; i += 1) await new Promise(setImmediate);
  expect(told - before).toBeLessThanOrEqual(500_000);
});
