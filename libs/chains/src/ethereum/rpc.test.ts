/** The pool of sources against sources that lie, fail, flood and hang: enough honest ones are heard, and too few are never enough. */
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { encodeFunctionData, type Hex } from 'viem';
import { failure, hex, pool, Source, VaultChain, type RawBehaviour } from './harness.js';
import { AgreementLost, RpcPool, type BlockRef, type Finality } from './rpc.js';
import { vaultAbi } from './vault-abi.js';
import type { RawLog } from './vault.js';

const HEAD = 12;
const SEQUENCE = encodeFunctionData({ abi: vaultAbi, functionName: 'sequence' });
/** Short, for sources that hang: what is waited for in vain. */
const SHORT = { timeoutMs: 1_500 };

let chain: VaultChain;
let sources: [Source, Source, Source];
let truth: { final: BlockRef; logs: RawLog[] };

beforeAll(async () => {
  chain = await VaultChain.open();
  await chain.depositTogether([5n, 6n, 7n]);
  await chain.mine(HEAD - Number(await chain.head()));
  truth = { final: await pool([chain.anvil], 1).finalized(), logs: await chain.logs() };
});
afterAll(() => chain.anvil.stop());
beforeEach(async () => {
  const { url } = chain.anvil;
  sources = [await Source.open(url), await Source.open(url), await Source.open(url)];
});
afterEach(async () => {
  await Promise.all(sources.map((s) => s.close()));
});

/** Everything a watcher asks. */
async function askAll(over: RpcPool): Promise<[BlockRef, RawLog[], Hex]> {
  const final = await over.finalized();
  return [final, await over.logs(chain.vault, 0n, final), await over.call(chain.vault, SEQUENCE, final.number)];
}

async function expectTruth(over: RpcPool): Promise<void> {
  const [final, logs, sequence] = await askAll(over);
  expect(final).toEqual(truth.final);
  expect(logs).toMatchObject(truth.logs.map((l) => ({ data: l.data, topics: l.topics, blockHash: l.blockHash })));
  expect(BigInt(sequence)).toBe(3n);
}

/** Alone such a source is no source; among three it changes nothing. */
async function expectUnheard(reason: string | RegExp, finality?: Finality): Promise<void> {
  const options = { ...SHORT, ...(finality ? { finality } : {}) };
  await expectTruth(pool(sources, 2, options));
  const lost = await failure(askAll(pool([sources[0]], 1, options)));
  expect(lost).toBeInstanceOf(AgreementLost);
  expect(lost.message).toMatch(reason);
}

describe('configuration', () => {
  it.each([0, 4, -1])('an agreement of %i of three sources is refused', (agreement) => {
    expect(() => pool(sources, agreement)).toThrow('it lies between 1 and');
  });

  it('E8 one source named twice is refused: it would agree with itself', () => {
    expect(() => pool([sources[0], sources[1], sources[0]], 2)).toThrow('names a source twice');
    const options = { agreement: 1, chainId: 1, finality: { confirmations: 1 } };
    expect(() => new RpcPool({ ...options, urls: ['http://LOCALHOST:80/', 'http://localhost'] })).toThrow('twice');
  });
});

function json(body: string): RawBehaviour {
  return (response) => void response.end(body);
}

