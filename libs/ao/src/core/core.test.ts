/** AO-Core over real HTTP: its own client, unmodified; answers and requests that are verifiable; requests no client would make. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { connect, createSigner } from '@permaweb/aoconnect';
import type { DataSource } from 'typeorm';
import {
  AoPipeline,
  AoUnitsModule,
  arweaveSigner,
  createItem,
  ed25519Signer,
  ethereumSigner,
  verifyAnswer,
  type EvaluationResult,
  type Item,
} from '../index.js';

const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 4096, publicExponent: 65537 });
const WALLET = privateKey.export({ format: 'jwk' }) as { kty: string; n: string; e: string };
const BOB = arweaveSigner(WALLET).address;
const BOOK = `
local balances, list = {}, {}
function handle(msg)
  if msg.Id == ao.id then return ao.send({ device = "patch@1.0", Name = "Book", balances = {} }) end
  local a = msg.Tags.Action
  if a == "Credit" then
    local account = msg.Tags.Account or msg.From
    balances[account] = tostring((tonumber(balances[account]) or 0) + tonumber(msg.Tags.Quantity))
    ao.send({ device = "patch@1.0", balances = { [account] = balances[account] }, holders = { last = account, count = 1, ok = true } })
  elseif a == "Balance" then
    ao.send({ Target = msg.From, Data = (balances[msg.Tags.Account or msg.From] or "0") .. "|" .. msg.Data })
  elseif a == "Fail" then
    ao.send({ device = "patch@1.0", balances = { [msg.From] = "999" } })
    error("on purpose")
  elseif a == "Show" then
    ao.send({ device = "patch@1.0", shown = load and "" or msg.Data })
  elseif a == "Many" then
    local many = {}
    for i = 1, 6000 do many["k" .. i] = tostring(i) end
    ao.send({ device = "patch@1.0", many = many })
  end
  return "said " .. tostring(a)
end`;

/** The part of the client used here; its own types say `any`. */
interface Client {
  spawn(a: object): Promise<string>;
  message(a: object): Promise<number | string | EvaluationResult>;
  result(a: object): Promise<EvaluationResult>;
  results(a: object): Promise<{ edges: { cursor: string; node: EvaluationResult }[] }>;
  dryrun(a: object): Promise<EvaluationResult>;
  request(a: object): Promise<Response>;
}

let cluster: TestCluster;
let database: DataSource;
let pipeline: AoPipeline;
let app: INestApplication;
let url: string;
let module: Item;
let client: Client;
let process_: string;

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${url}${path}`, { headers });
const tagsOf = (tags: Record<string, string>) => Object.entries(tags).map(([name, value]) => ({ name, value }));
const send = (tags: Record<string, string>, data = 'x') =>
  client.message({ process: process_, tags: tagsOf(tags), data });
const clientOf = (options: object): Client => connect({ MODE: 'mainnet', URL: url, ...options } as never) as never;

beforeAll(async () => {
  cluster = await testCluster();
  database = await openDatabase({ url: await cluster.fresh(), migrations: gatewayMigrations, applicationName: 'test' });
  await runMigrations(database);
  pipeline = new AoPipeline({
    database,
    schedulerSigner: SCHEDULER,
    messengerSigner: MESSENGER,
    workers: 1,
    onFailure: (_, error) => {
      throw error;
    },
  });
  await pipeline.start();
  app = await NestFactory.create(AoUnitsModule.register(pipeline), { logger: false });
  await app.listen(0, '127.0.0.1');
  url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
  const tags = tagsOf({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' });
  module = await createItem({ tags, data: BOOK }, ALICE);
  await pipeline.scheduler.schedule(module.raw);
  client = clientOf({ signer: createSigner(WALLET) });
  process_ = await client.spawn({ module: module.id, tags: tagsOf({ Name: 'Book' }) });
});
afterAll(async () => {
  await app?.close();
  await pipeline?.stop();
  await database?.destroy();
  await cluster.close();
});

describe("AO's own client in its mainnet mode", () => {
  it('spawns, sends, reads results, evaluates without effect', async () => {
    expect(process_).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(await (await get(`/su/processes/${process_}`)).json()).toMatchObject({
      tags: expect.arrayContaining([{ name: 'Scheduler', value: SCHEDULER.address }]),
    });
    const slot = await send({ Action: 'Credit', Quantity: '5' });
    expect(slot).toBe(1);
    expect(await client.result({ process: process_, slot })).toMatchObject({ Output: 'said Credit', Error: undefined });
    const id = (await client.message({
      process: process_,
      tags: tagsOf({ Action: 'Balance' }),
      data: 'hello',
      returnMessageId: true,
    })) as string;
    expect(id).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect((await client.result({ process: process_, message: id })).Messages).toMatchObject([
      { Target: BOB, Data: '5|hello' },
    ]);
    const full = await client.message({
      process: process_,
      tags: tagsOf({ Action: 'Balance' }),
      opts: { fullResponse: true },
    });
    expect(full).toMatchObject({ Messages: [{ Data: '5|1984' }] });
    const { edges } = await client.results({ process: process_ });
    expect(edges).toMatchObject([{ cursor: '3', node: { Messages: [{ Data: '5|1984' }] } }]);
    const read = await client.dryrun({
      process: process_,
      tags: tagsOf({ Action: 'Balance', Account: BOB }),
      data: 'a b',
    });
    expect(read.Messages).toMatchObject([{ Target: BOB, Data: '5|a b' }]);
    await client.dryrun({ process: process_, tags: tagsOf({ Action: 'Credit', Quantity: '7' }) });
    expect((await client.dryrun({ process: process_, tags: tagsOf({ Action: 'Balance' }) })).Messages[0]?.Data).toBe(
      '5|1984',
    );
    expect(await (await get(`/${process_}/slot/current`)).text()).toBe('3');
  });
});
