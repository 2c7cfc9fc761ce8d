/** Results of others' compute units: taken as pages or one by one, in one shape, and only as so many of them say. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { assign } from '../scheduler/assignment.js';
import { createItem, ed25519Signer } from '../items/index.js';
import type { ScheduleEntry } from '../types.js';
import { ComputeUnits } from './compute-units.js';

const KEY = ed25519Signer(Buffer.alloc(32, 9));
const PROCESS = 'P'.repeat(42) + 'A';
const QUERY = { owner: 'someone', tags: [{ name: 'Action', value: 'Info' }] };

type Reply = { status?: number; body: unknown };
/** One unit; what it says is the test's to choose. */
class Unit {
  asked: string[] = [];
  reply: (path: string, body: string) => Reply | 'cut' = (path) => ({ body: this.honest(path) });
  evaluated = Number.MAX_SAFE_INTEGER;
  private constructor(private readonly server: http.Server) {}

  static async open(): Promise<Unit> {
    const server = http.createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        unit.asked.push(request.url ?? '');
        const reply = unit.reply(request.url ?? '', body);
        if (reply === 'cut') return response.destroy();
        return response
          .writeHead(reply.status ?? 200)
          .end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body));
      });
    });
    const unit = new Unit(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return unit;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** As AO's own unit answers: cursors carry the slot; what is not evaluated yet is only evaluated when its message is asked for. */
  honest(path: string): unknown {
    const url = new URL(path, 'http://x');
    if (url.pathname.startsWith('/result/'))
      return output(entries.findIndex((e) => url.pathname.endsWith(e.message.id)));
    if (!url.pathname.startsWith('/results/')) return output(0);
    const from = JSON.parse(Buffer.from(url.searchParams.get('from') ?? 'bnVsbA==', 'base64').toString()) as {
      ordinate: string;
    } | null;
    const after = from ? Number(from.ordinate) : -1;
    const edges = entries
      .filter((e) => e.nonce > after && e.nonce <= this.evaluated)
      .slice(0, Number(url.searchParams.get('limit')))
      .flatMap(({ nonce }) => [
        { node: output(nonce), cursor: cursor(nonce, null) },
        { node: { Output: 'tick' }, cursor: cursor(nonce, '1-10-minutes') },
      ]);
    return { pageInfo: { hasNextPage: false }, edges };
  }
}
const cursor = (nonce: number, cron: string | null) =>
  Buffer.from(JSON.stringify({ timestamp: nonce, ordinate: String(nonce), cron, sort: 'ASC' })).toString('base64');
const output = (nonce: number) => ({
  Messages: [
    {
      Target: 't',
      Anchor: '0',
      Data: `said ${nonce}`,
      Tags: [
        { name: 'n', value: 7 },
        { name: 'table', value: { a: 1 } },
      ],
    },
  ],
  Spawns: [],
  Assignments: [],
  Output: { data: 'printed' },
});

let entries: ScheduleEntry[];
let units: Unit[];
beforeAll(async () => {
  entries = [];
  for (let nonce = 0; nonce < 40; nonce += 1) {
    const message = await createItem({ target: PROCESS, tags: [], data: String(nonce) }, KEY);
    const { item } = await assign(PROCESS, message.id, null, { timestamp: nonce, blockHeight: 0 }, KEY);
    entries.push({ process: PROCESS, nonce, assignment: item, message });
  }
});
beforeEach(async () => {
  units = await Promise.all([Unit.open(), Unit.open(), Unit.open()]);
});
afterEach(() => units.forEach((u) => u.close()));
const connect = (count: number, agreement: number) =>
  ComputeUnits.connect(
    units.slice(0, count).map((u) => u.url),
    agreement,
  );
/** An honest answer with other words in it. */
const lying =
  (unit: Unit) =>
  (path: string): Reply => ({
    body: JSON.stringify(unit.honest(path)).replaceAll('said', 'lied'),
  });

