/** Receipts from a real gateway, kept in files and checked on the command line. */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { jest } from '@jest/globals';
import { keySetOf, keysOf } from '@isthmus/ao';
import { depositId, depositReference } from '@isthmus/bridge';
import { createLogger, writeKeyFile } from '@isthmus/store';
import { CHAIN, GatewayStage, until } from '../../../gateway/harness.js';
import { startGateway } from '../../../gateway/src/app.js';
import { CommandError } from '../said.js';
import { receipt } from './receipt.js';
import { verify, type VerifyOptions } from './verify.js';

let world: GatewayStage;
let folder: string;
let id: string;
const RETIRED = Buffer.alloc(32, 3).toString('base64url');

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-receipts-'));
  const receiptKeyFile = path.join(folder, 'receipt.key');
  writeKeyFile(receiptKeyFile, `0x${'7'.repeat(64)}`);
  const retiredReceiptKeys = [{ key: RETIRED, until: '2026-01-01T00:00:00Z' }];
  world = await GatewayStage.open((config) => ({ ...config, receiptKeyFile, retiredReceiptKeys }));
  await world.stage.deposit(10n ** 18n);
  await world.mine(5);
  id = depositId(depositReference({ chain: CHAIN, vault: world.stage.vault, sequence: 1n }));
  await until('the deposit', async () => (await fetch(`${world.url}/v1/transfers/${id}`)).ok);
});
afterAll(async () => {
  await world.close();
  fs.rmSync(folder, { recursive: true });
});

/** What is printed, or said instead. */
async function said(act: () => Promise<void>): Promise<{ code: number; text: string }> {
  const printed: string[] = [];
  const log = jest.spyOn(console, 'log').mockImplementation((text: string) => void printed.push(text));
  const write = jest.spyOn(process.stdout, 'write').mockImplementation(((chunk: Buffer, done?: () => void) => {
    printed.push(chunk.toString('latin1'));
    done?.();
    return true;
  }) as typeof process.stdout.write);
  try {
    await act();
    return { code: 0, text: printed.join('\n') };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { code: error.exitCode, text: error.message };
  } finally {
    log.mockRestore();
    write.mockRestore();
  }
}

const kept = (text: string): string => {
  const file = path.join(folder, `${fs.readdirSync(folder).length}.http`);
  fs.writeFileSync(file, text, 'latin1');
  return file;
};
const check = (file: string, options: VerifyOptions = { key: world.url }) => said(() => verify(file, options));
const ask = () => said(() => receipt(id, { gateway: world.url }));

describe('a transfer’s receipt', () => {
  it('is good by the published keys, from a url, a file, or by the key itself, with the gateway gone or not', async () => {
    const file = kept((await ask()).text);
    const published = await world.get<object>('/v1/keys');
    const keys = path.join(folder, 'keys.json');
    fs.writeFileSync(keys, JSON.stringify(published));
    const [own] = keysOf(published);
    for (const key of [world.url, `${world.url}/v1/keys`, keys, own?.keyId]) {
      const { code, text } = await check(file, { key: key ?? '' });
      expect({ code, text }).toMatchObject({ code: 0, text: expect.stringContaining(`good: signed by ${own?.keyId}`) });
      expect(text).toContain(`deposit ${id} is`);
    }
    const asJson = await check(file, { key: keys, json: true });
    expect(JSON.parse(asJson.text)).toMatchObject({ good: true, status: 200, key: own?.keyId });
  });

  it('changed, for another, or by another key is not good; what cannot be checked has another exit code', async () => {
    const { text } = await ask();
    const tampered = kept(text.replace('1000000000000000000', '2000000000000000000'));
    expect(await check(tampered)).toMatchObject({ code: 1, text: expect.stringMatching(/NOT GOOD \(bad-digest\)/) });
    const status = kept(text.replace('200 OK', '404 OK'));
    expect(await check(status)).toMatchObject({ code: 1, text: expect.stringMatching(/NOT GOOD \(bad-signature\)/) });
    expect(await check(kept(text), { key: RETIRED })).toMatchObject({
      code: 1,
      text: expect.stringMatching(/wrong-key/),
    });
    const keys = path.join(folder, 'old.json');
    const [own] = keysOf(await world.get('/v1/keys'));
    fs.writeFileSync(keys, JSON.stringify(keySetOf([{ keyId: own?.keyId ?? '', until: 5000 }])));
    expect(await check(kept(text), { key: keys })).toMatchObject({ code: 1, text: expect.stringMatching(/old-key/) });
    expect(await check(kept('no answer'))).toMatchObject({ code: 1, text: expect.stringMatching(/malformed/) });
    for (const key of ['http://127.0.0.1:1', path.join(folder, 'none.json'), kept('{}'), `${world.url}/v1/chains`])
      expect(await check(kept(text), { key })).toMatchObject({ code: 2 });
    expect(await check(path.join(folder, 'none.http'))).toMatchObject({ code: 2 });
  });

  it('of none is refused in the gateway’s words', async () => {
    const { code, text } = await said(() => receipt(`0x${'0'.repeat(64)}`, { gateway: world.url }));
    expect({ code, text }).toMatchObject({ code: 1, text: expect.stringMatching(/no transfer of this id/) });
    expect(await said(() => receipt(id, { gateway: 'http://127.0.0.1:1' }))).toMatchObject({ code: 1 });
  });
});