describe('answers that are none', () => {
  it.each<[string, RawBehaviour, string | RegExp]>([
    ['no JSON', json('<html>hello</html>'), 'not JSON'],
    ['half an answer', json('{"jsonrpc":"2.0","id":1,"result":{"number":'), 'not JSON'],
    ['nothing', json(''), 'not JSON'],
    ['null', json('null'), 'something else'],
    ['a number', json('7'), 'something else'],
    ['no result', json('{"jsonrpc":"2.0","id":1}'), 'no result'],
    ['null as its result', json('{"result":null}'), 'something else as a chain id'],
    ['an array as its result', json('{"result":[]}'), 'something else as a chain id'],
    ['a very deep answer', json('['.repeat(1_000_000)), 'not JSON'],
    ['an error without words', json('{"error":true}'), 'no reason'],
    ['HTTP 429', (response) => void response.writeHead(429).end('slow down'), 'HTTP 429'],
    ['HTTP 500', (response) => void response.writeHead(500).end('{"result":"0x7a69"}'), 'HTTP 500'],
    ['a closed connection', (response) => void response.destroy(), 'does not answer'],
  ])('E20 a source that answers with %s does not count', async (_, raw, reason) => {
    sources[0].raw = raw;
    await expectUnheard(reason);
  });

  it('E20 a source that refers to another is not followed', async () => {
    sources[0].raw = (response) => void response.writeHead(307, { location: sources[1].url }).end();
    await expectUnheard('does not answer');
  });

  it.each<[string, string, (truth: Record<string, unknown>) => unknown]>([
    ['another block than asked for', 'eth_getBlockByNumber', () => chain.block('0x3')],
    ['a decimal block number', 'eth_getBlockByNumber', (block) => ({ ...block, number: String(HEAD) })],
    ['a JSON number', 'eth_getBlockByNumber', (block) => ({ ...block, number: HEAD })],
    ['a leading zero', 'eth_getBlockByNumber', (block) => ({ ...block, timestamp: '0x01' })],
    ['a quantity beyond 64 bits', 'eth_getBlockByNumber', (block) => ({ ...block, number: `0x1${'0'.repeat(16)}` })],
    ['a short hash', 'eth_getBlockByNumber', (block) => ({ ...block, hash: '0x12' })],
    ['another hash', 'eth_getBlockByNumber', (block) => ({ ...block, hash: `0x${'12'.repeat(32)}` })],
    ['another time', 'eth_getBlockByNumber', (block) => ({ ...block, timestamp: '0x1' })],
    ['an object as logs', 'eth_getLogs', () => ({ length: 1, 0: {} })],
    ['null as a log', 'eth_getLogs', () => [null]],
    ['a log without topics', 'eth_getLogs', () => [{ ...truth.logs[0], topics: undefined }]],
    ['a log with a list as a topic', 'eth_getLogs', () => [{ ...truth.logs[0], topics: [truth.logs[0]?.topics] }]],
    ['a log without a block', 'eth_getLogs', () => [{ ...truth.logs[0], blockNumber: null }]],
    ['a log with odd data', 'eth_getLogs', () => [{ ...truth.logs[0], data: '0x123' }]],
    ['another value', 'eth_call', () => `0x${'9'.padStart(64, '0')}`],
    ['a number as a value', 'eth_call', () => 3],
  ])('E20 %s changes nothing', async (what, method, alter) => {
    sources[0].lie(method, (honest) => alter(honest as Record<string, unknown>));
    await expectTruth(pool(sources, 2));
    const believable = /^another (hash|time|value)$/.test(what); // well-formed: alone, it is believed
    if (!believable) expect(await failure(askAll(pool([sources[0]], 1)))).toBeInstanceOf(AgreementLost);
  });

  it('E20 E5 logs that are not of one chain are no answer', async () => {
    const second = truth.logs[2] as RawLog;
    altered({ blockHash: `0x${'12'.repeat(32)}`, blockNumber: second.blockNumber });
    await expectUnheard('logs of two blocks');
    altered({ blockHash: `0x${'12'.repeat(32)}`, blockNumber: hex(truth.final.number) }); // the block agreed on
    await expectUnheard('logs of two blocks');
    altered({ blockNumber: hex(truth.final.number + 1n) });
    await expectUnheard('logs of other blocks');
    altered({ removed: true });
    await expectUnheard('taken back');
    altered({ address: `0x${'12'.repeat(20)}` });
    await expectUnheard('another contract');
    altered({ blockNumber: second.blockNumber, blockHash: second.blockHash, logIndex: second.logIndex });
    await expectUnheard('one log twice');
  });

  it('E20 E17 a source of another chain does not count', async () => {
    sources[0].lie('eth_chainId', () => '0x1');
    await expectUnheard('it serves chain 1, not 31337');
  });

  it('E20 a finalized head ahead of its own blocks does not count', async () => {
    const finality: Finality = { tag: 'finalized' };
    sources[0].lie('eth_getBlockByNumber', async (honest, { params }) =>
      params[0] === 'finalized' ? { ...(honest as object), number: hex(BigInt(HEAD) + 1n) } : honest,
    );
    await expectUnheard('ahead of its own chain', finality);
  });

  it('E20 a head that nobody else has does not count, also when its blocks are made up', async () => {
    sources[0].lie('eth_getBlockByNumber', async (honest, { params }) =>
      params[0] === 'latest' ? { ...(honest as object), number: '0xffff' } : (honest ?? madeUp(params[0] as Hex)),
    );
    await expectTruth(pool(sources, 2));
    expect((await pool(sources, 2).latest()).number).toBe(BigInt(HEAD));
  });
});

