/** Limits: each client has its own, by what its requests cost, and a proxy gives nobody this machine's privilege. */
import type { Server } from 'node:http';
import { isIPv6, type AddressInfo } from 'node:net';
import express from 'express';
import fc from 'fast-check';
import { Registry } from 'prom-client';
import { clientOf } from '@isthmus/ao';
import { groupOf, limits } from './limits.js';

const ID = 'A'.repeat(43);
const SOME = { rateLimit: 5, aoLimits: { items: 4, reads: 3, dryRuns: 2, searches: 1 }, limitLoopback: false };

let server: Server | undefined;
let registry: Registry;
async function serve(changes: object = {}, trustProxy?: string[]): Promise<void> {
  const app = express();
  if (trustProxy) app.set('trust proxy', trustProxy);
  registry = new Registry();
  app.use(limits({ ...SOME, ...changes }, registry), (_, response) => void response.send('served'));
  await new Promise<void>((resolve) => (server = app.listen(0, '127.0.0.1', () => resolve())));
}
afterEach(() => {
  server?.close().closeAllConnections();
});

async function ask(method: string, path: string, headers: Record<string, string> = {}) {
  const { port } = (server as Server).address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers });
  return { status: response.status, after: Number(response.headers.get('retry-after')), body: await response.text() };
}
const ROUTES: [method: string, path: string, most: number][] = [
  ['POST', '/mu', 4],
  ['GET', `/su/${ID}`, 3],
  ['POST', '/cu/dry-run', 2],
  ['POST', '/graphql', 1],
  ['GET', '/v1/assets', 5],
];

it('know what a request costs', () => {
  const groups: [string, string, string | null][] = [
    ['POST', '/mu', 'items'],
    ['POST', '/su', 'items'],
    ['DELETE', `/mu/monitor/${ID}`, 'items'],
    ['POST', `/${ID}~process@1.0/push`, 'items'],
    ['GET', `/su/${ID}`, 'reads'],
    ['GET', `/raw/${ID}`, 'reads'],
    ['GET', `/${ID}~process@1.0/now/balances`, 'reads'],
    ['GET', '/~meta@1.0/info/address', 'reads'],
    ['POST', '/cu/dry-run', 'dryRuns'],
    ['POST', `/${ID}~process@1.0/as=execution/compute&Action=Balance`, 'dryRuns'],
    ['POST', `/${ID}~process@1.0/compute/results=3`, 'reads'],
    ['POST', `/${ID}/schedule`, 'items'],
    ['POST', '/push', 'items'],
    ['POST', '/graphql', 'searches'],
    ['GET', '/graphql', 'searches'],
    ['GET', '/v1', 'api'],
    ['POST', '/v1/quotes', 'api'],
    ['GET', '/v1x', 'reads'],
    ['GET', '/docs', 'reads'],
    ['GET', '/info', 'reads'],
    ['PUT', '/', 'items'],
    ['GET', '/', null],
    ['GET', '/health', null],
    ['HEAD', '/ready', null],
    ['GET', '/metrics', null],
  ];
  for (const [method, path, group] of groups)
    expect([method, path, groupOf(method, path)]).toEqual([method, path, group]);
});

const TOLD_APART: [method: string, path: string][] = [
  ['GET', '/su'],
  ['POST', '/su'],
  ['GET', `/su/${ID}`],
  ['GET', `/su/${ID}/latest`],
  ['GET', `/su/processes/${ID}`],
  ['GET', '/su/timestamp'],
  ['POST', '/mu'],
  ['POST', `/mu/push/${ID}/0`],
  ['POST', `/mu/monitor/${ID}`],
  ['DELETE', `/mu/monitor/${ID}`],
  ['GET', `/cu/result/${ID}`],
  ['GET', `/cu/results/${ID}`],
  ['GET', `/cu/cron/${ID}`],
  ['POST', '/cu/dry-run'],
  ['POST', '/graphql'],
  ['GET', `/raw/${ID}`],
  ['GET', `/${ID}`],
  ['GET', '/info'],
  ['POST', '/push'],
  ['POST', '/schedule'],
  ['POST', `/${ID}~process@1.0/push`],
  ['POST', `/${ID}~process@1.0/compute/results=3`],
  ['POST', `/${ID}~process@1.0/as=execution/compute&Action=Balance`],
  ['GET', `/${ID}/now/balances`],
  ['GET', '/~meta@1.0/info'],
  ['GET', '/v1/transfers'],
  ['POST', '/v1/quotes'],
];
const SPELLINGS: [name: string, spell: (path: string) => string][] = [
  ['in capitals', (path) => path.toUpperCase()],
  ['with a slash at the end', (path) => `${path}/`],
  ['with two slashes at the end', (path) => `${path}//`],
  ['with two slashes', (path) => path.replaceAll('/', '//')],
  ['with a dot', (path) => path.replace('/', '/./')],
  ['with a letter encoded', (path) => path.replace(/[a-z]/i, (c) => `%${c.charCodeAt(0).toString(16)}`)],
  ['with a capital encoded', (path) => path.toUpperCase().replace(/[A-Z]/, (c) => `%${c.charCodeAt(0).toString(16)}`)],
  ['with its inner slashes encoded', (path) => `/${path.slice(1).replaceAll('/', '%2F')}`],
  ['with nonsense at the end', (path) => `${path}/%zz`],
];
describe.each(SPELLINGS)('X14 however it is spelled: %s', (_, spell) => {
  it('costs what it costs', () => {
    for (const [method, path] of TOLD_APART) {
      const spelled = spell(path);
      // What ends in nonsense places nothing: it is no AO-Core path of those.
      const plain =
        spelled.endsWith('/%zz') && /(push|schedule)$/.test(path) && path.includes(ID)
          ? 'reads'
          : groupOf(method, path);
      expect([method, spelled, groupOf(method, spelled)]).toEqual([method, spelled, plain]);
    }
  });

  it('what is not counted is so as it is written, and no other way', () => {
    for (const path of ['/health', '/ready', '/metrics'])
      expect(groupOf('GET', spell(path))).toBe(spell(path) === path ? null : 'reads');
  });
});