it('takes a page in one question, as texts, and leaves what a clock caused in between', async () => {
  const compute = await connect(1, 1);
  const results = await compute.results(entries.slice(5, 8));
  expect(results.map((r) => r.Messages[0]?.Data)).toEqual(['said 5', 'said 6', 'said 7']);
  expect(results[0]?.Messages[0]?.Tags).toEqual([
    { name: 'n', value: '7' },
    { name: 'table', value: '{"a":1}' },
  ]);
  expect(units[0]!.asked).toHaveLength(1);
  expect(units[0]!.asked[0]).toContain(`/results/${PROCESS}?from=`);
});

it('asks one by one for what a unit has not evaluated, and goes on with what there is', async () => {
  const compute = await connect(1, 1);
  units[0]!.evaluated = 2;
  const results = await compute.results(entries);
  expect(results.map((r) => r.Messages[0]?.Data)).toEqual(entries.slice(0, 35).map((e) => `said ${e.nonce}`));
  expect(units[0]!.asked.filter((p) => p.startsWith('/result/'))).toHaveLength(32);
});

it('A11 a message that failed is one, whatever else is said of it', async () => {
  units[0]!.reply = () => ({ body: { ...output(0), Error: { message: 'no' } } });
  const [result] = await (await connect(1, 1)).results(entries.slice(0, 1));
  expect(result).toMatchObject({ Error: '{"message":"no"}', Messages: [] });
});

it.each<[string, string, (path: string) => Reply | 'cut']>([
  ['is still evaluating', 'unreachable', () => ({ status: 202, body: { message: 'in progress' } })],
  ['asks for patience', 'unreachable', () => ({ status: 429, body: { error: 'slow down' } })],
  ['is broken', 'unreachable', () => ({ status: 500, body: 'x' })],
  ['hangs up', 'unreachable', () => 'cut'],
  ['does not know the process', 'refused', () => ({ status: 404, body: { error: 'no such process' } })],
  ['answers a page of something', 'malformed', () => ({ body: '<html>' })],
  ['answers another shape', 'malformed', () => ({ body: { Messages: 'none' } })],
])('I9 a unit that %s gives no result', async (_, code, reply) => {
  units[0]!.reply = reply;
  const compute = await connect(1, 1);
  await expect(compute.results(entries.slice(0, 1))).rejects.toMatchObject({ code });
  if (code !== 'unreachable') await expect(compute.dryRun(PROCESS, QUERY)).rejects.toMatchObject({ code });
});

it('I9 one of three that lies or is away changes nothing; two do, and nothing is taken', async () => {
  const compute = await connect(3, 2);
  units[2]!.reply = lying(units[2]!);
  expect((await compute.results(entries.slice(0, 3))).map((r) => r.Messages[0]?.Data)).toEqual([
    'said 0',
    'said 1',
    'said 2',
  ]);
  expect((await compute.dryRun(PROCESS, QUERY)).Messages[0]?.Data).toBe('said 0');
  units[2]!.reply = () => 'cut';
  expect(await compute.results(entries.slice(0, 3))).toHaveLength(3);
  units[1]!.reply = lying(units[1]!);
  await expect(compute.results(entries.slice(0, 3))).rejects.toMatchObject({ code: 'disagreement' });
  await expect(compute.dryRun(PROCESS, QUERY)).rejects.toMatchObject({ code: 'disagreement' });
  units[1]!.reply = () => 'cut';
  await expect(compute.results(entries.slice(0, 1))).rejects.toMatchObject({ code: 'unreachable' });
});

it('I9 where all must agree, one that lies is enough to stop', async () => {
  const compute = await connect(3, 3);
  expect(await compute.results(entries.slice(0, 1))).toHaveLength(1);
  units[2]!.reply = lying(units[2]!);
  await expect(compute.results(entries.slice(0, 1))).rejects.toMatchObject({ code: 'disagreement' });
});

it('I9 where one is enough, two that differ are not', async () => {
  const compute = await connect(2, 1);
  units[1]!.reply = lying(units[1]!);
  await expect(compute.results(entries.slice(0, 1))).rejects.toMatchObject({ code: 'disagreement' });
  units[1]!.reply = () => 'cut';
  expect(await compute.results(entries.slice(0, 1))).toHaveLength(1);
});

it('goes as far as enough of them have come', async () => {
  const compute = await connect(2, 2);
  units[1]!.evaluated = 3;
  expect(await compute.results(entries)).toHaveLength(36);
});