/** Altered logs of some bytes more each, in a field nobody asked for. */
function padded(bytes: number): (honest: unknown) => object[] {
  return (honest) => (honest as RawLog[]).map((l) => ({ ...l, note: 'x'.repeat(bytes) }));
}

/** The first source alters one log of its answers. */
function altered(change: Partial<RawLog>): void {
  sources[0].honest();
  sources[0].lie('eth_getLogs', (honest) => (honest as RawLog[]).map((l, i) => (i === 1 ? { ...l, ...change } : l)));
}

const madeUp = (number: Hex): object => ({ number, hash: `0x${'ab'.repeat(32)}`, timestamp: '0x1' });

describe('answers without end', () => {
  const CHUNK = Buffer.alloc(1024 * 1024, 0x20);
  let written: number;

  /** Writes on as long as somebody reads. */
  const flood: RawBehaviour = (response) => {
    response.on('error', () => undefined);
    const more = (): void => {
      while (!response.destroyed) {
        written += CHUNK.length;
        if (!response.write(CHUNK)) break;
      }
    };
    response.on('drain', more);
    more();
  };

  beforeEach(() => {
    written = 0;
  });

  it('E20 a body without a length is read only so far', async () => {
    sources[0].raw = flood;
    const lost = await failure(pool([sources[0]], 1).finalized());
    expect(lost.message).toContain('too large');
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });

  it('E20 a body that unpacks to more than it may is read only so far', async () => {
    const packed = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20));
    sources[0].raw = (response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed);
    await expectUnheard('too large');
  });

  it('E20 an announced length is not believed', async () => {
    const body = '{"result":"0x7a69"}';
    sources[0].raw = (response) => void response.writeHead(200, { 'content-length': 10 ** 9 }).write(body);
    await expectUnheard('no answer within 1500 ms');
  });

  it('E20 logs may be larger than other answers, but not without bound', async () => {
    const over = pool([sources[0]], 1);
    sources[0].lie('eth_getLogs', padded(2 ** 20));
    await expectTruth(over);
    sources[0].lie('eth_getLogs', padded(2 ** 23));
    expect((await failure(askAll(over))).message).toContain('too large');
  });
});

describe('answers that do not come', () => {
  it('E20 a source that hangs does not count when its time is over', async () => {
    sources[0].hang();
    await expectUnheard('no answer within 1500 ms');
  });

  it('E20 a source that answers byte by byte has no more time than others', async () => {
    sources[0].raw = (response) => {
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drip));
    };
    await expectUnheard('no answer within 1500 ms');
  });

  it('E20 one that hangs does not hold up those that agree', async () => {
    const over = pool(sources, 2, { timeoutMs: 600_000 });
    await over.finalized();
    sources[0].hang();
    for (const question of [() => over.block(1n), () => over.finalized(), () => over.latest()]) {
      const before = sources[0].asked.length;
      await question();
      expect(sources[0].asked.length).toBeGreaterThan(before);
      expect(sources[0].waiting).toBeGreaterThan(0); // it still had time
    }
  });

  it('E20 questions nobody waits for any more are given up', async () => {
    const over = pool(sources, 2, { timeoutMs: 600_000 });
    const closed = new Promise<void>((resolve) => {
      sources[0].raw = (response) => void once(response, 'close').then(() => resolve());
    });
    await over.block(1n);
    await closed; // long before its time is over
    expect(sources[0].waiting).toBe(0);
  });
});