it('X14 whatever else is asked for has a limit', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS', 'PROPFIND'),
      fc.webPath(),
      (method, path) => {
        fc.pre(!['', '/', '/health', '/ready', '/metrics'].includes(path));
        expect(groupOf(method, path)).not.toBeNull();
      },
    ),
  );
});

it.each(['/SU', '/su/', '//su', '/%73u', '/Su//'])('X14 %s has no limit of its own', async (path) => {
  await serve({}, ['127.0.0.1']);
  const one = { 'x-forwarded-for': '192.0.2.1' };
  for (let i = 0; i < 4; i += 1) expect((await ask('POST', '/su', one)).status).toBe(200);
  expect((await ask('POST', path, one)).status).toBe(429);
});

it('count a customer’s addresses together, and no two customers', () => {
  expect(clientOf('::ffff:192.0.2.1')).toBe(clientOf('192.0.2.1'));
  expect(clientOf('192.0.2.1')).not.toBe(clientOf('192.0.2.2'));
  expect(clientOf('2001:db8::1')).toBe(clientOf('2001:0DB8:0:0:ffff::2'));
  expect(clientOf('2001:db8:0:1::1')).not.toBe(clientOf('2001:db8::1'));
  expect(clientOf('::1')).toBe('0:0:0:0::/64');
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      fc.pre(isIPv6(address) && !address.includes('.'));
      expect(clientOf(address)).toMatch(/^([0-9a-f]{1,4}:){4}:\/64$/);
    }),
  );
});

it.each(ROUTES)('%s %s is refused above its limit, for that client alone', async (method, path, most) => {
  await serve({}, ['127.0.0.1']);
  const one = { 'x-forwarded-for': '192.0.2.1' };
  for (let i = 0; i < most; i += 1) expect((await ask(method, path, one)).status).toBe(200);
  const { status, after, body } = await ask(method, path, one);
  expect([status, after > 0 && after <= 60]).toEqual([429, true]);
  // Each in the words of its API.
  const words = JSON.parse(body) as Record<string, unknown>;
  if (path.startsWith('/v1')) expect(words).toMatchObject({ code: 'too-many-requests', status: 429 });
  else expect(words).toEqual({ error: expect.stringContaining(`At most ${most} `) });
  expect((await ask(method, path, { 'x-forwarded-for': '192.0.2.2' })).status).toBe(200);
});

it('this machine’s own requests to the units are not counted, unless that is wanted', async () => {
  await serve();
  for (let i = 0; i < 6; i += 1) expect((await ask('POST', '/mu')).status).toBe(200);
  expect(await registry.metrics()).toContain('isthmus_ao_requests_total{group="items",status="2xx"} 6');
  server?.close();
  await serve({ limitLoopback: true });
  for (let i = 0; i < 4; i += 1) expect((await ask('POST', '/mu')).status).toBe(200);
  expect((await ask('POST', '/mu')).status).toBe(429);
  expect(await registry.metrics()).toContain('isthmus_ao_requests_total{group="items",status="4xx"} 1');
});

it.each(['x-forwarded-for', 'forwarded', 'x-real-ip', 'via'])(
  'a proxy nobody told of (%s) has no privilege, and its clients’ claims are not believed',
  async (header) => {
    await serve();
    for (let i = 0; i < 4; i += 1) expect((await ask('POST', '/mu', { [header]: `192.0.2.${i}` })).status).toBe(200);
    expect((await ask('POST', '/mu', { [header]: '192.0.2.99' })).status).toBe(429);
  },
);