describe('answers of /v1', () => {
  const get = (route: string, headers: Record<string, string> = {}) => fetch(`${world.url}${route}`, { headers });
  const PLEASE = { 'accept-signature': 'isthmus=()' };

  it('are signed for who asks only: lists, single ones, refusals, and what has not changed', async () => {
    const etag = (await get('/v1/chains')).headers.get('etag') ?? '';
    // A word on caches of its own, or fetch asks for an answer past all of them.
    const known = { 'if-none-match': etag, 'cache-control': 'max-age=0' };
    const unasked = await get('/v1/chains', known);
    expect([unasked.status, unasked.headers.get('signature')]).toEqual([304, null]);
    for (const route of [`/v1/transfers?limit=1`, `/v1/transfers/${id}`, '/v1/transfers/none', '/v1/chains']) {
      const response = await get(route, { ...PLEASE, ...known });
      const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`);
      const file = kept(`HTTP/1.1 ${response.status} X\n${lines.join('\n')}\n\n${await response.text()}`);
      expect(await check(file)).toMatchObject({ code: 0 });
      expect(response.headers.get('vary')).toMatch(/accept-signature/i);
    }
  });

  it('say what they answer: an empty page is not shown for one of another holder', async () => {
    const route = `/v1/transfers?address=0x${'1'.repeat(40)}`;
    const response = await get(route, PLEASE);
    const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`);
    const head = `HTTP/1.1 ${response.status} X\n${lines.join('\n')}`;
    const body = await response.text();
    const good = await check(kept(`${head}\n\n${body}`));
    expect([response.status, good.code]).toEqual([200, 0]);
    expect(good.text).toContain(route);
    const another = head.replace('1'.repeat(40), '2'.repeat(40));
    expect(another).not.toBe(head);
    expect(await check(kept(`${another}\n\n${body}`))).toMatchObject({ code: 1 });
    // Of a client's own choice, too.
    const covers = '("@status" "content-type" "content-digest" "date")';
    const own = await get(route, { 'accept-signature': `mine=${covers}` });
    expect(own.headers.get('signature-input')).toMatch(/^mine=\(.*"content-location"\)/);
  });

  it('that come in parts are not, nor what has no content', async () => {
    const stop = new AbortController();
    const headers = { ...PLEASE, 'last-event-id': '0' };
    const stream = await fetch(`${world.url}/v1/transfers/${id}/events`, { headers, signal: stop.signal });
    expect(stream.headers.get('signature')).toBeNull();
    expect((await stream.body?.getReader().read())?.value?.length).toBeGreaterThan(0);
    stop.abort();
    const head = await fetch(`${world.url}/v1/transfers/${id}`, { method: 'HEAD', headers: PLEASE });
    expect(head.headers.get('signature')).toBeNull();
  });

  it('name the keys, old ones with when they went out of use', async () => {
    const directory = await get('/.well-known/http-message-signatures-directory');
    const { keys } = (await directory.json()) as { keys: { kid: string; exp?: number }[] };
    expect(keys.map((key) => key.exp)).toEqual([undefined, Date.parse('2026-01-01T00:00:00Z') / 1000]);
    expect(keys[1]?.kid).toBe(RETIRED);
  });

  it('are receipts as the bytes come over the wire', async () => {
    const { hostname, port } = new URL(world.url);
    const socket = net.connect(Number(port), hostname);
    socket.write(`GET /v1/transfers/${id} HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept-signature: s=()\r\n\r\n`);
    const parts: Buffer[] = [];
    for await (const part of socket as AsyncIterable<Buffer>) parts.push(part);
    expect(await check(kept(Buffer.concat(parts).toString('latin1')))).toMatchObject({ code: 0 });
  });
});

it('a gateway without a receipt key signs nothing and has no keys', async () => {
  const { receiptKeyFile: _, ...config } = world.config;
  const plain = await startGateway({ ...config, homes: [] }, createLogger('plain', { write: () => undefined }));
  const said404 = await fetch(`${plain.url}/v1/keys`, { headers: { 'accept-signature': 'x=()' } });
  expect([said404.status, said404.headers.get('signature')]).toEqual([404, null]);
  const { code, text } = await said(() => receipt(id, { gateway: plain.url }));
  expect({ code, text }).toMatchObject({ code: 1, text: expect.stringMatching(/signs no receipts/) });
  await plain.stop();
});