describe('agreement', () => {
  it('X10 with fewer sources than must agree it stops, and goes on when they are back', async () => {
    const over = pool(sources, 2, SHORT);
    await expectTruth(over);
    sources[0].fail();
    await expectTruth(over);
    sources[1].fail();
    const questions = [
      () => over.finalized(),
      () => over.latest(),
      () => over.block(1n),
      () => over.logs(chain.vault, 0n, truth.final),
      () => over.call(chain.vault, SEQUENCE, truth.final.number),
    ];
    for (const question of questions)
      expect(await failure(question())).toMatchObject({ code: 'agreement-lost', agreeing: 1, required: 2 });
    sources[1].honest();
    await expectTruth(over);
    sources[0].honest();
    await expectTruth(over);
  });

  it('X10 two against two is no agreement', async () => {
    const fourth = await Source.open(chain.anvil.url);
    try {
      for (const source of [sources[0], sources[1]]) source.lie('eth_call', () => `0x${'9'.padStart(64, '0')}`);
      const over = pool([...sources, fourth], 2);
      const final = await over.finalized();
      const lost = await failure(over.call(chain.vault, SEQUENCE, final.number));
      expect(lost).toMatchObject({ code: 'agreement-lost', contradiction: true });
      sources[0].honest();
      expect(BigInt(await over.call(chain.vault, SEQUENCE, final.number))).toBe(3n);
    } finally {
      await fourth.close();
    }
  });

  it('X10 with one source required, a second that contradicts it stops all the same', async () => {
    sources[0].lie('eth_call', () => `0x${'9'.padStart(64, '0')}`);
    const over = pool([sources[0], sources[1]], 1);
    const final = await over.finalized();
    expect(await failure(over.call(chain.vault, SEQUENCE, final.number))).toMatchObject({ contradiction: true });
  });

  it('I5 about a final height only sources are heard that hold it final themselves', async () => {
    // One lags: it has the block as its newest, and nobody knows whether it will stay.
    const height = truth.final.number;
    sources[1].lie('eth_getBlockByNumber', (honest, { params }) =>
      params[0] === 'latest' ? chain.block(hex(height)) : BigInt(params[0] as Hex) > height ? null : honest,
    );
    const wrong = `0x${'9'.padStart(64, '0')}`;
    for (const source of [sources[0], sources[1]]) source.lie('eth_call', () => wrong);
    const over = pool(sources, 2);
    expect(await over.finalized()).toEqual(truth.final);
    expect(await failure(over.call(chain.vault, SEQUENCE, height))).toBeInstanceOf(AgreementLost);
    // Once the one that lags has caught up, it is heard again.
    sources[1].honest();
    expect(await over.finalized()).toEqual(truth.final);
    expect(BigInt(await over.call(chain.vault, SEQUENCE, height))).toBe(3n);
  });

  it('I5 one that claims more than it shows cannot keep the others from agreeing on less', async () => {
    const behind = BigInt(HEAD) - 2n;
    sources[0].lie('eth_getBlockByNumber', (honest, { params }) => {
      if (params[0] === 'latest') return honest;
      throw new Error('not today');
    });
    sources[1].lie('eth_getBlockByNumber', (honest, { params }) =>
      params[0] === 'latest' ? chain.block(hex(behind)) : honest,
    );
    expect((await pool(sources, 2).finalized()).number).toBe(behind - 2n);
  });
});

describe('what is said about sources', () => {
  it('X13 names neither their addresses nor more than a line of their words', async () => {
    sources[0].behaviour = () => {
      throw new Error(`first line\n{"level":"error"}\u202e\u0000${'x'.repeat(100_000)}`);
    };
    sources[1].fail();
    const lost = await failure(pool(sources.slice(0, 2), 2).finalized());
    expect(lost.message).toContain('source 1: it refuses eth_chainId: first line {"level":"error"} xxx');
    for (const hidden of ['secret-key', '127.0.0.1', '\n', '\u0000', '\u202e'])
      expect(lost.message).not.toContain(hidden);
    expect(lost.message.length).toBeLessThan(500);
  });
});
