/** A source that does not answer is named by its place and host, with what to do, and never by an address that may hold a key. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { AuditError } from '../domain/error.js';
import { openClient, Sources } from './sources.js';

let server: http.Server;
let status: number;
let body: string;
let host: string;

beforeAll(async () => {
  server = http.createServer((_, response) => response.writeHead(status, { 'content-type': 'text/plain' }).end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

async function said(...urls: string[]): Promise<string> {
  try {
    await new Sources(urls, openClient).same('the block', (client) => client.getBlockNumber());
    return '';
  } catch (error) {
    if (error instanceof AuditError && error.code === 'unreachable') return error.message;
    throw error;
  }
}

it.each<[number, string, RegExp]>([
  [401, '', /: HTTP 401\. Is the key/],
  [429, '', /too many requests\. Wait/],
  [500, '', /: HTTP 500\. Try again, or name another source/],
  [200, JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32000, message: 'S3CRET' } }), /RPC error -32000/],
  [200, 'S3CRET', /Is this the address of an RPC/],
])(
  'HTTP %i %s',
  async (answered, text, words) => {
    [status, body] = [answered, text];
    const message = await said(`http://${host}/v2/S3CRET`);
    expect(message).toMatch(words);
    expect(message).toContain(`Source 1 of the chain, ${host}, does not say the block: `);
    expect(message).not.toMatch(/S3CRET|Error\b/);
  },
  30_000,
);

it('one that is not there, of several', async () => {
  [status, body] = [200, JSON.stringify({ jsonrpc: '2.0', id: 1, result: '0x1' })];
  expect(await said(`http://${host}/`)).toBe('');
  const closed = http.createServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const message = await said(`http://${host}/`, `http://127.0.0.1:${port}/S3CRET`);
  expect(message).toMatch(
    /^Source 2 of the chain, 127\.0\.0\.1:[0-9]+, .* cannot be reached \(ECONNREFUSED\)\. Is the address right/,
  );
  expect(message).not.toContain('S3CRET');
}, 30_000);
