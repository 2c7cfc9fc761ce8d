/** What goes to Arweave and comes from it: transactions as its own client reads them, wallets, a bundling service, and gateways that answer badly. */
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { arweaveSigner } from '@isthmus/ao';
import { startArweave, walletOf, type Jwk, type LocalArweave } from '@isthmus/devnet';
import Arweave from 'arweave';
import { jest } from '@jest/globals';
import Transaction from 'arweave/node/lib/transaction.js';
import { validatePath } from 'arweave/node/lib/merkle.js';
import fc from 'fast-check';
import { sampleBundle, sampleSchedule, sampleSigner } from '../../harness.js';
import { ArweaveClient, ArweaveSource, BundlingServicePoster, readBundles, readWallet, type Poster } from '../index.js';
import { chunksOf, signTransaction } from './transaction.js';

let folder: string;
let walletFile: string;
let jwk: Jwk;
let arweave: LocalArweave;

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-client-'));
  walletFile = path.join(folder, 'wallet.json');
  [jwk, arweave] = await Promise.all([walletOf(walletFile), startArweave({ dir: path.join(folder, 'arweave') })]);
});
afterAll(async () => {
  await arweave.stop();
  fs.rmSync(folder, { recursive: true });
});

async function all<T>(given: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of given) found.push(one);
  return found;
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'went well',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );

describe('a transaction', () => {
  const at = { anchor: Buffer.alloc(32, 7).toString('base64url'), reward: 12_345n };
  const tags = [{ name: 'App-Name', value: 'Isthmus ü' }];
  /** Around the sizes at which chunks are cut. */
  const sizes = [1, 1000, 256 * 1024, 256 * 1024 + 1, 300_000, 2 * 256 * 1024, 1_000_000];

  it('is one that Arweave’s own client verifies, and not after anything of it changed', async () => {
    jest.spyOn(console, 'warn').mockImplementation(() => undefined); // that client says so there too
    const { transactions } = Arweave.init({});
    const header = await signTransaction(Buffer.alloc(300_000, 'x'), tags, at, arweaveSigner(jwk));
    const read = (change: object) => new Transaction.default({ ...header, ...change } as never);
    expect(await transactions.verify(read({}))).toBe(true);
    for (const change of [{ reward: '12346' }, { data_size: '300001' }, { tags: [] }, { last_tx: '' }])
      expect(await transactions.verify(read(change)).catch(() => false)).toBe(false);
  });

  it.each(sizes)('has its %i bytes in chunks with proofs of their places, from any on', async (size) => {
    const data = Buffer.from(Array.from({ length: size }, (_, i) => (i * 7) % 251));
    const { data_root } = await signTransaction(data, tags, at, arweaveSigner(jwk));
    const chunks = await all(chunksOf(data));
    expect(Buffer.concat(chunks.map((c) => Buffer.from(c.chunk, 'base64url'))).equals(data)).toBe(true);
    for (const chunk of chunks) {
      const proven = await validatePath(
        Buffer.from(data_root, 'base64url'),
        Number(chunk.offset),
        0,
        size,
        Buffer.from(chunk.data_path, 'base64url'),
      );
      expect(proven && proven.chunkSize).toBe(Buffer.from(chunk.chunk, 'base64url').length);
    }
    expect(await all(chunksOf(data, 1))).toEqual(chunks.slice(1));
  });
});

describe('a wallet file', () => {
  const file = (content: string, mode = 0o600): string => {
    const name = path.join(folder, `${fs.readdirSync(folder).length}.json`);
    fs.writeFileSync(name, content, { mode });
    fs.chmodSync(name, mode);
    return name;
  };

  it('is read when it is an Arweave key that nobody else reads', () => {
    expect(readWallet(walletFile).address).toBe(arweaveSigner(jwk).address);
  });

  it('is refused otherwise, and nothing of it is repeated', () => {
    const text = JSON.stringify(jwk);
    const short = JSON.stringify({ ...jwk, n: jwk.n.slice(4) });
    const other = JSON.stringify({ ...jwk, p: jwk.q });
    const files = [
      path.join(folder, 'none'),
      file(text, 0o644),
      file('no JSON'),
      file('{}'),
      file(short),
      file(text.slice(0, -9)),
    ];
    for (const name of files) {
      expect(() => readWallet(name)).toThrow(/Wallet file/);
      expect(() => readWallet(name)).not.toThrow(jwk.d.slice(0, 20));
    }
    // What node:crypto takes as a key cannot be told from a good one here; whatever it says, no part of the key is in it.
    try {
      readWallet(file(other));
    } catch (error) {
      expect(String(error)).not.toContain(jwk.d.slice(0, 20));
    }
  });
});

