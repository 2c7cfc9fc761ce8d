/** What `isthmus replay` says: how far it is, what differs, and what it could not do. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ReplayReport } from '@isthmus/arweave';
import { differences } from './replay-compare.js';
import { ProgressLine } from './replay-progress.js';
import { replay } from './replay.js';

const progress = { phase: 'reading', bundles: 3, of: 6, slots: 1000, evaluated: 500 } as const;

it('progress is a bar that is written over on a terminal, and a line now and then elsewhere', () => {
  let now = 0;
  const said: string[] = [];
  const out = (isTTY: boolean) => ({ isTTY, write: (text: string) => said.push(text) });
  const bar = new ProgressLine(out(true), () => now);
  now = 2000;
  bar.show(progress);
  bar.end();
  expect(said).toEqual([
    `\r\x1b[K[${'#'.repeat(9)}${'.'.repeat(15)}] reading: 3 of 6 bundles, 1,000 slots, 500 evaluated, 500 slots/s`,
    '\r\x1b[K',
  ]);
  said.length = 0;
  const lines = new ProgressLine(out(false), () => now);
  for (const at of [2100, 2200, 7200]) {
    now = at;
    lines.show(progress);
  }
  lines.show({ ...progress, phase: 'indexing', of: 0 });
  lines.end();
  expect(said.map((s) => s.split(',')[0])).toEqual([
    'reading: 3 of 6 bundles',
    'reading: 3 of 6 bundles',
    'indexing: 3 bundles',
  ]);
});

it.each([
  [{ process: ['zz'] }, /^--process: Write an id/],
  [{ scheduler: 'zz' }, /^--scheduler: Write an id/],
  [{ tail: ['/none/there'] }, /^--tail: \/none\/there cannot be read/],
])(
  'what cannot be asked for is refused at once, before Arweave is: %j',
  async (more, message) => {
    const asked = { from: 'http://127.0.0.1:9', scheduler: 'A'.repeat(43), json: true, ...more };
    await expect(replay(asked)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(message) as string,
    });
  },
  30_000,
);

describe('what a gateway shows, held against the replay', () => {
  const id = (c: string) => c.repeat(43);
  const report = {
    seal: id('S'),
    sequence: 7,
    state: 'aa',
    index: 'bb',
    processes: [{ process: id('P'), slot: 3, assignment: id('A'), hashChain: id('H'), results: null }],
    assets: [{ asset: 'eip155:1/slip44:60', process: id('P'), minted: '5', burned: '2', released: '1' }],
  } as unknown as ReplayReport;
  let server: http.Server;
  let answer: { status: number; body: unknown };
  let url: string;

  beforeAll(async () => {
    server = http.createServer((_, response) => {
      response.writeHead(answer.status).end(JSON.stringify(answer.body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());

  const shows = (more: object, status = 200) => {
    answer = { status, body: { ...report, ...more } };
    return differences(report, `${url}/`);
  };

  it('says nothing when it is the same, and line by line what is not', async () => {
    expect(await shows({})).toEqual([]);
    expect(await shows({ index: 'cc' })).toEqual([expect.stringMatching(/^index cc there, bb from Arweave/)]);
    const assets = [{ ...report.assets[0], minted: '6' }];
    expect(await shows({ state: 'zz', assets })).toEqual([
      `there: asset eip155:1/slip44:60 ${id('P')} 6 2 1`,
      `from Arweave: asset eip155:1/slip44:60 ${id('P')} 5 2 1`,
    ]);
    expect(await shows({ state: 'zz', processes: null })).toEqual(['state zz there, aa from Arweave']);
    expect(await shows({ seal: id('T') })).toEqual([`seal 7 is ${id('T')} there, ${id('S')} on Arweave`]);
  });

  it('from checkpoints there is no index to hold against', async () => {
    answer = { status: 200, body: { ...report, index: 'cc' } };
    expect(await differences({ ...report, index: null }, url)).toEqual([]);
  });

  it('a gateway that refuses, or is not there, is no difference', async () => {
    await expect(shows({}, 404)).rejects.toMatchObject({ exitCode: 2 });
    await expect(differences(report, 'http://127.0.0.1:1')).rejects.toMatchObject({ exitCode: 2 });
  });
});

it('what is not named, and cannot be known, is asked for', async () => {
  await expect(replay({ from: 'http://127.0.0.1:1' })).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining('--scheduler') as string,
  });
  await expect(replay({ from: 'http://x', scheduler: 's', fromBlock: '-1' })).rejects.toMatchObject({ exitCode: 2 });
});

it.each([
  [
    'http://127.0.0.1:1',
    expect.stringMatching(/^The gateway at http:..127.0.0.1:1 does not answer .*: is it one, and running/) as string,
  ],
  ['gateway.example', '--compare: write the gateway as https://host, not gateway.example.'],
  ['http://of:secret@127.0.0.1:1', '--compare: leave name and password out of the address.'],
])('a gateway to compare with that is not there is known before anything is replayed: %s', async (compare, message) => {
  await expect(replay({ from: 'http://127.0.0.1:1', scheduler: 's', compare })).rejects.toMatchObject({
    exitCode: 2,
    message,
  });
});
