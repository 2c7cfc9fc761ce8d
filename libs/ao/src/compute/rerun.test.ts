/** Schedules evaluated again: the outcomes are those stored, whatever room there is and whoever loses a thread. */
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { createItem, ed25519Signer } from '../items/index.js';
import { AoPipeline } from '../pipeline.js';
import { PackedEntries, type Outcome } from './packed.js';
import { Rerun, type RerunOptions } from './rerun.js';
import { WorkerLost, WorkerPool } from './worker-pool.js';

const SOURCE = `local n = 0
function handle(msg)
  n = n + #msg.Data
  if msg.Tags.Action == 'Fail' then error('no') end
  ao.send({ Target = msg.From, Data = tostring(n) })
end`;
const SENDER = ed25519Signer(Buffer.alloc(32, 3));
const SLOTS = 60;
let cluster: TestCluster;
let database: DataSource;
let workers: WorkerPool;
const processes: string[] = [];

beforeAll(async () => {
  cluster = await testCluster();
  database = await openDatabase({ url: await cluster.fresh(), migrations: gatewayMigrations, applicationName: 'test' });
  await runMigrations(database);
  const pipeline = new AoPipeline({
    database,
    schedulerSigner: ed25519Signer(Buffer.alloc(32, 1)),
    messengerSigner: ed25519Signer(Buffer.alloc(32, 2)),
    workers: 1,
    onFailure: (_, error) => {
      throw error;
    },
  });
  const send = async (tags: Record<string, string>, data: string, target?: string) => {
    const list = Object.entries({ 'Data-Protocol': 'ao', ...tags }).map(([name, value]) => ({ name, value }));
    const item = await createItem({ target, tags: list, data, anchor: String((sent += 1)).padStart(32, '0') }, SENDER);
    return pipeline.scheduler.schedule(item.raw);
  };
  let sent = 0;
  const module = await send({ Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }, SOURCE);
  for (let i = 0; i < 3; i += 1) {
    const { process } = await send({ Type: 'Process', Module: module.id }, '');
    processes.push(process);
    for (let slot = 1; slot < SLOTS; slot += 1)
      await send({ Type: 'Message', Action: slot % 7 === 0 ? 'Fail' : 'Add' }, 'x'.repeat(slot), process);
    await pipeline.compute.advance(process);
  }
  await pipeline.stop();
  await database.query('truncate checkpoint cascade');
});
afterAll(async () => {
  await database.destroy();
  await cluster.close();
});
beforeEach(async () => {
  workers = new WorkerPool(2);
  await database.query('truncate checkpoint cascade');
});
afterEach(() => workers.stop());

/** Everything stored, evaluated again, a few slots of each process in turn; what came of it, by process. */
async function again(more: Partial<RerunOptions> = {}): Promise<{ rerun: Rerun; texts: Map<string, string[]> }> {
  const texts = new Map<string, string[]>(processes.map((p) => [p, []]));
  const onOutcomes = (process: string, first: number, outcomes: readonly Outcome[]) => {
    expect(first).toBe(texts.get(process)?.length);
    texts.get(process)?.push(...outcomes.map((o) => `${o.failed} ${o.text.toString()}`));
  };
  const rerun = new Rerun({ database, workers, onOutcomes, ...more });
  await Promise.all(processes.map((p) => rerun.giveStored(p)));
  await rerun.finish();
  return { rerun, texts };
}

async function stored(): Promise<Map<string, string[]>> {
  const rows: { process: string; outcome: string; failed: boolean }[] = await database.query(
    'select process, outcome, failed from result order by process, nonce',
  );
  return new Map(processes.map((p) => [p, rows.filter((r) => r.process === p).map((r) => `${r.failed} ${r.outcome}`)]));
}

it('I11 the outcomes are those that were stored, byte for byte', async () => {
  const { rerun, texts } = await again();
  expect(texts).toEqual(await stored());
  expect(rerun.stopped).toEqual([]);
});

it('I11 processes that do not fit into the memory together are kept and opened again', async () => {
  const { rerun, texts } = await again({ memoryBudget: 0 });
  expect(texts).toEqual(await stored());
  expect(workers.usage().size).toBeLessThanOrEqual(1);
  const [kept]: { n: number }[] = await database.query('select count(*)::int as n from checkpoint');
  expect(kept?.n).toBeGreaterThan(0);
  const message = {
    Id: 'r',
    Owner: 'o',
    From: 'o',
    Target: 't',
    Anchor: '',
    Data: 'ab',
    Tags: [],
    Module: '',
    Epoch: 0,
  };
  const more = { Nonce: 0, Timestamp: 0, 'Block-Height': '0', 'Hash-Chain': '', Cron: false };
  const read = await rerun.read(processes[0] as string, { ...message, ...more });
  const sum = Array.from({ length: SLOTS }, (_, i) => (i % 7 === 0 ? 0 : i)).reduce((a, b) => a + b, 0);
  expect(read?.Messages[0]?.Data).toBe(String(sum + 2));
});

/** The pool, with threads that are lost at these calls. */
function losing(at: ReadonlyMap<string, (call: number) => WorkerLost | null>): void {
  const calls = new Map<string, number>();
  const real = workers.evaluateSome.bind(workers);
  workers.evaluateSome = async (process, entries) => {
    const call = (calls.get(process) ?? 0) + 1;
    calls.set(process, call);
    const lost = at.get(process)?.(call);
    if (!lost) return real(process, entries);
    await workers.close(process);
    throw lost;
  };
}

it('I11 who loses the thread through another is opened again; who ends it alone stops there, and nobody else', async () => {
  const [first, second] = processes as [string, string];
  losing(
    new Map([
      [first, (call: number) => (call === 1 ? new WorkerLost('another', 'other') : null)],
      [second, () => new WorkerLost('it takes too long', 'too-long')],
    ]),
  );
  const { rerun, texts } = await again();
  const all = await stored();
  expect(texts.get(first)).toEqual(all.get(first));
  expect(texts.get(second)).toEqual([]);
  expect(rerun.stopped).toEqual([{ process: second, slot: 0, reason: 'it takes too long' }]);
});

it('what the caller refuses ends the run', async () => {
  const onOutcomes = () => {
    throw new Error('not as it was sealed');
  };
  await expect(again({ onOutcomes })).rejects.toThrow('not as it was sealed');
});

it('a run that was ended goes no further than what it was at, and opens nothing any more', async () => {
  const [first, second] = processes as [string, string];
  const real = workers.evaluateSome.bind(workers);
  workers.evaluateSome = (process, entries) => real(process, entries.subarray(0, PackedEntries.end(entries, 0, 1)));
  let [met, goOn] = [(): void => undefined, (): void => undefined];
  const [begun, held] = [new Promise<void>((r) => (met = r)), new Promise<void>((r) => (goOn = r))];
  let outcomes = 0;
  const onOutcomes = async () => {
    outcomes += 1;
    met();
    await held;
  };
  const rerun = new Rerun({ database, workers, onOutcomes });
  await rerun.giveStored(first);
  await begun;
  const order: string[] = [];
  const ended = rerun.end().then(() => order.push('ended'));
  await new Promise(setImmediate);
  order.push('let go');
  goOn();
  await ended;
  expect(order).toEqual(['let go', 'ended']);
  expect(outcomes).toBe(2); // the next one was under way
  await workers.close(first);
  await expect(rerun.giveStored(second)).rejects.toThrow('The run was ended.');
  expect(workers.usage().size).toBe(0);
});