describe('a bundling service', () => {
  it('takes a bundle as one item, any number of times, and it is found and read like any other', async () => {
    const scheduler = sampleSigner('bundled');
    const schedule = await sampleSchedule('bundled', 5, scheduler);
    const { seal, bytes } = await sampleBundle(
      { sequence: 1, previous: null, parts: [{ schedule, from: 0, to: 4 }] },
      scheduler,
    );
    const client = new ArweaveClient(arweave.url);
    const poster: Poster = new BundlingServicePoster(`${arweave.url}/bundler`, client, arweaveSigner(jwk));
    const carrier = await poster.sign(bytes, { scheduler: scheduler.address, sequence: 1, seal: seal.item.id });
    expect(await poster.status(carrier.id)).toEqual({ state: 'unknown' });
    const parts: number[] = [];
    const send = () => poster.send(carrier, bytes, 0, (done) => Promise.resolve(void parts.push(done)));
    await send();
    await send();
    expect(parts).toEqual([1, 1]);
    await arweave.mine(3);
    expect(await poster.status(carrier.id)).toMatchObject({ state: 'mined', confirmations: 3 });
    expect(await client.data(carrier.id, 1_000_000)).toEqual(bytes);
    const read = await all(readBundles({ source: new ArweaveSource(arweave.url), scheduler: scheduler.address }));
    expect(read.map((b) => b.seal.item.id)).toEqual([seal.item.id]);
    expect([await poster.balance(), await poster.price(1)]).toEqual([null, null]);
  });

  it('that refuses says why', async () => {
    const client = new ArweaveClient(arweave.url);
    const poster = new BundlingServicePoster(`${arweave.url}/bundler`, client, arweaveSigner(jwk));
    const carrier = await poster.sign(Buffer.from('one thing'), { scheduler: 's', sequence: 1, seal: 'x' });
    expect(await codeOf(poster.send(carrier, Buffer.from('another thing'), 0, () => Promise.resolve()))).toBe(
      'refused',
    );
  });
});

describe('a gateway that answers badly', () => {
  let server: http.Server;
  let client: ArweaveClient;
  let reply: { status: number; body: Buffer | string; headers?: Record<string, string> };

  beforeAll(async () => {
    server = http.createServer((_, response) => {
      response.writeHead(reply.status, reply.headers ?? {}).end(reply.body);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    client = new ArweaveClient(`http://127.0.0.1:${(server.address() as { port: number }).port}/`);
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const asks: Record<string, () => Promise<unknown>> = {
    height: () => client.height(),
    anchor: () => client.anchor(),
    price: () => client.price(5),
    balance: () => client.balance('x'),
    status: () => client.status('x'),
    transaction: () => client.transaction('x'),
  };

  it.each(Object.keys(asks))('%s is not believed whatever it says', async (name) => {
    const ask = asks[name] as () => Promise<unknown>;
    const bodies = [
      '',
      'null',
      '[]',
      '-5',
      '1.5',
      '{"height":-1}',
      '{"height":"9"}',
      '{"data":{}}',
      '{"block_height":1}',
      '<html>',
      '0x10',
      'a'.repeat(200),
    ];
    for (const body of bodies) {
      reply = { status: 200, body };
      expect(await codeOf(ask())).toBe('malformed');
    }
    reply = { status: 200, body: Buffer.alloc(100_000, '1') };
    expect(await codeOf(ask())).toBe('too-large');
    for (const status of [429, 500, 503]) {
      reply = { status, body: 'away' };
      expect(await codeOf(ask())).toBe('unreachable');
    }
    reply = { status: 400, body: 'no\nnever' };
    expect(await codeOf(ask())).toBe('refused');
    reply = { status: 302, body: '', headers: { location: 'http://127.0.0.1:9/' } };
    expect(await codeOf(ask())).toBe('unreachable');
  });

  it('gives numbers of any size exactly', async () => {
    await fc.assert(
      fc.asyncProperty(fc.bigInt({ min: 0n, max: 10n ** 25n }), async (winston) => {
        reply = { status: 200, body: `${winston}\n` };
        expect(await client.price(1)).toBe(winston);
      }),
      { numRuns: 20 },
    );
  });

  it('never has its own lines in ours', async () => {
    reply = { status: 400, body: 'a\r\nb\u001b[2J' };
    await expect(client.height()).rejects.toThrow(/^http:\/\/127\.0\.0\.1:\d+ refused: HTTP 400 a b \[2J$/);
  });
});
