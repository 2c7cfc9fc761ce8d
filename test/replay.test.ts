/** I11 on real processes: `isthmus replay` of a running stack comes to what it shows; its database dropped while it runs, it is rebuilt and goes on. */
import path from 'node:path';
import { devAccount } from '@isthmus/devnet';
import pg from 'pg';
import { isthmus } from './isthmus.js';
import { Stage } from './stage.js';

const HOLDER = 1;
const DEPOSIT = 10n ** 17n;
const BACK = 4n * 10n ** 16n;

let stage: Stage;
let scheduler: string;
let from: string;

beforeAll(async () => {
  stage = await Stage.open({ arweaveBlockMs: 200 });
  scheduler = await stage.scheduler();
  from = stage.stack.arweave?.url ?? '';
});
afterAll(() => stage.close());

const own = (): string[] => ['--from', from, '--scheduler', scheduler];

/** While the gateway runs; it is stopped then, and the database there and empty. */
async function dropDatabase(): Promise<void> {
  const { gateway, postgres } = stage.stack;
  const admin = new pg.Client({ connectionString: postgres.databases.url('postgres') });
  await admin.connect();
  await admin.query('drop database gateway with (force)');
  await gateway.stop();
  await admin.query('create database gateway');
  await admin.end();
}

async function thereAndBack(): Promise<void> {
  const holder = devAccount(HOLDER).address;
  const hash = await stage.deposit(DEPOSIT, holder);
  await stage.transfer(`source=${hash}`, 'minted');
  const { id, raw } = await stage.withdrawal(HOLDER, BACK, devAccount(6).address);
  await stage.send(raw);
  await stage.transfer(`message=${id}`, 'released');
}

it('I11 a fresh machine comes to the state and index that the gateway shows, books and all', async () => {
  await thereAndBack();
  await stage.settled([stage.coin.process]);
  const rpc = stage.stack.rpcUrl;
  const whole = ['--from', from, '--scheduler', scheduler, '--compare', stage.stack.gatewayUrl];
  const [said, short] = await Promise.all([
    isthmus('replay', ...whole, '--rpc', rpc, '--json'),
    isthmus('replay', ...whole, '--checkpoint'),
  ]);
  expect([said.code, said.err]).toEqual([0, '']);
  const answer = JSON.parse(said.out) as { ok: boolean; different: string[]; report: Record<string, unknown> };
  expect(answer).toMatchObject({ ok: true, different: [], report: { scheduler, transfers: 2 } });
  expect(answer.report['books']).toHaveLength(2);
  // As of its own seal: one of the two may have found one more.
  expect([short.code, short.out]).toEqual([0, expect.stringMatching(SEAL)]);
  expect(short.out).toContain(await stateAt(sealIn(short.out)));
});

const pull = (lever: string) => fetch(`${from}/devnet/${lever}`, { method: 'POST' });

/** The state that the gateway shows as of a seal, once its index has come to it. */
async function stateAt(seal: number): Promise<string> {
  const { state } = await stage.until(`seal ${seal} is shown`, () =>
    stage.get<{ state: string }>(`/v1/state?seal=${seal}`),
  );
  return state;
}

const SEAL = /\(bundle (\d+)\)/;
/** Number of the last seal that a replay came to, by what it printed. */
const sealIn = (out: string): number => Number(SEAL.exec(out)?.[1]);

/** Nothing more is settled until `heal`; the states of all seals there are, by number. The newest may be half posted. */
async function unsettling(): Promise<ReadonlyMap<number, string>> {
  await pull('fail?count=1000000');
  const { newest } = await stage.get<{ newest: number }>('/v1/settlement');
  const states = new Map<number, string>();
  // One after another: a gateway has few places for who asks for old ones.
  for (let seal = 1; seal <= newest; seal += 1) states.set(seal, await stateAt(seal));
  return states;
}

it('I11 I12 its database dropped while it runs, the gateway is rebuilt from Arweave and goes on; nothing is lost or doubled', async () => {
  // They say nothing more that only they know: what they have seen and nobody has settled is the next test's.
  await Promise.all(stage.stack.guardians.map((guardian) => guardian.stop()));
  await stage.settled([stage.coin.process]);
  const states = await unsettling();
  await dropDatabase();
  await pull('heal');
  const into = await isthmus('replay', ...own(), '--into', stage.stack.postgres.databases.url('gateway'));
  const seal = sealIn(into.out);
  const state = states.get(seal) ?? 'a seal that nobody made';
  expect([into.code, into.out]).toEqual([0, expect.stringContaining(state)]);
  await stage.stack.gateway.start();
  expect(await stateAt(seal)).toBe(state);
  await Promise.all(stage.stack.guardians.map((guardian) => guardian.start()));
  await thereAndBack();
  const owed = String(2n * (DEPOSIT - BACK));
  expect(await stage.books()).toMatchObject({ locked: owed, supply: owed, inFlight: '0', ok: true });
});

it('I11 I12 slots that guardians have seen and nobody has settled come from the guardians: the rebuilt gateway forks nothing', async () => {
  await stage.settled([stage.coin.process]);
  const guardians = stage.guardianUrls;
  const states = await unsettling();
  const unsettled = 1 + (await stage.head(stage.coin.process));
  await thereAndBack();
  const tails = async (): Promise<number[]> => {
    const said = await Promise.all(guardians.map(async (url) => (await fetch(`${url}/tail`)).json()));
    const all = (said as { process: string; slot: number }[][]).flat();
    return all.filter((h) => h.process === stage.coin.process).map((h) => h.slot);
  };
  const seen = await stage.until('the guardians have seen all of it', async () => {
    const latest = await stage.head(stage.coin.process);
    return (await tails()).every((slot) => slot === latest) && latest;
  });
  await dropDatabase();
  await pull('heal');
  const file = path.join(stage.home, 'tail.jsonl');
  const [one = '', another = '', third = ''] = guardians;
  expect(await isthmus('tail', another, '--out', file)).toMatchObject({ code: 0, err: '' });
  const into = ['--into', stage.stack.postgres.databases.url('gateway')];
  // Of all three: one of them may just have said what all knew already, and be the only one that has seen it placed.
  const said = await isthmus('replay', ...own(), ...into, '--tail', one, third, file);
  const tail = new RegExp(`tail +slots (\\d+) to (\\d+) of ${stage.coin.process}`);
  expect([said.code, said.out]).toEqual([0, expect.stringMatching(tail)]);
  const [first, last] = (tail.exec(said.out) ?? []).slice(1).map(Number);
  // What was settled is no newer than what stood then: all since came from the guardians.
  expect(states.has(sealIn(said.out))).toBe(true);
  expect(first).toBeLessThanOrEqual(unsettled);
  expect(last).toBeGreaterThanOrEqual(seen);
  await stage.stack.gateway.start();
  expect(await stage.head(stage.coin.process)).toBe(last);
  await thereAndBack();
  const owed = String(4n * (DEPOSIT - BACK));
  expect(await stage.books()).toMatchObject({ locked: owed, supply: owed, inFlight: '0', ok: true });
  // None of them has seen another schedule than the one that goes on.
  for (const url of guardians)
    await stage.until(
      `${url} is ready`,
      async () => ((await (await fetch(`${url}/health`)).json()) as { ready: boolean }).ready,
    );
  await stage.settled([stage.coin.process]);
  // Of both rebuilt gateways: what each went on with is in it.
  const compared = await isthmus('replay', ...own(), '--compare', stage.stack.gatewayUrl);
  expect([compared.code, compared.out]).toEqual([0, expect.stringContaining('equal to what')]);
});
